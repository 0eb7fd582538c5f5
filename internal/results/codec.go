package results

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/batholith/batholith"
)

// Journals and segments are frames after a head of 8 bytes. docs/formats.md describes both; integers are little-endian.
//
//	frame = length of payload (4) | CRC-32C of payload (4) | payload

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const (
	headBytes  = 8
	frameBytes = 8 // length and checksum before a frame's payload

	journalMagic = "BLJR"
	segmentMagic = "BLSG"
	version      = 3
	// Older versions are read and never written. unsourced has no sources and no canaries. oldVersion has also no kinds of errors and no
	// wasted tokens.
	unsourced  = 2
	oldVersion = 1
)

var (
	// errTorn: the bytes end inside a frame, for example because the writer was killed.
	errTorn = errors.New("the bytes end inside a frame")
	// errDamaged: the bytes differ from those that were written.
	errDamaged = errors.New("the bytes are damaged")
)

// appendHead appends the head of a file.
func appendHead(dst []byte, magic string) []byte {
	dst = append(dst, magic...)
	dst = binary.LittleEndian.AppendUint16(dst, version)
	return binary.LittleEndian.AppendUint16(dst, 0)
}

// checkHead returns the version in a head. An unknown version is an error.
func checkHead(b []byte, magic string) (uint16, error) {
	if len(b) != headBytes || string(b[:4]) != magic || b[6] != 0 || b[7] != 0 {
		return 0, errDamaged
	}
	v := binary.LittleEndian.Uint16(b[4:])
	if magic == journalMagic && v == sealedVersion {
		return v, nil
	}
	if v < oldVersion || v > version {
		return v, fmt.Errorf("version %d; this program knows versions up to %d", v, version)
	}
	return v, nil
}

// openFrame reserves the bytes of a frame's length and checksum. The caller appends the payload and calls closeFrame.
func openFrame(dst []byte) []byte { return append(dst, make([]byte, frameBytes)...) }

// closeFrame fills in the length and checksum of the frame that starts at start and is the rest of dst.
func closeFrame(dst []byte, start int) {
	payload := dst[start+frameBytes:]
	binary.LittleEndian.PutUint32(dst[start:], uint32(len(payload)))
	binary.LittleEndian.PutUint32(dst[start+4:], crc32.Checksum(payload, castagnoli))
}

// closeLongFrame fills in the length and checksum of a frame that is b followed by line. The caller writes line after b, without a copy.
func closeLongFrame(b, line []byte) {
	payload := b[frameBytes:]
	binary.LittleEndian.PutUint32(b, uint32(len(payload)+len(line)))
	binary.LittleEndian.PutUint32(b[4:], crc32.Update(crc32.Checksum(payload, castagnoli), castagnoli, line))
}

// frames reads the frames of a file one after the other.
type frames struct {
	r       io.Reader
	left    int64 // bytes that are left in r; a longer frame is torn
	buf     []byte
	form    uint16  // version of the file; set by head
	sources sources // sources of the outcomes read so far

	begun int64  // length of the frame of which begin has read only the start; 0: none
	sum   uint32 // checksum of the payload according to the frame
}

// head reads and checks the head of the file.
func (f *frames) head(magic string) error {
	var b [headBytes]byte
	if err := f.fill(b[:]); err != nil {
		return err
	}
	v, err := checkHead(b[:], magic)
	f.form = v
	return err
}

// next returns the payload of the next frame, valid until the next call, or io.EOF after the last one. errTorn and errDamaged are faults of
// the bytes; any other error is the reader's.
func (f *frames) next() ([]byte, error) {
	if f.left == 0 {
		return nil, io.EOF
	}
	var b [frameBytes]byte
	if err := f.fill(b[:]); err != nil {
		return nil, err
	}
	n := int64(binary.LittleEndian.Uint32(b[:]))
	if n > f.left {
		return nil, errTorn
	}
	f.sum = binary.LittleEndian.Uint32(b[4:])
	return f.payload(nil, n)
}

// If a frame is longer than longFrame bytes, begin reads only its first frameStart bytes, which hold the key of its first outcome.
const (
	longFrame  = 256 << 10
	frameStart = 64
)

// begin is next, except that it returns only the start of a long frame; finish returns the whole. So a merge of many segments with long
// lines holds one long line at a time, and not one for each segment.
func (f *frames) begin() (payload []byte, whole bool, err error) {
	if cap(f.buf) > longFrame {
		f.buf = nil // the buffer of a long frame is not kept
	}
	if f.left < frameBytes+longFrame {
		payload, err = f.next()
		return payload, true, err
	}
	var b [frameBytes]byte
	if err := f.fill(b[:]); err != nil {
		return nil, false, err
	}
	n := int64(binary.LittleEndian.Uint32(b[:]))
	f.sum = binary.LittleEndian.Uint32(b[4:])
	switch {
	case n > f.left:
		return nil, false, errTorn
	case n <= longFrame:
		payload, err = f.payload(nil, n)
		return payload, true, err
	}
	f.begun = n
	start := make([]byte, frameStart)
	return start, false, f.fill(start)
}

