package reuse

import (
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"
)

// Source is what the entries of one kind in one output object have in common.
type Source struct {
	Job    string `json:"job"`             // ARN of the earlier job
	URI    string `json:"uri"`             // of its output, without the job's id
	Owner  string `json:"owner,omitempty"` // account that must own the bucket
	Key    string `json:"key"`             // of the output object
	ETag   string `json:"etag"`            // of the version that was read
	Model  string `json:"model"`           // model name in the answers; "": not known
	Recipe string `json:"recipe"`          // see batholith.Serving; "": not known
}

// Place is where an answer lies.
type Place struct {
	Source int    // index in the sources of the table
	Offset int64  // of the output line
	Length uint32 // bytes of the line, with its newline
}

// Hash is the beginning of the SHA-256 of a modelInput.
type Hash [hashBytes]byte

// HashOf returns the hash of a modelInput.
func HashOf(input []byte) (h Hash) {
	sum := sha256.Sum256(input)
	copy(h[:], sum[:])
	return h
}

const (
	hashBytes  = 16
	idBytes    = 4
	entryBytes = hashBytes + idBytes + 4 + 8 + 4
)

// entry is an encoded entry. The order of entries is that of their bytes.
type entry [entryBytes]byte

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// entryOf encodes an entry.
func entryOf(h Hash, id []byte, p Place) (e entry) {
	copy(e[:], h[:])
	binary.BigEndian.PutUint32(e[hashBytes:], crc32.Checksum(id, castagnoli))
	binary.BigEndian.PutUint32(e[20:], uint32(p.Source))
	binary.BigEndian.PutUint64(e[24:], uint64(p.Offset))
	binary.BigEndian.PutUint32(e[32:], p.Length)
	return e
}

func (e *entry) source() int { return int(binary.BigEndian.Uint32(e[20:])) }

func (e *entry) place() Place {
	return Place{e.source(), int64(binary.BigEndian.Uint64(e[24:])), binary.BigEndian.Uint32(e[32:])}
}
