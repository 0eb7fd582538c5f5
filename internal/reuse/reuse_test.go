package reuse

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"testing"
)

// A table finds, for any record, an answer to the same content and no other, and prefers that of its id. So it is whether the entries fit
// the memory or are sorted on the disk, and nothing is left there.
func TestATableFindsAnswersByTheirContent(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 1))
		dir := t.TempDir()
		b := NewBuilder(dir)
		b.most = 1 + r.IntN(60)
		for i := range 3 {
			b.Source(Source{Job: fmt.Sprint("job", i), ETag: "e"})
		}
		type answer struct {
			id string
			at Place
		}
		contents := 1 + r.IntN(50)
		known := map[int][]answer{}
		for i := range r.IntN(300) {
			content, a := r.IntN(contents), answer{fmt.Sprint("id", r.IntN(20)), Place{r.IntN(3), int64(i) << 33, uint32(i)}}
			if err := b.Add(hashOf(content), []byte(a.id), a.at); err != nil {
				t.Fatal(err)
			}
			if a.at.Source != 1 {
				known[content] = append(known[content], a)
			}
		}
		b.Drop(1)
		var out bytes.Buffer
		n, err := b.Write(&out)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		table, err := Load(bytes.NewReader(out.Bytes()), int64(out.Len()), dir)
		if err != nil || table.Len() != n {
			t.Fatalf("seed %d: a table of %d entries is read as %d: %v", seed, n, table.Len(), err)
		}
		for content := range contents + 5 {
			id := fmt.Sprint("id", r.IntN(20))
			p, ok, err := table.Find(hashOf(content), []byte(id), r.Int64N(1000))
			if err != nil || ok != (len(known[content]) > 0) {
				t.Fatalf("seed %d: content %d with %d answers: %v %v", seed, content, len(known[content]), ok, err)
			}
			var fits, named bool
			for _, a := range known[content] {
				fits = fits || a.at == p
				named = named || a.id == id
			}
			if ok && !fits {
				t.Fatalf("seed %d: content %d gets the answer at %v, which is of another", seed, content, p)
			}
			if named && !func() bool {
				for _, a := range known[content] {
					if a.at == p && a.id == id {
						return true
					}
				}
				return false
			}() {
				t.Fatalf("seed %d: record %s has an answer of its own, and gets another", seed, id)
			}
		}
		table.Close()
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Fatalf("%v is left on the disk", left)
		}
	}
}

func hashOf(content int) Hash { return HashOf(fmt.Append(nil, content)) }

// Equal records that were sampled several times keep several answers, also if their ids have changed.
func TestEqualRecordsKeepTheirDifferentAnswers(t *testing.T) {
	b := NewBuilder(t.TempDir())
	b.Source(Source{})
	for i := range 5 {
		b.Add(hashOf(1), fmt.Append(nil, "old", i), Place{0, int64(i), 1})
	}
	table := loaded(t, b)
	seen := map[int64]bool{}
	for i := range int64(5) {
		p, _, _ := table.Find(hashOf(1), fmt.Append(nil, "new", i), i)
		seen[p.Offset] = true
	}
	if len(seen) != 5 {
		t.Errorf("five equal records share %d answers of five", len(seen))
	}
}

func loaded(t *testing.T, b *Builder) *Table {
	t.Helper()
	var out bytes.Buffer
	if _, err := b.Write(&out); err != nil {
		t.Fatal(err)
	}
	table, err := Load(&out, int64(out.Len()), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { table.Close() })
	return table
}

// A table of which a byte is missing or another is an error, and never a wrong place.
func TestADamagedTableIsNoTable(t *testing.T) {
	b := NewBuilder(t.TempDir())
	b.Source(Source{Job: "a"})
	for i := range 20 {
		b.Add(hashOf(i), nil, Place{0, int64(i), 1})
	}
	var out bytes.Buffer
	b.Write(&out)
	whole := out.Bytes()
	for i := 0; i < len(whole); i += 7 {
		bad := bytes.Clone(whole)
		bad[i] ^= 1
		if _, err := Load(bytes.NewReader(bad), int64(len(bad)), t.TempDir()); !errors.Is(err, ErrDamaged) {
			t.Fatalf("with another byte %d: %v", i, err)
		}
		if _, err := Load(bytes.NewReader(whole[:i]), int64(i), t.TempDir()); err == nil {
			t.Fatalf("%d of %d bytes are taken for a table", i, len(whole))
		}
	}
	if _, err := Load(io.LimitReader(bytes.NewReader(whole), 50), int64(len(whole)), t.TempDir()); err == nil {
		t.Error("a table that breaks off is taken")
	}
}

// The table of 120,000 answers, of more than 4 MiB, is sorted with the memory of 10,000 of them, and looked up where it lies on the disk.
func TestALargeTableIsNotInMemory(t *testing.T) {
	dir := t.TempDir()
	b := NewBuilder(dir)
	b.most = 10_000
	b.Source(Source{})
	const n = 120_000
	for i := range n {
		if err := b.Add(hashOf(i), nil, Place{0, int64(i), 1}); err != nil {
			t.Fatal(err)
		}
		if len(b.memory) > b.most {
			t.Fatalf("%d entries are in memory", len(b.memory))
		}
	}
	f, err := os.CreateTemp(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := b.Write(f); err != nil {
		t.Fatal(err)
	}
	b.Close()
	size, _ := f.Seek(0, io.SeekCurrent)
	f.Seek(0, io.SeekStart)
	table, err := Load(f, size, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	if table.file == nil {
		t.Errorf("a table of %d bytes is in memory", size)
	}
	for i := 0; i < n; i += 997 {
		if p, ok, err := table.Find(hashOf(i), nil, 0); err != nil || !ok || p.Offset != int64(i) {
			t.Fatalf("answer %d: %v %v %v", i, p, ok, err)
		}
	}
}
