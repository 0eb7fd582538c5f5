package reuse

import (
	"bufio"
	"bytes"
	"container/heap"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"slices"
)

const (
	magic     = "BLRU"
	version   = 1
	headBytes = 8
	tailBytes = 256*8 + 8 + 8 + 4 + 4

	// inMemory is how many entries a Builder holds: 4.5 MiB. More are sorted on the disk.
	inMemory = 1 << 17
	// mergeMemory is shared by the buffers of the sorted stretches that are merged, in bytes.
	mergeMemory           = 4 << 20
	leastBuffer, mostRead = 4 << 10, 64 << 10
)

// Builder sorts entries for a table. It is not safe for concurrent use.
type Builder struct {
	dir     string
	memory  []entry
	file    *os.File // sorted stretches, one after the other; nil: everything is in memory
	ends    []int64  // of the stretches in the file
	n       int64
	most    int // entries in memory
	sources []Source
	dropped map[int]bool
}

// NewBuilder makes a Builder that puts what its memory does not hold into a file in dir. The caller must call Close.
func NewBuilder(dir string) *Builder {
	return &Builder{dir: dir, most: inMemory, dropped: map[int]bool{}}
}

// Source adds a source and returns its number. Of answers to one record that differ in nothing else, the one of the
// lowest source is found.
func (b *Builder) Source(s Source) int {
	b.sources = append(b.sources, s)
	return len(b.sources) - 1
}

// Drop takes back the entries of a source.
func (b *Builder) Drop(source int) { b.dropped[source] = true }

// Add takes in the place of an answer to a record.
func (b *Builder) Add(h Hash, id []byte, p Place) error {
	if len(b.memory) >= b.most {
		if err := b.spill(); err != nil {
			return err
		}
	}
	b.memory = append(b.memory, entryOf(h, id, p))
	b.n++
	return nil
}

// Len returns the number of entries, with those that were dropped later.
func (b *Builder) Len() int64 { return b.n }

// sort orders the entries in memory.
func (b *Builder) sort() {
	slices.SortFunc(b.memory, func(x, y entry) int { return bytes.Compare(x[:], y[:]) })
}

// spill writes the entries in memory to the file as one sorted stretch.
func (b *Builder) spill() (err error) {
	if b.file == nil {
		if b.file, err = scratch(b.dir); err != nil {
			return err
		}
	}
	b.sort()
	w := bufio.NewWriterSize(b.file, mostRead)
	for i := range b.memory {
		if _, err := w.Write(b.memory[i][:]); err != nil {
			return fmt.Errorf("sort answers on the disk: %w", err)
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("sort answers on the disk: %w", err)
	}
	b.ends = append(b.ends, b.end()+int64(len(b.memory))*entryBytes)
	b.memory = b.memory[:0]
	return nil
}

func (b *Builder) end() int64 {
	if len(b.ends) == 0 {
		return 0
	}
	return b.ends[len(b.ends)-1]
}

// scratch makes a file that has no name and is gone when it is closed, wherever the system permits that.
func scratch(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "reuse-*")
	if err != nil {
		return nil, fmt.Errorf("make a file for answers of earlier jobs: %w", err)
	}
	_ = os.Remove(f.Name()) // Windows refuses this while the file is open; discard removes it then
	return f, nil
}

// discard closes a scratch file and removes it.
func discard(f *os.File) error {
	err := f.Close()
	if gone := os.Remove(f.Name()); gone != nil && !errors.Is(gone, os.ErrNotExist) {
		err = errors.Join(err, gone)
	}
	return err
}

// Close removes the Builder's file.
func (b *Builder) Close() error {
	if b.file == nil {
		return nil
	}
	f := b.file
	b.file = nil
	return discard(f)
}

// Write writes the table and returns its number of entries. No entry can be added afterwards.
func (b *Builder) Write(to io.Writer) (n int64, err error) {
	b.sort()
	sum := crc32.New(castagnoli)
	w := bufio.NewWriterSize(io.MultiWriter(to, sum), mostRead)
	head := append([]byte(magic), make([]byte, 4)...)
	binary.BigEndian.PutUint16(head[4:], version)
	if _, err := w.Write(head); err != nil {
		return 0, err
	}
	var counts [256]uint64
	err = b.each(func(e *entry) error {
		counts[e[0]]++
		n++
		_, err := w.Write(e[:])
		return err
	})
	if err != nil {
		return 0, err
	}
	sources, err := json.Marshal(b.sources)
	if err != nil {
		return 0, err
	}
	tail := sources
	total := uint64(0)
	for _, c := range counts {
		total += c
		tail = binary.BigEndian.AppendUint64(tail, total)
	}
	tail = binary.BigEndian.AppendUint64(tail, uint64(n))
	tail = binary.BigEndian.AppendUint64(tail, uint64(len(sources)))
	if _, err := w.Write(tail); err != nil {
		return 0, err
	}
	if err := w.Flush(); err != nil {
		return 0, err
	}
	_, err = to.Write(append(binary.BigEndian.AppendUint32(nil, sum.Sum32()), magic...))
	return n, err
}

// each calls do for all entries in order, without those of dropped sources.
func (b *Builder) each(do func(*entry) error) error {
	var all stretches
	begin := int64(0)
	buffer := min(max(mergeMemory/max(len(b.ends), 1), leastBuffer), mostRead)
	for _, end := range b.ends {
		all = append(all, &stretch{r: bufio.NewReaderSize(io.NewSectionReader(b.file, begin, end-begin), buffer)})
		begin = end
	}
	all = append(all, &stretch{rest: b.memory})
	for i := 0; i < len(all); {
		more, err := all[i].next()
		if err != nil {
			return err
		}
		if more {
			i++
		} else {
			all = slices.Delete(all, i, i+1)
		}
	}
	heap.Init(&all)
	for len(all) > 0 {
		first := all[0]
		if !b.dropped[first.at.source()] {
			if err := do(&first.at); err != nil {
				return err
			}
		}
		more, err := first.next()
		switch {
		case err != nil:
			return err
		case more:
			heap.Fix(&all, 0)
		default:
			heap.Pop(&all)
		}
	}
	return nil
}

// stretch is a sorted sequence of entries, in a file or in memory.
type stretch struct {
	r    *bufio.Reader // nil: rest
	rest []entry
	at   entry
}

// next advances to the next entry; more is false at the end.
func (s *stretch) next() (more bool, err error) {
	if s.r == nil {
		if len(s.rest) == 0 {
			return false, nil
		}
		s.at, s.rest = s.rest[0], s.rest[1:]
		return true, nil
	}
	switch _, err := io.ReadFull(s.r, s.at[:]); {
	case errors.Is(err, io.EOF):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("read sorted answers from the disk: %w", err)
	}
	return true, nil
}

// stretches is a heap by the present entry.
type stretches []*stretch

func (s stretches) Len() int           { return len(s) }
func (s stretches) Less(i, j int) bool { return bytes.Compare(s[i].at[:], s[j].at[:]) < 0 }
func (s stretches) Swap(i, j int)      { s[i], s[j] = s[j], s[i] }
func (s *stretches) Push(any)          { panic("a stretch is never added") }
func (s *stretches) Pop() any {
	old := *s
	last := old[len(old)-1]
	*s = old[:len(old)-1]
	return last
}
