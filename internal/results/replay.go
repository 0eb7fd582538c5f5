package results

import (
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"github.com/batholith/batholith"
)

// damage says how much of a journal file cannot be read. errors.Is(d, errDamaged) is true.
type damage struct {
	path  string
	bytes int64 // bytes that belong to no whole frame
	at    int64 // offset of the first of them
}

// Error names the file, the number of unreadable bytes and the place of the first.
func (d *damage) Error() string {
	return fmt.Sprintf("read journal %s: %v: %d bytes cannot be read, the first at %d", d.path, errDamaged, d.bytes, d.at)
}

// Unwrap returns errDamaged.
func (d *damage) Unwrap() error { return errDamaged }

// replay calls visit for each outcome of a journal file, in the order of their journalling. visit may keep the line. The
// worker is empty if the frame with its name is damaged.
//
// Damaged bytes are skipped, up to the next frame with a right checksum and form: only the outcomes in damaged bytes are lost. At the end,
// replay returns a *damage. An unfinished frame at the end of the last file is no damage: its writer was killed.
func replay(path string, visit func(worker string, o batholith.Outcome) error) error {
	_, err := replayFile(path, true, visit)
	return err
}

// replayFile replays a journal file. last: it is the last one that was written. It returns the offset of an unfinished end, or the length
// of the file if there is none.
func replayFile(path string, last bool, visit func(worker string, o batholith.Outcome) error) (end int64, err error) {
	return replaySealed(path, last, nil, visit)
}

// replaySealed is replayFile with the keys of encrypted files.
func replaySealed(path string, last bool, keys Keys, visit func(worker string, o batholith.Outcome) error) (end int64, err error) {
	b, holes, err := readFile(path)
	if err != nil {
		return 0, fmt.Errorf("read journal: %w", err)
	}
	r := &journalReader{path: path, b: b, end: len(b), form: version, keys: keys, hurt: damage{path: path, bytes: holes}}
	if err := r.head(last); err != nil {
		return 0, err
	}
	if err := r.unlock(); err != nil {
		return 0, err
	}
	r.owner()
	for r.at < r.end {
		o, ok := r.next(last)
		if !ok {
			continue
		}
		if err := visit(r.worker, o); err != nil {
			return 0, err
		}
	}
	if r.hurt.bytes > 0 {
		return int64(r.end), &r.hurt
	}
	return int64(r.end), nil
}

// readFile reads a file. Blocks that the disk cannot read are zero, and are counted in holes. A path that is no regular file is one hole of
// one byte; to open a pipe could wait for ever.
func readFile(path string) (b []byte, holes int64, err error) {
	if what, err := os.Stat(path); err == nil && !what.Mode().IsRegular() {
		return nil, 1, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, 0, err
	}
	b = make([]byte, info.Size())
	n, err := io.ReadFull(file, b)
	if err == nil || err == io.ErrUnexpectedEOF || err == io.EOF {
		return b[:n], 0, nil // it may have become shorter since Stat
	}
	const block = 4096
	for at := 0; at < len(b); at += block {
		piece := b[at:min(at+block, len(b))]
		if _, err := file.ReadAt(piece, int64(at)); err != nil {
			clear(piece)
			holes += int64(len(piece))
		}
	}
	return b, holes, nil
}

// journalReader reads a journal file in memory. A file has little more than fileBytes: it ends with the frame that reaches that size.
type journalReader struct {
	path    string
	b       []byte
	at      int // offset of the next frame
	end     int // end of the finished frames
	form    uint16
	guess   bool // the head is damaged (and counted as such): form is found by trying all versions
	worker  string
	keys    Keys
	aead    cipher.AEAD // of an encrypted file
	first   int         // offset of the frame with the worker's id
	hurt    damage
	sources sources
}

// lost counts bytes as unreadable.
func (r *journalReader) lost(at, bytes int) {
	if r.hurt.bytes == 0 {
		r.hurt.at = int64(at)
	}
	r.hurt.bytes += int64(bytes)
}

// head reads the head of the file. A newer version is an error. If frames of a known version follow, the head is damaged instead.
func (r *journalReader) head(last bool) error {
	if len(r.b) < headBytes {
		if !last && len(r.b) > 0 {
			r.lost(0, len(r.b))
		}
		r.at, r.end = 0, 0
		return nil
	}
	r.at = headBytes
	v, err := checkHead(r.b[:headBytes], journalMagic)
	if err == nil {
		r.form = v
		return nil
	}
	r.guess = true
	if last && allZero(r.b) { // the length of the file was synced, and its bytes were not
		r.at, r.end = 0, 0
		return nil
	}
	if v > version && !r.speaks() {
		return fmt.Errorf("read journal %s: %w. A newer batholith wrote it: start that one, or move the file away to start without it", r.path, err)
	}
	r.lost(0, headBytes)
	return nil
}

// speaks reports whether some frame holds an outcome in a known version.
func (r *journalReader) speaks() bool {
	_, ok := r.find(headBytes)
	return ok || r.locked()
}

// allZero reports whether all bytes are zero.
func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// owner reads the first frame, which names the worker. If it is damaged, next skips it.
func (r *journalReader) owner() {
	if r.at == 0 || r.at == r.end {
		return
	}
	r.first = r.at
	if payload, ok := r.frame(r.at); ok {
		if _, isOutcome := r.outcome(payload); !isOutcome {
			r.name(payload)
			r.at += frameBytes + len(payload)
		}
	}
}

