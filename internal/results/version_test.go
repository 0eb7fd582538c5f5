package results

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
)

// formerOutcome is an outcome as version 2 wrote it, and asFormer what is left of one.
func formerOutcome(dst []byte, o batholith.Outcome) []byte {
	for _, n := range []int64{int64(o.Key.File), o.Key.Record, int64(o.Chunk), o.First, o.Epoch, int64(o.Attempts),
		o.Tokens.Input, o.Tokens.Output, o.Tokens.CacheRead, o.Tokens.CacheWrite, o.Wasted.Input, o.Wasted.Output, o.Wasted.CacheRead, o.Wasted.CacheWrite} {
		dst = binary.AppendUvarint(dst, uint64(n))
	}
	return appendBytes(append(dst, byte(o.Kind)), o.Line)
}

func asFormer(o batholith.Outcome) batholith.Outcome {
	o.Source, o.Canaries = nil, 0
	return o
}

// oldOutcome is an outcome as version 1 wrote it.
func oldOutcome(dst []byte, o batholith.Outcome) []byte {
	for _, n := range []int64{int64(o.Key.File), o.Key.Record, int64(o.Chunk), o.First, o.Epoch, int64(o.Attempts),
		o.Tokens.Input, o.Tokens.Output, o.Tokens.CacheRead, o.Tokens.CacheWrite} {
		dst = binary.AppendUvarint(dst, uint64(n))
	}
	errored := byte(0)
	if o.Errored {
		errored = 1
	}
	return appendBytes(append(dst, errored), o.Line)
}

// oldFile is a file of version 1 with these payloads.
func oldFile(magic string, payloads ...[]byte) []byte { return fileOf(1, magic, payloads...) }

// fileOf is a file of a version with these payloads.
func fileOf(form byte, magic string, payloads ...[]byte) []byte {
	b := append([]byte(magic), form, 0, 0, 0)
	for _, p := range payloads {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(p)))
		b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(p, castagnoli))
		b = append(b, p...)
	}
	return b
}

// asOld is what is left of an outcome that version 1 has written.
func asOld(o batholith.Outcome) batholith.Outcome {
	o.Wasted, o.Kind, o.Source, o.Canaries = batholith.Tokens{}, batholith.OutcomeAnswer, nil, 0
	if o.Errored {
		o.Kind = batholith.OutcomeError
	}
	return o
}

func TestAJournalOfAFormerVersionIsRead(t *testing.T) {
	for form, was := range map[byte]struct {
		write func([]byte, batholith.Outcome) []byte
		left  func(batholith.Outcome) batholith.Outcome
	}{1: {oldOutcome, asOld}, 2: {formerOutcome, asFormer}} {
		for _, harm := range []byte{0, 1, 2, 3} { // what the head says instead, 0: the truth
			payloads := [][]byte{[]byte("a")}
			var want []batholith.Outcome
			for _, o := range some(9) {
				payloads = append(payloads, was.write(appendBytes(nil, o.Job), o))
				want = append(want, was.left(o))
			}
			b := fileOf(form, journalMagic, payloads...)
			if harm != 0 {
				b[4] = harm
			}
			path := filepath.Join(t.TempDir(), "0000000000.log")
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := replayed(path)
			if diff := cmp.Diff(want, got); (err != nil) != (harm != 0 && harm != form) || diff != "" {
				t.Errorf("version %d under a head of %d: %v (-want +got):\n%s", form, harm, err, diff)
			}
		}
	}
}

// A server is replaced by one of the next version while a job is half done: one segment lies there, one journal.
func TestAJobThatAFormerVersionBeganIsFinished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := newWorld()
		world.plan("job", 10, 30)
		chunks := world.lease("job", "a")
		var all []batholith.Outcome
		for _, c := range chunks {
			for i := range c.Count {
				all = append(all, outcome(c, i, "a"))
			}
		}
		commitOld(t, world, all[:10])

		dir := t.TempDir()
		payloads := [][]byte{[]byte("a")}
		for _, o := range all[10:20] {
			payloads = append(payloads, oldOutcome(appendBytes(nil, o.Job), o))
		}
		if err := os.WriteFile(filepath.Join(dir, "0000000003.log"), oldFile(journalMagic, payloads...), 0o600); err != nil {
			t.Fatal(err)
		}
		w, stop := start(t, newProcess(world, nil), dir, "a", nil)
		for _, o := range all[20:] {
			if err := w.Add(t.Context(), o); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Flush(t.Context(), "job"); err != nil {
			t.Fatal(err)
		}
		stop()
		m := publish(t, world, "job", batholith.StatusCompleted)
		if diff := cmp.Diff(world.expected("job"), world.output("job")); diff != "" {
			t.Errorf("output (-want +got):\n%s", diff)
		}
		o := m.Batholith.Outcomes
		if o.Answer != m.SuccessRecordCount || o.Invalid+o.Refused+o.Exhausted+o.Other != m.ErrorRecordCount || o.Other != 3 {
			t.Errorf("%d answered, %d errors, and by kind %+v", m.SuccessRecordCount, m.ErrorRecordCount, o)
		}
	})
}

