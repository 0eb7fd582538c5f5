package jsonl

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
)

// Entry is the index entry of one record.
type Entry struct {
	Offset      int64  // byte offset of the line in the file
	Length      uint32 // length of the line in bytes, without its newline
	Size        uint32 // length of modelInput in bytes: an estimate of the record's cost
	Line        int64  // line number, from 1
	IDHash      uint64 // HashID of the recordId; 0: the line has none
	Fingerprint uint64 // hash of the beginning of modelInput, see [Fingerprint]
}

// EntryOf returns the index entry of a line.
func EntryOf(l Line) Entry {
	e := unsummed(l)
	e.Fingerprint = Fingerprint(l.Input)
	return e
}

// unsummed is EntryOf without the fingerprint, which takes most of the time.
func unsummed(l Line) Entry {
	e := Entry{Offset: l.Offset, Length: uint32(l.Length), Size: uint32(min(len(l.Input), math.MaxUint32)), Line: l.N}
	if l.ID != nil {
		e.IDHash = HashID(l.ID)
	}
	return e
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Fingerprint hashes the beginning of a modelInput. Records sorted by it have neighbours with a
// common prefix, so a server's prefix cache can be used. It consists of four 16-bit hashes, of
// the first 128, 512, 2048 and 8192 bytes, the shortest in the highest bits; 0 where the input
// is shorter. Equal hashes do not prove equal bytes.
func Fingerprint(input []byte) uint64 {
	var f uint64
	var sum uint32
	from := 0
	for _, to := range [...]int{128, 512, 2048, 8192} {
		f <<= 16
		if len(input) >= to {
			sum = crc32.Update(sum, castagnoli, input[from:to])
			f |= uint64(sum>>16 ^ sum&0xffff)
			from = to
		}
	}
	return f
}

// HashID returns the 64-bit FNV-1a hash of a recordId.
func HashID(id []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range id {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h
}

// An index block consists of a header, its entries, and the CRC-32C of both. Integers are
// little-endian. docs/formats.md describes the layout.
const (
	blockMagic   = "BLIX"
	blockVersion = 1
	headerBytes  = 24
	entryBytes   = 40
	sumBytes     = 4
)

// ErrCorrupt means that stored bytes were cut off or changed.
var ErrCorrupt = errors.New("the bytes are damaged")

// BlockBytes returns the length in bytes of a block of n entries.
func BlockBytes(n int) int { return headerBytes + n*entryBytes + sumBytes }

// AppendBlock appends the block of a chunk to dst. first is the number of its first record in
// the file.
func AppendBlock(dst []byte, first int64, es []Entry) []byte {
	start := len(dst)
	le := binary.LittleEndian
	dst = append(dst, blockMagic...)
	dst = le.AppendUint16(dst, blockVersion)
	dst = le.AppendUint16(dst, entryBytes)
	dst = le.AppendUint32(dst, uint32(len(es)))
	dst = le.AppendUint32(dst, 0)
	dst = le.AppendUint64(dst, uint64(first))
	for _, e := range es {
		dst = le.AppendUint64(dst, uint64(e.Offset))
		dst = le.AppendUint32(dst, e.Length)
		dst = le.AppendUint32(dst, e.Size)
		dst = le.AppendUint64(dst, uint64(e.Line))
		dst = le.AppendUint64(dst, e.IDHash)
		dst = le.AppendUint64(dst, e.Fingerprint)
	}
	return le.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

// ReadBlock decodes b, which must be exactly one block. The error wraps [ErrCorrupt] if the
// bytes are damaged. A block of a newer version is a different error.
func ReadBlock(b []byte) (first int64, es []Entry, err error) {
	le := binary.LittleEndian
	if len(b) < headerBytes+sumBytes || string(b[:4]) != blockMagic {
		return 0, nil, fmt.Errorf("read index block: %w", ErrCorrupt)
	}
	body := b[:len(b)-sumBytes]
	if le.Uint32(b[len(body):]) != crc32.Checksum(body, castagnoli) {
		return 0, nil, fmt.Errorf("read index block: %w", ErrCorrupt)
	}
	if v := le.Uint16(b[4:]); v != blockVersion {
		return 0, nil, fmt.Errorf("read index block: version %d; this program knows version %d", v, blockVersion)
	}
	n := int(le.Uint32(b[8:]))
	if le.Uint16(b[6:]) != entryBytes || len(b) != BlockBytes(n) {
		return 0, nil, fmt.Errorf("read index block: %w", ErrCorrupt)
	}
	es = make([]Entry, n)
	for i := range es {
		e := body[headerBytes+i*entryBytes:]
		es[i] = Entry{Offset: int64(le.Uint64(e)), Length: le.Uint32(e[8:]), Size: le.Uint32(e[12:]),
			Line: int64(le.Uint64(e[16:])), IDHash: le.Uint64(e[24:]), Fingerprint: le.Uint64(e[32:])}
	}
	return int64(le.Uint64(b[16:])), es, nil
}
