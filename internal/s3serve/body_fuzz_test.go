package s3serve

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"io"
	"mime/multipart"
	"strings"
	"testing"
	"testing/iotest"
)

// FuzzABodyInChunks decodes anything as a body in chunks. A body that ends well has exactly the announced number of bytes, however it arrives; a
// signed one cannot be made without the key.
func FuzzABodyInChunks(f *testing.F) {
	f.Add([]byte("5\r\nhello\r\n0\r\n\r\n"), int64(5), "", false)
	f.Add([]byte("5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n"), int64(5), "x-amz-checksum-crc32", false)
	f.Add([]byte("5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\n\r\n"), int64(5), "x-amz-checksum-crc32", false)
	f.Add([]byte("5;chunk-signature="+strings.Repeat("0", 64)+"\r\nhello\r\n0;chunk-signature=\r\n\r\n"), int64(5), "", true)
	f.Add([]byte("7fffffffffffffff\r\n"), int64(1)<<62, "", false)
	f.Add([]byte("-1\r\n\r\n"), int64(-1), "x-amz-checksum-", false)
	f.Fuzz(func(t *testing.T, body []byte, length int64, trailer string, signed bool) {
		read := func(in io.Reader) ([]byte, error) {
			d := &chunks{from: bufio.NewReaderSize(in, 32<<10), left: length, trailer: trailer}
			if signed {
				d.signature = &chain{key: []byte("key"), last: "seed", bytes: sha256.New(), scope: "scope\n"}
			}
			if err := d.prepare(""); err != nil {
				return nil, err
			}
			return io.ReadAll(d.object)
		}
		got, err := read(bytes.NewReader(body))
		slow, again := read(iotest.OneByteReader(bytes.NewReader(body)))
		if (err == nil) != (again == nil) || err == nil && !bytes.Equal(got, slow) {
			t.Fatalf("in one piece: %q, %v; byte by byte: %q, %v", got, err, slow, again)
		}
		switch {
		case err != nil:
		case signed:
			t.Fatalf("a body is taken that nobody signed: %q", got)
		case int64(len(got)) != length || len(got) > len(body):
			t.Fatalf("%d bytes of %d, announced are %d", len(got), len(body), length)
		}
	})
}

// FuzzAForm reads anything as an upload by form. The file is found where a reader of forms finds it, and the fields that are written again are read
// as the same fields.
func FuzzAForm(f *testing.F) {
	const head = "--B\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\nup/${filename}\r\n"
	f.Add([]byte(head+"--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\nhello\r\n--B--\r\n"), "B")
	f.Add([]byte(head+head+"--B\r\nContent-Disposition: form-data; name=\"\"; filename=\"x\"\r\n\r\n\r\n--B--"), "B")
	f.Add([]byte("preamble\r\n"+head+"--B \t\r\nContent-Disposition: form-data; name=\"a\\\"b\"; filename*=UTF-8''%2e%2e\r\n\r\n--B--"), "B")
	f.Add([]byte("--B\r\n\r\n--B\r\n\r\n--B--"), "B")
	f.Fuzz(func(t *testing.T, body []byte, boundary string) {
		if boundary == "" || len(boundary) > 70 || strings.ContainsAny(boundary, "\r\n") {
			return // no Content-Type can name it
		}
		var seen bytes.Buffer
		came, err := readForm(io.TeeReader(bytes.NewReader(body), &seen), boundary)
		if err != nil {
			return // the gateway gets the body unchanged
		}
		at := came.fileAt(seen.Bytes())
		text, ok := came.text()
		if !ok || at < 0 {
			return // the same
		}
		again, err := readForm(io.MultiReader(strings.NewReader(text), bytes.NewReader(body[at:])), boundary)
		if err != nil {
			t.Fatalf("%q is written again as %q: %v", body, text+string(body[at:]), err)
		}
		if again.file != came.file || len(again.fields) != len(came.fields) {
			t.Fatalf("%q: %+v, written again %+v", body, came, again)
		}
		for i, field := range came.fields {
			if again.fields[i] != field {
				t.Fatalf("%q: field %+v is written again as %+v", body, field, again.fields[i])
			}
		}
		want, got := fileOf(t, body, boundary), fileOf(t, append([]byte(text), body[at:]...), boundary)
		if !bytes.Equal(want, got) {
			t.Fatalf("the file was %q and is %q", want, got)
		}
	})
}

// fileOf returns the bytes of a form's file, as far as they are whole.
func fileOf(t *testing.T, body []byte, boundary string) []byte {
	t.Helper()
	for parts := multipart.NewReader(bytes.NewReader(body), boundary); ; {
		part, err := parts.NextRawPart()
		if err != nil {
			t.Fatal(err)
		}
		if strings.EqualFold(part.FormName(), "file") || part.FileName() != "" {
			file, _ := io.ReadAll(part)
			return file
		}
	}
}
