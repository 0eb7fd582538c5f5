package reuse

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"sort"
)

// Object is the name of a table among a job's working files.
const Object = "reuse.tab"

// ErrDamaged says that bytes are no table, or not the ones that were written.
var ErrDamaged = errors.New("the table of earlier answers is damaged")

// mostInMemory is the largest table that is kept in memory, in bytes.
const mostInMemory = 4 << 20

// Table finds answers. It is safe for concurrent use until Close.
type Table struct {
	Sources []Source
	entries io.ReaderAt
	n       int64
	counts  [256]uint64
	file    *os.File // nil: the table is in memory
}

// Load reads a table of size bytes. A large one is copied to a file in dir. The error is ErrDamaged, or that of the
// reader or of the disk. The caller must call Close.
func Load(from io.Reader, size int64, dir string) (*Table, error) {
	t := &Table{}
	if err := t.load(from, size, dir); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

func (t *Table) load(from io.Reader, size int64, dir string) (err error) {
	if size < headBytes+tailBytes {
		return ErrDamaged
	}
	sum := crc32.New(castagnoli)
	var all io.ReaderAt
	var to io.Writer
	var memory *bytes.Buffer
	if size <= mostInMemory {
		memory = bytes.NewBuffer(make([]byte, 0, size))
		to = memory
	} else {
		if t.file, err = scratch(dir); err != nil {
			return err
		}
		to, all = t.file, t.file
	}
	if _, err := io.CopyN(io.MultiWriter(to, sum), from, size-8); err != nil {
		return fmt.Errorf("read the table of earlier answers: %w", err)
	}
	var end [8]byte
	if _, err := io.ReadFull(from, end[:]); err != nil {
		return fmt.Errorf("read the table of earlier answers: %w", err)
	}
	if binary.BigEndian.Uint32(end[:]) != sum.Sum32() || string(end[4:]) != magic {
		return ErrDamaged
	}
	if memory != nil {
		all = bytes.NewReader(memory.Bytes())
	}
	return t.open(all, size-8)
}

// open reads what follows the entries. size is without checksum and magic.
func (t *Table) open(all io.ReaderAt, size int64) error {
	var head [headBytes]byte
	tail := make([]byte, tailBytes-8)
	if _, err := all.ReadAt(head[:], 0); err != nil {
		return fmt.Errorf("read the table of earlier answers: %w", err)
	}
	if _, err := all.ReadAt(tail, size-int64(len(tail))); err != nil {
		return fmt.Errorf("read the table of earlier answers: %w", err)
	}
	if string(head[:4]) != magic || binary.BigEndian.Uint16(head[4:]) != version {
		return ErrDamaged
	}
	for i := range t.counts {
		t.counts[i] = binary.BigEndian.Uint64(tail[i*8:])
	}
	n, length := binary.BigEndian.Uint64(tail[256*8:]), binary.BigEndian.Uint64(tail[256*8+8:])
	if t.counts[255] != n || n > uint64(size)/entryBytes || length > uint64(size) || headBytes+n*entryBytes+length+uint64(len(tail)) != uint64(size) {
		return ErrDamaged
	}
	t.n = int64(n)
	sources := make([]byte, length)
	if _, err := all.ReadAt(sources, headBytes+t.n*entryBytes); err != nil {
		return fmt.Errorf("read the table of earlier answers: %w", err)
	}
	if json.Unmarshal(sources, &t.Sources) != nil {
		return ErrDamaged
	}
	t.entries = io.NewSectionReader(all, headBytes, t.n*entryBytes)
	return nil
}

// Close removes the table's file.
func (t *Table) Close() error {
	if t.file == nil {
		return nil
	}
	f := t.file
	t.file = nil
	return discard(f)
}

// Len returns the number of entries.
func (t *Table) Len() int64 { return t.n }

// Find returns the place of an answer to a record with this hash. Of several it prefers one that has the record's id;
// otherwise records with different numbers get different ones: two equal records that were sampled twice keep two answers.
func (t *Table) Find(h Hash, id []byte, number int64) (p Place, ok bool, err error) {
	low, high := int64(0), int64(t.counts[h[0]])
	if h[0] > 0 {
		low = int64(t.counts[h[0]-1])
	}
	same := entryOf(h, id, Place{})
	from, err := t.search(low, high, h[:])
	if err != nil || from == high {
		return p, false, err
	}
	e, err := t.at(from)
	if err != nil || !bytes.HasPrefix(e[:], h[:]) {
		return p, false, err
	}
	named, err := t.search(from, high, same[:hashBytes+idBytes])
	if err != nil {
		return p, false, err
	}
	if named < high {
		if e, err := t.at(named); err != nil || bytes.HasPrefix(e[:], same[:hashBytes+idBytes]) {
			p = t.checked(e)
			return p, p.Source >= 0, err
		}
	}
	to, err := t.search(from, high, append(append([]byte{}, h[:]...), 0xff, 0xff, 0xff, 0xff, 0xff))
	if err != nil {
		return p, false, err
	}
	if e, err = t.at(from + number%max(to-from, 1)); err != nil {
		return p, false, err
	}
	p = t.checked(e)
	return p, p.Source >= 0, nil
}

// checked returns the place of an entry; its source is -1 if there is no such source.
func (t *Table) checked(e entry) Place {
	p := e.place()
	if p.Source >= len(t.Sources) {
		p.Source = -1
	}
	return p
}

// search returns the first entry from low to high that is not below prefix; high: there is none.
func (t *Table) search(low, high int64, prefix []byte) (at int64, err error) {
	n := sort.Search(int(high-low), func(i int) bool {
		if err != nil {
			return true
		}
		var e entry
		e, err = t.at(low + int64(i))
		return bytes.Compare(e[:min(len(prefix), entryBytes)], prefix) >= 0
	})
	return low + int64(n), err
}

// at reads an entry.
func (t *Table) at(i int64) (e entry, err error) {
	if _, err := t.entries.ReadAt(e[:], i*entryBytes); err != nil {
		return e, fmt.Errorf("read the table of earlier answers: %w", err)
	}
	return e, nil
}
