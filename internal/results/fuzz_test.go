package results

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/object/objecttest"
)

// harmed is b with a byte changed and others taken out.
func harmed(b []byte, at, cut, length uint16, flip byte) []byte {
	b = bytes.Clone(b)
	b[int(at)%len(b)] ^= flip
	from := int(cut) % (len(b) + 1)
	return append(b[:from:from], b[min(from+int(length), len(b)):]...)
}

// A journal file is never believed beyond what was written: what is read of one that is harmed is a beginning of it.
func FuzzJournalFile(f *testing.F) {
	want := some(7)
	dir := f.TempDir()
	j, err := openJournal(dir, "a", nil)
	if err != nil {
		f.Fatal(err)
	}
	for i := range want {
		j.append(&want[i])
	}
	j.write()
	j.end()
	whole, err := os.ReadFile(filepath.Join(dir, "0000000000.log"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint16(0), uint16(0), uint16(0), byte(0))
	f.Add(uint16(9), uint16(40), uint16(3), byte(1))
	f.Add(uint16(len(whole)-1), uint16(len(whole)), uint16(0), byte(0x80))
	f.Fuzz(func(t *testing.T, at, cut, length uint16, flip byte) {
		path := filepath.Join(t.TempDir(), "0000000000.log")
		if err := os.WriteFile(path, harmed(whole, at, cut, length, flip), 0o600); err != nil {
			t.Fatal(err)
		}
		got, _ := replayed(path)
		if len(got) > len(want) {
			t.Fatalf("%d outcomes of %d", len(got), len(want))
		}
		if diff := cmp.Diff(want[:len(got)], got); len(got) > 0 && diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// A segment is as it was committed, or it is refused.
func FuzzSegment(f *testing.F) {
	want := some(40)
	for i := range want {
		want[i].Key = batholith.RecordKey{Record: int64(i)}
	}
	var body bytes.Buffer
	w := newSegmentWriter(&body, "job", "s", 0)
	for i := range want {
		if err := w.add(&want[i]); err != nil {
			f.Fatal(err)
		}
	}
	seg, err := w.end()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint16(0), uint16(0), uint16(0), byte(0), []byte(nil))
	f.Add(uint16(20), uint16(40), uint16(3), byte(1), []byte("abc"))
	f.Fuzz(func(t *testing.T, at, cut, length uint16, flip byte, more []byte) {
		bucket := objecttest.NewMemory()
		b := append(harmed(body.Bytes(), at, cut, length, flip), more...)
		if len(b) < body.Len() { // what is missing is not waited for, for the size says so
			if what, err := inspect(t.Context(), put(t, bucket, b), seg); what == "" || err != nil {
				t.Errorf("%d bytes of %d: %q, %v", len(b), body.Len(), what, err)
			}
			return
		}
		r, err := openSegment(t.Context(), put(t, bucket, b), seg, 100)
		n := 0
		for ; err == nil; n++ {
			if err = r.next(); err == nil {
				got := r.now
				got.Line = bytes.Clone(got.Line)
				if diff := cmp.Diff(want[n], got); diff != "" {
					t.Fatalf("outcome %d (-want +got):\n%s", n, diff)
				}
			}
		}
		if (err == io.EOF) != bytes.Equal(b[:body.Len()], body.Bytes()) {
			t.Errorf("%d outcomes, then %v", n-1, err)
		}
	})
}

func put(t *testing.T, b *objecttest.Memory, body []byte) *objecttest.Memory {
	t.Helper()
	if err := b.Put(t.Context(), "s", body); err != nil {
		t.Fatal(err)
	}
	return b
}