// name takes the worker's id from the payload of its frame.
func (r *journalReader) name(payload []byte) {
	if r.aead != nil {
		payload, _ = unseal(r.aead, payload)
	}
	r.worker = string(payload)
}

// next returns the outcome of the frame at r.at and moves on. If that frame is damaged, it returns false and moves on to the next readable
// frame, or to the end.
func (r *journalReader) next(last bool) (batholith.Outcome, bool) {
	if payload, ok := r.frame(r.at); ok {
		at := r.at
		r.at += frameBytes + len(payload)
		o, ok := r.outcome(payload)
		if !ok {
			r.lost(at, r.at-at)
		}
		return o, ok
	}
	from := r.at
	to, found := r.find(from + 1)
	r.at = to
	// If only the length is damaged, the payload is everything before the next frame, and its checksum is right.
	if to-from > frameBytes {
		payload := r.b[from+frameBytes : to]
		if crc32.Checksum(payload, castagnoli) == binary.LittleEndian.Uint32(r.b[from+4:]) {
			r.lost(from, 4)
			if o, ok := r.outcome(payload); ok {
				return o, true
			}
			if from == r.first {
				r.name(payload)
			}
			return batholith.Outcome{}, false
		}
	}
	if !found && last && torn(r.b[from:]) {
		r.end = from
		return batholith.Outcome{}, false
	}
	r.lost(from, to-from)
	return batholith.Outcome{}, false
}

// frame returns the payload of the frame at an offset, and whether it is whole.
func (r *journalReader) frame(at int) ([]byte, bool) {
	b := r.b[at:]
	if len(b) < frameBytes {
		return nil, false
	}
	n := int64(binary.LittleEndian.Uint32(b))
	if n == 0 || n > int64(len(b)-frameBytes) { // an empty frame is never written, but disks leave zeros behind
		return nil, false
	}
	payload := b[frameBytes : frameBytes+n]
	return payload, crc32.Checksum(payload, castagnoli) == binary.LittleEndian.Uint32(b[4:])
}

// outcome decodes a payload into an outcome with memory of its own. If the version of the head does not fit, the head may be damaged, and
// all versions are tried. No payload fits two versions: its source or line would not end with the payload.
func (r *journalReader) outcome(payload []byte) (batholith.Outcome, bool) {
	if r.aead != nil {
		plain, ok := unseal(r.aead, payload)
		if !ok {
			return batholith.Outcome{}, false
		}
		o, err := r.journalled(plain, version)
		return o, err == nil
	}
	o, err := r.journalled(payload, r.form)
	if err == nil && r.form != sealedVersion { // that version has its key in the first frame
		return o, true
	}
	for other := uint16(version); other >= oldVersion; other-- {
		if other == r.form {
			continue
		}
		if o, err = r.journalled(payload, other); err != nil {
			continue
		}
		if r.form = other; !r.guess {
			r.guess = true
			r.lost(0, headBytes)
		}
		return o, true
	}
	return o, false
}

// find returns the offset of the next whole frame with an outcome, from a place on, or the end of the file and false.
//
// A line cannot look like a frame: all its bytes are at least that of a tab (9), so four of them as a length are above 150 MB. Most offsets
// are therefore skipped after one comparison.
func (r *journalReader) find(from int) (int, bool) {
	for at := from; at+frameBytes < len(r.b); at++ {
		if n := int64(binary.LittleEndian.Uint32(r.b[at:])); n == 0 || n > int64(len(r.b)-at-frameBytes) {
			continue
		} else if r.aead == nil && !outlined(r.b[at+frameBytes:][:n]) || r.aead != nil && r.b[at+frameBytes+int(n)-1] != '\n' {
			continue
		}
		if payload, ok := r.frame(at); ok {
			if _, ok := r.outcome(payload); ok {
				return at, true
			}
		}
	}
	return len(r.b), false
}

// outlined reports whether a payload may be an outcome, by its first and last bytes. That is cheaper than its checksum.
func outlined(payload []byte) bool {
	job, _, err := takeBytes(payload)
	return err == nil && len(job) > 0 && payload[len(payload)-1] == '\n'
}

// maxPayload is more than the length of any frame that was ever written, in bytes.
const maxPayload = 1 << 30

// torn reports whether the end of a file may be an unfinished frame: it is truncated, or ends with zeros, since a disk may have extended
// the file before it got the bytes. Every whole frame ends with a letter or a newline.
func torn(b []byte) bool {
	if len(b) < frameBytes || b[len(b)-1] == 0 {
		return true
	}
	n := int64(binary.LittleEndian.Uint32(b))
	return n > int64(len(b)-frameBytes) && n < maxPayload
}

// journalled decodes a frame's payload of the given version into an outcome with memory of its own.
func (r *journalReader) journalled(payload []byte, form uint16) (batholith.Outcome, error) {
	job, rest, err := takeBytes(payload)
	if err != nil {
		return batholith.Outcome{}, err
	}
	o, rest, err := takeOutcome(rest, form, &r.sources)
	if err == nil && len(rest) > 0 {
		err = errDamaged
	}
	if err != nil {
		return batholith.Outcome{}, err
	}
	o.Job, o.Line = string(job), append([]byte(nil), o.Line...)
	return o, nil
}
