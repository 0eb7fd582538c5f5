package kms

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
)

// Context says what a data key is for. It is authenticated and not stored: unwrapping needs the same names and
// values, so a data key that is moved to another object does not open.
type Context map[string]string

// DataKey is a key that encrypts one object or file.
type DataKey struct {
	Ref
	Plain   []byte // KeySize bytes; it is written nowhere
	Wrapped []byte // stored beside what the key encrypts
}

// A wrapped data key is
//
//	format 1 | version of the key, 4 bytes, big endian | salt, 32 bytes | nonce, 12 bytes | AES-256-GCM of the data key, 32 + 16 bytes
const (
	wrappedFormat = 1
	saltSize      = 32
	nonceSize     = 12
	wrappedHead   = 1 + 4 + saltSize + nonceSize
	wrappedSize   = wrappedHead + KeySize + 16
	wrapInfo      = "batholith kms wrap 1"
)

// Generate makes a data key and wraps it with the newest version of the key that name stands for ("" is the
// default key). It notices a rotation first. The error is a *Fault.
func (r *Ring) Generate(name string, context Context) (DataKey, error) {
	h, err := r.find(name)
	if err != nil {
		return DataKey{}, err
	}
	f, err := h.current()
	if err != nil {
		return DataKey{}, err
	}
	d := DataKey{Ref: r.ref(h), Plain: make([]byte, KeySize)}
	rand.Read(d.Plain) // never fails
	d.Wrapped, err = wrap(f.newest(), d.Plain, authenticated(h.ID, context))
	return d, err
}

// Unwrap returns a data key that Generate wrapped with the key of this id in the same context. A version that is
// not in memory makes it read the key file again. The error is a *Fault: ErrInvalid if the data key, its context
// or the key file is not the right one.
func (r *Ring) Unwrap(id string, wrapped []byte, context Context) (DataKey, error) {
	h, err := r.find(id)
	if err != nil {
		return DataKey{}, err
	}
	if len(wrapped) != wrappedSize || wrapped[0] != wrappedFormat {
		return DataKey{}, fault(ErrInvalid, "restore it from a copy", "the wrapped data key is damaged")
	}
	n := int(binary.BigEndian.Uint32(wrapped[1:]) & (1<<31 - 1))
	v, ok := h.inMemory().version(n)
	if !ok { // perhaps the key was rotated since its file was read
		f, err := h.current()
		if err != nil {
			return DataKey{}, err
		}
		if v, ok = f.version(n); !ok {
			return DataKey{}, fault(ErrUnusable, "put the file back from your copy", "the key file %s has no version %d of the key %s", h.File, n, h.ID)
		}
	}
	plain, err := unwrap(v, wrapped, authenticated(h.ID, context))
	if err != nil {
		return DataKey{}, fault(ErrInvalid, "put back the key file, or what was encrypted, from a copy",
			"the data key does not unwrap with version %d of the key %s: it was changed or moved, or %s is not the key file that encrypted it", n, h.ID, h.File)
	}
	return DataKey{Ref: r.ref(h), Plain: plain, Wrapped: wrapped}, nil
}

// wrap encrypts a data key with a fresh salt and nonce. The head up to the version and the context are
// authenticated with it.
func wrap(v Version, plain, context []byte) ([]byte, error) {
	out := make([]byte, wrappedHead, wrappedSize)
	out[0] = wrappedFormat
	binary.BigEndian.PutUint32(out[1:], uint32(v.Number))
	rand.Read(out[5:])
	gcm, err := wrapping(v, out)
	if err != nil {
		return nil, err
	}
	return gcm.Seal(out, out[5+saltSize:wrappedHead], plain, slices.Concat(out[:5], context)), nil
}

// unwrap decrypts a wrapped data key of wrappedSize bytes.
func unwrap(v Version, wrapped, context []byte) ([]byte, error) {
	gcm, err := wrapping(v, wrapped)
	if err != nil {
		return nil, err
	}
	return gcm.Open(nil, wrapped[5+saltSize:wrappedHead], wrapped[wrappedHead:], slices.Concat(wrapped[:5], context))
}

// wrapping returns the cipher for one wrapped data key, AES-256-GCM with the key
//
//	HKDF-SHA256(secret of the version, salt, "batholith kms wrap 1")
//
// Each data key has its own salt, so the number of data keys per key is not limited by GCM's bound on random
// nonces.
func wrapping(v Version, wrapped []byte) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, v.secret[:], wrapped[5:5+saltSize], wrapInfo, KeySize)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// authenticated encodes the key's id and the context unambiguously: each text after its length (4 bytes), sorted
// by name.
func authenticated(id string, context Context) []byte {
	var b bytes.Buffer
	text := func(s string) {
		b.Write(binary.BigEndian.AppendUint32(nil, uint32(len(s))))
		b.WriteString(s)
	}
	text(id)
	for _, name := range slices.Sorted(maps.Keys(context)) {
		text(name)
		text(context[name])
	}
	return b.Bytes()
}