// finish reads the rest of the frame of which begin has returned the start.
func (f *frames) finish(start []byte) ([]byte, error) {
	n := f.begun
	f.begun = 0
	return f.payload(start, n)
}

// payload reads a payload of n bytes, of which start was read already, and checks it.
func (f *frames) payload(start []byte, n int64) ([]byte, error) {
	if int64(cap(f.buf)) < n || int64(cap(f.buf)) > 4*n+blockBytes {
		f.buf = make([]byte, n)
	}
	f.buf = f.buf[:n]
	if err := f.fill(f.buf[copy(f.buf, start):]); err != nil {
		return nil, err
	}
	if n == 0 || crc32.Checksum(f.buf, castagnoli) != f.sum {
		return nil, errDamaged // an empty frame is never written, but after a loss of power a disk may hold zeros
	}
	return f.buf, nil
}

// fill reads all of b. Missing bytes are errTorn, whether the length of the file or the reader shows it.
func (f *frames) fill(b []byte) error {
	if f.left < int64(len(b)) {
		return errTorn
	}
	n, err := io.ReadFull(f.r, b)
	f.left -= int64(n)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errTorn
	}
	return err
}

// appendOutcome appends an outcome without its job's id.
func appendOutcome(dst []byte, o *batholith.Outcome) []byte {
	return append(appendNumbers(dst, o), o.Line...)
}

// appendNumbers appends an outcome without its line.
func appendNumbers(dst []byte, o *batholith.Outcome) []byte {
	for _, n := range [...]uint64{uint64(o.Key.File), uint64(o.Key.Record), uint64(o.Chunk), uint64(o.First), uint64(o.Epoch),
		uint64(o.Attempts), uint64(o.Tokens.Input), uint64(o.Tokens.Output), uint64(o.Tokens.CacheRead), uint64(o.Tokens.CacheWrite),
		uint64(o.Wasted.Input), uint64(o.Wasted.Output), uint64(o.Wasted.CacheRead), uint64(o.Wasted.CacheWrite), uint64(o.Canaries)} {
		dst = binary.AppendUvarint(dst, n)
	}
	kind := o.Kind
	if o.Errored && kind == batholith.OutcomeAnswer {
		kind = batholith.OutcomeError
	}
	dst = appendSource(append(dst, byte(kind)), o.Source)
	return binary.AppendUvarint(dst, uint64(len(o.Line)))
}

// takeOutcome decodes an outcome of the given version from the start of b, and returns the bytes after it. The line is a slice of b.
// Outcomes with the same source share it while known holds it.
func takeOutcome(b []byte, form uint16, known *sources) (o batholith.Outcome, rest []byte, err error) {
	var n [15]uint64
	numbers, kinds := n[:], byte(batholith.OutcomeExhausted)
	switch form {
	case unsourced:
		numbers = n[:14]
	case oldVersion:
		numbers, kinds = n[:10], byte(batholith.OutcomeError)
	}
	for i := range numbers {
		v, size := binary.Uvarint(b)
		if size <= 0 || int64(v) < 0 {
			return o, nil, errDamaged
		}
		n[i], b = v, b[size:]
	}
	if len(b) == 0 || b[0] > kinds {
		return o, nil, errDamaged
	}
	kind := batholith.OutcomeKind(b[0])
	o = batholith.Outcome{Key: batholith.RecordKey{File: int(n[0]), Record: int64(n[1])}, Chunk: int(n[2]), First: int64(n[3]),
		Epoch: int64(n[4]), Attempts: int(n[5]), Errored: kind != batholith.OutcomeAnswer, Kind: kind,
		Tokens:   batholith.Tokens{Input: int64(n[6]), Output: int64(n[7]), CacheRead: int64(n[8]), CacheWrite: int64(n[9])},
		Wasted:   batholith.Tokens{Input: int64(n[10]), Output: int64(n[11]), CacheRead: int64(n[12]), CacheWrite: int64(n[13])},
		Canaries: int(n[14])}
	b = b[1:]
	if form > unsourced {
		var from []byte
		if from, b, err = takeBytes(b); err == nil {
			o.Source, err = known.read(from)
		}
		if err != nil {
			return o, nil, err
		}
	}
	o.Line, rest, err = takeBytes(b)
	return o, rest, err
}

// keyOf is the key of the outcome at the start of b.
func keyOf(b []byte) (batholith.RecordKey, error) {
	file, n := binary.Uvarint(b)
	if n <= 0 || int64(file) < 0 {
		return batholith.RecordKey{}, errDamaged
	}
	record, n := binary.Uvarint(b[n:])
	if n <= 0 || int64(record) < 0 {
		return batholith.RecordKey{}, errDamaged
	}
	return batholith.RecordKey{File: int(file), Record: int64(record)}, nil
}

// appendBytes appends the length of b and b. takeBytes reverses it.
func appendBytes[B ~[]byte | ~string](dst []byte, b B) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

// takeBytes returns bytes that appendBytes wrote, and those after them, as slices of b.
func takeBytes(b []byte) (taken, rest []byte, err error) {
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b)-size) {
		return nil, nil, errDamaged
	}
	end := size + int(n)
	return b[size:end:end], b[end:], nil
}
