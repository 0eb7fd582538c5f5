package jsonl

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func entries(t *rapid.T) []Entry {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Entry {
		return Entry{
			Offset: rapid.Int64Range(0, math.MaxInt64).Draw(t, "offset"), Length: rapid.Uint32().Draw(t, "length"),
			Size: rapid.Uint32().Draw(t, "size"), Line: rapid.Int64Range(1, math.MaxInt64).Draw(t, "line"),
			IDHash: rapid.Uint64().Draw(t, "id"), Fingerprint: rapid.Uint64().Draw(t, "fingerprint")}
	}), 0, 20).Draw(t, "entries")
}

func TestBlocksReadBackAsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		es, first := entries(t), rapid.Int64Range(0, math.MaxInt64).Draw(t, "first")
		block := AppendBlock([]byte("before"), first, es)[6:]
		if len(block) != BlockBytes(len(es)) {
			t.Fatalf("%d bytes for %d entries", len(block), len(es))
		}
		gotFirst, got, err := ReadBlock(block)
		if err != nil || gotFirst != first || len(got) != len(es) {
			t.Fatalf("first %d, %d entries, %v", gotFirst, len(got), err)
		}
		for i := range es {
			if got[i] != es[i] {
				t.Fatal(cmp.Diff(es[i], got[i]))
			}
		}
	})
}

func TestDamagedBlocksAreNeverRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		block := AppendBlock(nil, 7, entries(t))
		damaged := bytes.Clone(block)
		switch rapid.IntRange(0, 2).Draw(t, "damage") {
		case 0:
			damaged[rapid.IntRange(0, len(block)-1).Draw(t, "at")] ^= byte(rapid.IntRange(1, 255).Draw(t, "flip"))
		case 1:
			damaged = damaged[:rapid.IntRange(0, len(block)-1).Draw(t, "cut")]
		case 2:
			damaged = append(damaged, rapid.SliceOfN(rapid.Byte(), 1, 50).Draw(t, "more")...)
		}
		if _, _, err := ReadBlock(damaged); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("damage went unseen: %v", err)
		}
	})
}

func FuzzReadBlock(f *testing.F) {
	f.Add(AppendBlock(nil, 3, []Entry{{Offset: 1, Length: 2, Size: 3, Line: 4, IDHash: 5, Fingerprint: 6}}))
	f.Add([]byte("BLIX"))
	f.Fuzz(func(t *testing.T, b []byte) {
		first, es, err := ReadBlock(b)
		if err == nil && !bytes.Equal(AppendBlock(nil, first, es), b) {
			t.Errorf("%x reads as a block that is written otherwise", b)
		}
	})
}

func TestSortedFingerprintsPutSharedPrefixesSideBySide(t *testing.T) {
	prefix := strings.Repeat("p", 600)
	a, b := Fingerprint([]byte(prefix+"one")), Fingerprint([]byte(prefix+"two"))
	if a != b || a == 0 {
		t.Errorf("%x and %x share 600 bytes", a, b)
	}
	long := strings.Repeat("p", 9000)
	c := Fingerprint([]byte(long))
	if c>>32 != a>>32 || c == a {
		t.Errorf("%x and %x share 600 bytes and no more", a, c)
	}
	if Fingerprint([]byte("short")) != 0 {
		t.Error("an input below 128 bytes has nothing to share")
	}
}
