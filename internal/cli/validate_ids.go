package cli

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/batholith/batholith/internal/jsonl"
)

// idSet finds repeated recordIds by their 64-bit hashes. Up to most ids stay in memory. Beyond that they are
// written to idParts temporary files, divided by the hash, and each file is examined alone: 16 bytes of disk per
// record, and memory for one file at a time.
//
// Two different ids with equal hashes would be reported as repeated. For a million ids the probability is about
// n²/2⁶⁵ = 3 × 10⁻⁸.
type idSet struct {
	most int // in memory

	mu      sync.Mutex
	missing int64 // records without an id
	ids     []idPlace
	dir     string // of the parts; "" while there are none
	parts   []*idPart
}

// idPlace is the place of an id. place holds the file's number in its upper 24 bits and the line in its lower 40,
// so places sort in the order of the input.
type idPlace struct{ hash, place uint64 }

// lineBits is the number of bits for the line: enough for 10¹² lines.
const lineBits = 40

// file returns the index of the file.
func (p idPlace) file() int   { return int(p.place >> lineBits) }
func (p idPlace) line() int64 { return int64(p.place & (1<<lineBits - 1)) }

// idPart is a temporary file with the ids of one remainder of the hash.
type idPart struct {
	file *os.File
	w    *bufio.Writer
}

const (
	// memoryIDs is the number of ids that stay in memory: 2¹⁹ × 16 bytes = 8 MiB. idParts is the number of
	// temporary files, and idBytes the length of an id in them: the hash and the place, 8 bytes each.
	memoryIDs = 1 << 19
	idParts   = 64
	idBytes   = 16
)

// add adds the ids of some records of a file. A record without an id is counted as missing. It may write to the
// disk.
func (s *idSet) add(file int, es []jsonl.Entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range es {
		if e.IDHash == 0 {
			s.missing++
			continue
		}
		if len(s.ids) == s.most {
			if err := s.spill(); err != nil {
				return err
			}
		}
		s.ids = append(s.ids, idPlace{e.IDHash, uint64(file)<<lineBits | uint64(e.Line)})
	}
	return nil
}

// spill moves the ids in memory to the parts. It creates them at the first call.
func (s *idSet) spill() error {
	if s.dir == "" {
		if err := s.open(); err != nil {
			return fmt.Errorf("make room for recordIds: %w", err)
		}
	}
	var b [idBytes]byte
	for _, id := range s.ids {
		binary.LittleEndian.PutUint64(b[:], id.hash)
		binary.LittleEndian.PutUint64(b[8:], id.place)
		if _, err := s.parts[id.hash%idParts].w.Write(b[:]); err != nil {
			return fmt.Errorf("keep recordIds: %w", err)
		}
	}
	s.ids = s.ids[:0]
	return nil
}

// open creates the parts in a new folder of the system's temporary directory.
func (s *idSet) open() (err error) {
	if s.dir, err = os.MkdirTemp("", "batholith-validate-"); err != nil {
		return err
	}
	for i := range idParts {
		f, err := os.Create(filepath.Join(s.dir, fmt.Sprint(i)))
		if err != nil {
			return err
		}
		s.parts = append(s.parts, &idPart{f, bufio.NewWriterSize(f, 16<<10)})
	}
	return nil
}

// close removes the parts. After a kill they remain in the temporary directory.
func (s *idSet) close() {
	for _, p := range s.parts {
		p.file.Close()
	}
	if s.dir != "" {
		os.RemoveAll(s.dir)
	}
}

// each calls visit with groups of ids. All ids with the same hash are in one group. visit may sort its argument
// but must not keep it. The ids in memory are written to the parts first, so that one group is in memory at a
// time. The error is that of the temporary files.
func (s *idSet) each(visit func([]idPlace)) error {
	if s.dir == "" {
		visit(s.ids)
		return nil
	}
	if err := s.spill(); err != nil {
		return err
	}
	for _, p := range s.parts {
		if err := errors.Join(p.w.Flush(), p.load(&s.ids)); err != nil {
			return fmt.Errorf("read recordIds: %w", err)
		}
		visit(s.ids)
	}
	return nil
}

// load reads all ids of a part into a slice, whose capacity is reused.
func (p *idPart) load(into *[]idPlace) error {
	if _, err := p.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	*into = (*into)[:0]
	buf := make([]byte, 4096*idBytes)
	for {
		n, err := io.ReadFull(p.file, buf)
		for b := buf[:n]; len(b) >= idBytes; b = b[idBytes:] {
			*into = append(*into, idPlace{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])})
		}
		switch err {
		case nil:
		case io.EOF, io.ErrUnexpectedEOF:
			return nil
		default:
			return err
		}
	}
}

// distinct reports whether surely no two ids have the same hash. It enters 31 bits of each hash into an open-
// addressed table whose size is at least twice the number of ids, which takes a tenth of the time of sorting.
// false is not certain: ids may share these bits only.
func distinct(ids []idPlace) bool {
	size := bits.Len(uint(2 * len(ids)))
	table := make([]uint32, 1<<size)
	for _, id := range ids {
		at, mark := id.hash*0x9e3779b97f4a7c15>>(64-size), uint32(id.hash)|1 // Fibonacci hashing
		for table[at] != 0 {
			if table[at] == mark {
				return false
			}
			at = (at + 1) & (1<<size - 1)
		}
		table[at] = mark
	}
	return true
}

// repeated returns the number of records whose id an earlier record has, and adds them to first while there is
// room. name returns a file's name for the message.
func (s *idSet) repeated(first *jsonl.First, name func(file int) string) (n int64, err error) {
	err = s.each(func(ids []idPlace) {
		if distinct(ids) {
			return
		}
		// Sorted by hash and then by place, the first of equal hashes is the first in the input.
		slices.SortFunc(ids, func(a, b idPlace) int {
			return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.place, b.place))
		})
		one := 0 // the first of its id
		for i := 1; i < len(ids); i++ {
			if ids[i].hash != ids[one].hash {
				one = i
				continue
			}
			n++
			if !first.Room(ids[i].file(), ids[i].line()) {
				continue // a million of them would cost their words
			}
			first.Add(ids[i].file(), []jsonl.Problem{{Line: ids[i].line(),
				Reason: fmt.Sprintf("the recordId is that of %s:%d", name(ids[one].file()), ids[one].line())}})
		}
	})
	return n, err
}
