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

// Context says what a data key is for. Unwrapping needs the same names and values.
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

// Generate makes a data key and wraps it with the newest version of a key, which name stands
// for ("" is the default key).
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

// Unwrap returns a data key that Generate wrapped with the key of this id in the same context.
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

func unwrap(v Version, wrapped, context []byte) ([]byte, error) {
	gcm, err := wrapping(v, wrapped)
	if err != nil {
		return nil, err
	}
	return gcm.Open(nil, wrapped[5+saltSize:wrappedHead], wrapped[wrappedHead:], slices.Concat(wrapped[:5], context))
}

// wrapping derives the wrapping key. Each has a salt of its own, so that there is no bound on
// how many data keys a key may wrap.
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

// authenticated writes the key's id and the context so that no two of them are written alike:
// each text with its length, in the order of names.
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
