package s3serve

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/minio/sio"
	"pgregory.net/rapid"

	"github.com/batholith/batholith/internal/kms"
)

// sealedWith makes a sealed file of parts.
func sealedWith(t interface{ Fatal(...any) }, data []byte, parts ...[]byte) []byte {
	file, f := []byte(sealedMagic), footer{envelope: envelope{Algorithm: sseKMS, Key: "k", Wrapped: []byte("w")}, Parts: len(parts) > 1}
	for _, part := range parts {
		seg := newSegment(int64(len(part)))
		cipher, err := seg.seal(data, bytes.NewReader(part))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(cipher)
		if err != nil {
			t.Fatal(err)
		}
		file, f.Segments = append(file, text...), append(f.Segments, seg)
	}
	end, err := f.text(data)
	if err != nil {
		t.Fatal(err)
	}
	return append(file, end...)
}

// unsealed reads a range of a sealed file.
func unsealed(data, file []byte, offset, n int64) ([]byte, error) {
	s, err := readSealed(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return nil, err
	}
	if err := s.verify(data); err != nil {
		return nil, err
	}
	if n < 0 {
		n = s.size()
	}
	return io.ReadAll(s.reader(data, offset, n))
}

func TestTheSizeOfASegmentIsThatOfItsCiphertext(t *testing.T) {
	for _, n := range []int64{0, 1, 65535, 65536, 65537, 131071, 131072, 131073, 5 << 30} {
		want, err := sio.EncryptedSize(uint64(n))
		if got := sealedSize(n); err != nil || uint64(got) != want {
			t.Errorf("%d: %d, %d", n, got, want)
		}
		if plain, ok := plainSize(sealedSize(n)); !ok || plain != n {
			t.Errorf("%d: %d, %v", n, plain, ok)
		}
	}
	for _, n := range []int64{-1, 1, 31, 32, 65568 + 1, 65568 + 32} {
		if plain, ok := plainSize(n); ok {
			t.Errorf("a segment of %d bytes has %d", n, plain)
		}
	}
}

func TestEveryRangeOfASealedFileIsThatOfItsParts(t *testing.T) {
	data := bytes.Repeat([]byte{7}, kms.KeySize)
	lengths := rapid.SampledFrom([]int{0, 1, 100, 65535, 65536, 65537, 131072, 140_000})
	rapid.Check(t, func(t *rapid.T) {
		var parts [][]byte
		for i, n := range rapid.SliceOfN(lengths, 1, 4).Draw(t, "parts") {
			part := make([]byte, n)
			rand.NewChaCha8([32]byte{byte(i)}).Read(part)
			parts = append(parts, part)
		}
		whole := bytes.Join(parts, nil)
		file := sealedWith(t, data, parts...)
		for range 5 {
			from := rapid.IntRange(0, len(whole)).Draw(t, "from")
			n := rapid.IntRange(0, len(whole)-from).Draw(t, "n")
			got, err := unsealed(data, file, int64(from), int64(n))
			if err != nil || !bytes.Equal(got, whole[from:from+n]) {
				t.Fatal(from, n, len(got), err)
			}
		}
	})
}

// What was changed in a sealed file, or belongs to another, is an error: no byte is read that
// was not written.
func FuzzASealedFileIsReadRightOrNotAtAll(f *testing.F) {
	data := bytes.Repeat([]byte{7}, kms.KeySize)
	parts := [][]byte{[]byte("first part"), bytes.Repeat([]byte("x"), 300), []byte("last")}
	whole := bytes.Join(parts, nil)
	good := sealedWith(f, data, parts...)
	other, reversed := sealedWith(f, data, parts[2], parts[1], parts[0]), slices.Concat(parts[2], parts[1], parts[0])
	f.Add(good, uint32(0), byte(0), uint32(0))
	f.Add(good, uint32(20), byte(1), uint32(0))
	f.Add(good[:len(good)-1], uint32(0), byte(0), uint32(0))
	f.Add(append(bytes.Clone(good[:len(good)-400]), other[len(other)-400:]...), uint32(0), byte(0), uint32(0))
	f.Add(good, uint32(len(good)-20), byte(255), uint32(0))
	f.Add(append([]byte(sealedMagic), append(binary.BigEndian.AppendUint32(make([]byte, macBytes), 0), sealedEnd...)...), uint32(0), byte(0), uint32(0))
	f.Fuzz(func(t *testing.T, file []byte, at uint32, bits byte, cut uint32) {
		file = bytes.Clone(file)
		if len(file) > 0 {
			file[int(at)%len(file)] ^= bits
			file = file[:len(file)-int(cut)%len(file)]
		}
		got, err := unsealed(data, file, 0, -1)
		switch {
		case err == nil && !bytes.Equal(got, whole) && !bytes.Equal(got, reversed):
			t.Errorf("%d bytes that nobody wrote: %.50q", len(got), got)
		case err != nil && !errors.Is(err, errPlain) && !errors.Is(err, kms.ErrInvalid):
			t.Error("an error of no kind:", err)
		}
	})
}

func FuzzAnEncryptionContextIsATextOfPairs(f *testing.F) {
	for _, s := range []string{"", "e30=", "eyJhIjoiYiJ9", "eyJhIjoxfQ==", "bnVsbA==", "x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		w, err := (&store{keys: &kms.Ring{}}).wish(map[string]string{sseHeader: sseKMS, sseContext: text})
		if (err == nil) != isContext(text) || err == nil && w.context != text {
			t.Error(fmt.Sprint(w), err)
		}
	})
}
