package results

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
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

// A journal file is never believed beyond what was written: what is read of one that is harmed was written, in the same order. A frame's
// length or checksum is replaced, a byte is changed and others are taken out; whether or not the file is the last one, it is read to its end,
// and no more bytes are reported as unreadable than there are.
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
	at := framesOf(whole)
	f.Add(uint16(0), uint16(0), uint16(0), byte(0), byte(200), uint32(0), false)
	f.Add(uint16(9), uint16(40), uint16(3), byte(1), byte(3), uint32(0xffffffff), true)
	f.Add(uint16(len(whole)-1), uint16(len(whole)), uint16(0), byte(0x80), byte(8), uint32(5), true)
	f.Add(uint16(4), uint16(len(whole)-9), uint16(0), byte(3), byte(130), uint32(77), false)
	f.Fuzz(func(t *testing.T, change, cut, length uint16, bits, frame byte, number uint32, last bool) {
		b := bytes.Clone(whole)
		if n := int(frame) % 128; n < len(at)-1 { // from 128 on, the checksum
			binary.LittleEndian.PutUint32(b[at[n]+4*int(frame/128):], number)
		}
		b = harmed(b, change, cut, length, bits)
		path := filepath.Join(t.TempDir(), "0000000000.log")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		var got []batholith.Outcome
		end, err := replayFile(path, last, func(_ string, o batholith.Outcome) error { got = append(got, o); return nil })
		next := 0
		for _, o := range want {
			if next < len(got) && cmp.Equal(o, got[next]) {
				next++
			}
		}
		if next < len(got) {
			t.Errorf("outcome %d was never written: %+v", next, got[next])
		}
		var hurt *damage
		switch {
		case errors.As(err, &hurt):
			if hurt.bytes < 1 || hurt.bytes > int64(len(b)) || hurt.at < 0 || hurt.at >= int64(len(b)) {
				t.Errorf("%d of %d bytes are reported, the first at %d", hurt.bytes, len(b), hurt.at)
			}
		case err != nil && !strings.Contains(err.Error(), "newer"):
			t.Error(err)
		case err == nil && (end > int64(len(b)) || !last && end != int64(len(b)) && len(b) > 0):
			t.Errorf("the last file: %v; it is said to end at %d of %d bytes", last, end, len(b))
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
