package records

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"
)

// zstdWindow is the largest window of a zstd file that is read, in bytes: it is memory. zstd -19 uses 8 MiB, --long 128 MiB.
const zstdWindow = 128 << 20

// Unpack returns the content of a stream that is compressed with gzip or zstd, whatever its name is, and any other stream unchanged.
// An error of the content comes from Read. Close frees the memory of the decompressor; it does not close r.
func Unpack(r io.Reader) (io.ReadCloser, error) {
	head := bufio.NewReaderSize(r, 64<<10)
	start, err := head.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(start, []byte("\x1f\x8b")):
		z, err := gzip.NewReader(head)
		if err != nil {
			return nil, fmt.Errorf("the gzip data is damaged: %w", err)
		}
		return &unpacked{Reader: z, kind: "gzip", close: func() { z.Close() }}, nil
	case bytes.Equal(start, []byte("\x28\xb5\x2f\xfd")):
		z, err := zstd.NewReader(head, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(zstdWindow))
		if err != nil {
			return nil, fmt.Errorf("the zstd data is damaged: %w", err)
		}
		return &unpacked{Reader: z, kind: "zstd", close: z.Close}, nil
	}
	return io.NopCloser(head), nil
}

// errNotWhole is the error of a compressed file that was cut.
var errNotWhole = errors.New("the file is not whole")

// unpacked names the kind of the compression in errors.
type unpacked struct {
	io.Reader
	kind  string
	close func()
}

// Read reads what was packed.
func (u *unpacked) Read(p []byte) (int, error) {
	n, err := u.Reader.Read(p)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = fmt.Errorf("the %s data ends too early: %w", u.kind, errNotWhole)
	case err != nil && !errors.Is(err, io.EOF):
		err = fmt.Errorf("the %s data is damaged: %w", u.kind, err)
	}
	return n, err
}

// Close frees the decompressor.
func (u *unpacked) Close() error {
	u.close()
	return nil
}

// spool copies a stream to a temporary file without a name that others see. close removes it.
func spool(r io.Reader) (f *os.File, size int64, err error) {
	if f, err = os.CreateTemp("", "batholith-table-"); err != nil {
		return nil, 0, err
	}
	size, err = io.Copy(f, r)
	if err != nil {
		unspool(f)
		return nil, 0, err
	}
	return f, size, nil
}

// unspool closes and removes a temporary file.
func unspool(f *os.File) {
	f.Close()
	os.Remove(f.Name())
}
