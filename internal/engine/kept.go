package engine

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/minio/sio"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/files"
	"github.com/batholith/batholith/internal/results"
)

// keptResults is the folder of segments that no bucket takes (see results.Writer.Shelve). With a
// key, a file in it is
//
//	magic, 16 bytes | length of the wrapped data key, 2 bytes, big endian | wrapped data key |
//	the segment in DARE 2.0 with AES-256-GCM
//
// Files without the magic are not encrypted; a segment never begins so.
type keptResults struct {
	*files.Output
	keys results.Keys // nil: nothing is encrypted
}

const keptMagic = "BATHOLITH-KEPT1\n"

func keptCipher(key []byte) sio.Config {
	return sio.Config{MinVersion: sio.Version20, MaxVersion: sio.Version20, Key: key, CipherSuites: []byte{sio.AES_256_GCM}}
}

// Put writes a segment.
func (k keptResults) Put(ctx context.Context, name string, body []byte) error {
	if k.keys == nil {
		return k.Output.Put(ctx, name, body)
	}
	key, wrapped, err := k.keys.NewKey()
	if err != nil {
		return fmt.Errorf("keep %s: %w", name, err)
	}
	if key == nil {
		return k.Output.Put(ctx, name, body)
	}
	file := bytes.NewBuffer(binary.BigEndian.AppendUint16([]byte(keptMagic), uint16(len(wrapped))))
	file.Write(wrapped)
	if _, err := sio.Encrypt(file, bytes.NewReader(body), keptCipher(key)); err != nil {
		return fmt.Errorf("keep %s: %w", name, err)
	}
	return k.Output.Put(ctx, name, file.Bytes())
}

// open reads the head of a file, which it leaves at the segment. wrapped is nil if the file is not
// encrypted.
func (k keptResults) open(ctx context.Context, name, etag string) (file io.ReadCloser, from *bufio.Reader, wrapped []byte, err error) {
	if file, err = k.Output.Read(ctx, name, etag, 0, -1); err != nil {
		return nil, nil, nil, err
	}
	from = bufio.NewReaderSize(file, 128<<10)
	head, err := from.Peek(len(keptMagic) + 2)
	if err != nil || string(head[:len(keptMagic)]) != keptMagic {
		return file, from, nil, nil
	}
	wrapped = make([]byte, binary.BigEndian.Uint16(head[len(keptMagic):]))
	_, _ = from.Discard(len(head))
	if _, err := io.ReadFull(from, wrapped); err != nil {
		file.Close()
		return nil, nil, nil, fmt.Errorf("read %s: its key: %w", name, err)
	}
	return file, from, wrapped, nil
}

// Head describes a segment, with the size that it has when it is decrypted.
func (k keptResults) Head(ctx context.Context, name string) (batholith.Object, error) {
	o, err := k.Output.Head(ctx, name)
	if err != nil {
		return o, err
	}
	file, _, wrapped, err := k.open(ctx, name, o.ETag)
	if err != nil {
		return o, err
	}
	file.Close()
	if wrapped != nil {
		size, err := sio.DecryptedSize(uint64(max(0, o.Bytes-int64(len(keptMagic)+2+len(wrapped)))))
		if err != nil {
			return o, fmt.Errorf("find %s: its size: %w", name, err)
		}
		o.Bytes = int64(size)
	}
	return o, nil
}

// Read reads a part of a segment. It decrypts the file from its beginning.
func (k keptResults) Read(ctx context.Context, name, etag string, offset, n int64) (io.ReadCloser, error) {
	file, from, wrapped, err := k.open(ctx, name, etag)
	if err != nil {
		return nil, err
	}
	if wrapped == nil {
		file.Close()
		return k.Output.Read(ctx, name, etag, offset, n)
	}
	plain, err := k.decrypt(from, wrapped)
	if err == nil {
		_, err = io.CopyN(io.Discard, plain, offset)
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if n < 0 {
		return &keptPart{plain, file, -1}, nil
	}
	return &keptPart{plain, file, n}, nil
}

func (k keptResults) decrypt(from io.Reader, wrapped []byte) (io.Reader, error) {
	if k.keys == nil {
		return nil, errors.New("it is encrypted, and the settings have no key (kms.keys)")
	}
	key, err := k.keys.OpenKey(wrapped)
	if err != nil {
		return nil, err
	}
	return sio.DecryptReader(from, keptCipher(key))
}

// keptPart is a part of a segment. It ends with io.EOF only if the part is complete.
type keptPart struct {
	plain io.Reader
	file  io.Closer
	left  int64 // -1: up to the end
}

func (p *keptPart) Read(b []byte) (int, error) {
	if p.left == 0 {
		return 0, io.EOF
	}
	if p.left > 0 {
		b = b[:min(int64(len(b)), p.left)]
	}
	n, err := p.plain.Read(b)
	if p.left > 0 {
		if p.left -= int64(n); p.left > 0 && err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
	}
	return n, err
}

func (p *keptPart) Close() error { return p.file.Close() }