// commitOld commits outcomes of one chunk in a segment of version 1.
func commitOld(t *testing.T, world *world, outcomes []batholith.Outcome) {
	t.Helper()
	c := batholith.Commit{Worker: "a", Segment: batholith.Segment{Job: "job", Key: "out/job/.batholith/segments/old.seg"}}
	var block []byte
	for i := range outcomes {
		block = oldOutcome(block, outcomes[i])
		old := asOld(outcomes[i])
		account(&c, &old)
		c.Segment.Records++
		c.Segment.Lines += int64(len(old.Line))
	}
	body := oldFile(segmentMagic, []byte("job"), block)
	c.Segment.Bytes, c.Segment.Sum = int64(len(body)), crc32.Checksum(body, castagnoli)
	if err := world.bucket.Put(t.Context(), c.Segment.Key, body); err != nil {
		t.Fatal(err)
	}
	if _, err := world.Commit(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

func TestARunOfOldAndNewSegmentsKeepsTheKinds(t *testing.T) {
	world := newWorld()
	world.plan("job", 10, 20)
	var all []batholith.Outcome
	for _, c := range world.lease("job", "a") {
		for i := range c.Count {
			all = append(all, outcome(c, i, "a"))
		}
	}
	commitOld(t, world, all[:10])
	w, err := NewWriter(Options{Dir: t.TempDir(), Worker: "a", Store: world, Open: world.open})
	if err != nil {
		t.Fatal(err)
	}
	var items []item
	for _, o := range all[10:] {
		items = append(items, item{Outcome: o})
	}
	if err := w.settle(t.Context(), "a", items); err != nil {
		t.Fatal(err)
	}
	segs, err := world.Segments(t.Context(), "job")
	if err != nil {
		t.Fatal(err)
	}
	r := runMaker{world, blob.Place{Output: world.bucket, Prefix: "out/job/"}, func() string { return "out/job/.batholith/segments/merged.run" }}
	mergeAway(t, r, segs)
	segs, err = world.Segments(t.Context(), "job")
	if err != nil || len(segs) != 1 {
		t.Fatalf("segments %v, %v", segs, err)
	}
	m, err := merge(t.Context(), world.bucket, segs, false)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range all {
		if i < 10 {
			want = asOld(want)
		}
		got, err := m.next()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&want, got); diff != "" {
			t.Errorf("record %d (-want +got):\n%s", i, diff)
		}
	}
}

func TestAVersionThatIsNotKnownIsRefusedByItsNumber(t *testing.T) {
	b := oldFile(journalMagic, []byte("a"))
	b[4] = 9
	path := filepath.Join(t.TempDir(), "0000000000.log")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := replayed(path)
	if err == nil || !bytes.Contains([]byte(fmt.Sprint(err)), []byte("version 9")) {
		t.Errorf("the error is %v", err)
	}
}

// The manifest counts where the answers of the output came from, whoever merged or published them.
func TestTheManifestCountsWhereAnswersCameFrom(t *testing.T) {
	world := newWorld()
	world.plan("job", 10, 30)
	var items []item
	want := map[batholith.ManifestSource]bool{}
	counts, dropped := map[batholith.ManifestSource]int64{}, int64(0)
	for _, c := range world.lease("job", "a") {
		for i := range c.Count {
			o := outcome(c, i, "a")
			items = append(items, item{Outcome: o})
			if !o.Errored {
				counts[batholith.ManifestSource{Backend: o.Source.Backend, Model: o.Source.Model}]++
				dropped += 1 - o.Key.Record%2
			}
		}
	}
	for s, n := range counts {
		s.Records = n
		want[s] = true
	}
	w, err := NewWriter(Options{Dir: t.TempDir(), Worker: "a", Store: world, Open: world.open})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.settle(t.Context(), "a", items); err != nil {
		t.Fatal(err)
	}
	m := publish(t, world, "job", batholith.StatusCompleted).Batholith
	got := map[batholith.ManifestSource]bool{}
	for _, s := range m.Sources {
		got[s] = true
	}
	if diff := cmp.Diff(want, got); diff != "" || len(want) < 3 {
		t.Errorf("sources (-want +got):\n%s", diff)
	}
	c := m.Changes
	if c.Dropped["metadata"] != dropped || c.Dropped["metadata"]+c.Dropped["thinking"] != int64(len(items))-4 || c.Mapped["system.cache_control"] != int64(len(items))-4 {
		t.Errorf("of %d answers %d lost their metadata; the manifest says %+v", len(items)-4, dropped, c)
	}
}

// TestSourcesOfEveryLengthAreRead: the length of an encoded source is known before it is encoded, whatever the lengths of its parts.
func TestSourcesOfEveryLengthAreRead(t *testing.T) {
	for _, n := range []int{0, 1, 127, 128, 129, 16_383, 16_384, 70_000} {
		text := strings.Repeat("x", n)
		for _, s := range []batholith.Source{
			{Backend: text}, {Backend: text, Recipe: "r"}, {Backend: "b#" + text, Model: text}, {Backend: "b", Recipe: text},
			{Backend: "b", Model: "m", Changes: batholith.Changes{Dropped: []string{text, "d"}, Mapped: slices.Repeat([]string{"m"}, n/100)}},
		} {
			b := appendSource(nil, &s)
			encoded, rest, err := takeBytes(append(b, "rest"...))
			if err != nil || string(rest) != "rest" || len(encoded) != sourceBytes(&s) {
				t.Fatalf("%d: %v, %d bytes after it, %d of %d", n, err, len(rest), len(encoded), sourceBytes(&s))
			}
			again, err := readSource(encoded)
			if err != nil || !again.Equal(&s) {
				t.Errorf("%d: %v, %v", n, again, err)
			}
		}
	}
}
