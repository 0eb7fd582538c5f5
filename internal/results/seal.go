package results

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
)

// Keys encrypt the journal. nil: it is not encrypted, and encrypted files of before are not read.
type Keys interface {
	// NewKey returns a random data key of 32 bytes, and what is stored to get it again. A nil key
	// without an error: new files are not encrypted.
	NewKey() (key, wrapped []byte, err error)
	// OpenKey returns the data key of what NewKey returned, in this process or an earlier one.
	OpenKey(wrapped []byte) (key []byte, err error)
}

// An encrypted journal file has version 4. Its first frame has wrappedPrefix, the wrapped data key
// of the file and a newline. The payload of every further frame is
//
//	nonce, 12 bytes | AES-256-GCM of the payload of version 3 | newline
//
// The checksum of a frame is that of the encrypted payload, and every frame ends with a newline. So
// unfinished ends and damage are found as in other files. The nonce is a counter.
const (
	sealedVersion = 4
	wrappedPrefix = "batholith-kms "
	nonceBytes    = 12
	sealedLeast   = nonceBytes + 16 + 1 // bytes of a payload that encrypts nothing
)

// sealer encrypts the payloads of one file. Its user holds the lock of the journal.
type sealer struct {
	aead  cipher.AEAD
	count uint64 // frames so far
	plain []byte // reused
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// seal appends an encrypted payload.
func (s *sealer) seal(dst, payload []byte) []byte {
	s.count++
	var nonce [nonceBytes]byte
	binary.BigEndian.PutUint64(nonce[nonceBytes-8:], s.count)
	dst = append(dst, nonce[:]...)
	return append(s.aead.Seal(dst, nonce[:], payload, nil), '\n')
}

// unseal decrypts a payload into memory of its own; ok is false if it is not one of this file.
func unseal(aead cipher.AEAD, payload []byte) (plain []byte, ok bool) {
	n := len(payload)
	if n < sealedLeast || payload[n-1] != '\n' {
		return nil, false
	}
	plain, err := aead.Open(nil, payload[:nonceBytes], payload[nonceBytes:n-1], nil)
	return plain, err == nil
}

// beginSealed returns the head and the first frame of an encrypted file; both are nil if new files
// are not encrypted.
func beginSealed(keys Keys) (head []byte, s *sealer, err error) {
	if keys == nil {
		return nil, nil, nil
	}
	key, wrapped, err := keys.NewKey()
	if err != nil || key == nil {
		return nil, nil, err
	}
	aead, err := newAEAD(key)
	if err != nil {
		return nil, nil, err
	}
	head = binary.LittleEndian.AppendUint16([]byte(journalMagic), sealedVersion)
	head = openFrame(binary.LittleEndian.AppendUint16(head, 0))
	head = append(append(append(head, wrappedPrefix...), wrapped...), '\n')
	closeFrame(head, headBytes)
	return head, &sealer{aead: aead}, nil
}

// errNoKeys is for an encrypted file that is read without keys.
var errNoKeys = errors.New("it is encrypted, and the settings have no key for it; put its key back into kms.keys")

// unlock finds out whether the file is encrypted, by its first frame, and opens its key. Without the
// key nothing can be read, and the error says so: the outcomes would be lost.
func (r *journalReader) unlock() error {
	if r.at == 0 || !r.locked() {
		return nil
	}
	payload, _ := r.frame(headBytes)
	if r.keys == nil {
		return fmt.Errorf("read journal %s: %w", r.path, errNoKeys)
	}
	key, err := r.keys.OpenKey(payload[len(wrappedPrefix) : len(payload)-1])
	if err == nil {
		r.aead, err = newAEAD(key)
	}
	if err != nil {
		return fmt.Errorf("read journal %s: open its key: %w", r.path, err)
	}
	if r.form != sealedVersion && !r.guess {
		r.lost(0, headBytes)
	}
	r.at += frameBytes + len(payload)
	return nil
}

// locked reports whether the first frame says that the file is encrypted.
func (r *journalReader) locked() bool {
	payload, ok := r.frame(headBytes)
	return ok && bytes.HasPrefix(payload, []byte(wrappedPrefix))
}
