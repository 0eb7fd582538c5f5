package results

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/object/objecttest"
)

// longOutcome has a line of n bytes.
func longOutcome(record int64, n int) batholith.Outcome {
	return batholith.Outcome{Job: "job", Key: batholith.RecordKey{Record: record}, Epoch: 1, Attempts: 1, Line: []byte(strings.Repeat(fmt.Sprint(record%10), n-1) + "\n")}
}

// longSegment encodes outcomes as the segment "s<name>" of a bucket.
func longSegment(t *testing.T, b *objecttest.Memory, name string, outcomes ...batholith.Outcome) batholith.Segment {
	t.Helper()
	var body bytes.Buffer
	w := newSegmentWriter(&body, "job", "s"+name, 0)
	for i := range outcomes {
		if err := w.add(&outcomes[i]); err != nil {
			t.Fatal(err)
		}
	}
	seg, err := w.end()
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Put(t.Context(), seg.Key, body.Bytes()); err != nil {
		t.Fatal(err)
	}
	return seg
}

// TestAMergeHoldsOneLongLineAndNotOneOfEachSegment: short and long lines, of all lengths around the limits, in many segments.
func TestAMergeHoldsOneLongLineAndNotOneOfEachSegment(t *testing.T) {
	b := objecttest.NewMemory()
	lengths := []int{100, 3 * longFrame, blockBytes - 1, blockBytes, blockBytes + 1, longFrame - frameBytes - 40, longFrame, longFrame + 1, 2, 2 * longFrame}
	const segments, each = 20, 20
	var segs []batholith.Segment
	for s := range segments {
		var outcomes []batholith.Outcome
		for i := range each {
			record := int64(i*segments + s)
			outcomes = append(outcomes, longOutcome(record, lengths[(s+i)%len(lengths)]))
		}
		segs = append(segs, longSegment(t, b, fmt.Sprint(s), outcomes...))
	}
	m, err := merge(t.Context(), b, segs, false)
	if err != nil {
		t.Fatal(err)
	}
	for record := int64(0); ; record++ {
		o, err := m.next()
		if err == io.EOF && record == segments*each {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		want := longOutcome(record, lengths[(int(record)%segments+int(record)/segments)%len(lengths)])
		if o.Key != want.Key || !bytes.Equal(o.Line, want.Line) {
			t.Fatalf("record %v with a line of %d bytes, want %v with %d", o.Key, len(o.Line), want.Key, len(want.Line))
		}
		held := 0
		for _, r := range m.readers {
			if n := max(cap(r.frames.buf), cap(r.block)); n > longFrame {
				held += n
			}
		}
		if held > 4*longFrame {
			t.Fatalf("at record %d, %d bytes of long lines are held", record, held)
		}
	}
}

// TestALongLineIsBelievedOnlyWhole: whichever byte of it is another, it is damaged, also when nobody asks for the line.
func TestALongLineIsBelievedOnlyWhole(t *testing.T) {
	good := objecttest.NewMemory()
	seg := longSegment(t, good, "", longOutcome(0, 10), longOutcome(1, 2*longFrame), longOutcome(2, 10))
	body, _ := good.Object(seg.Key)
	for at := 0; at < len(body); at++ {
		if at == 200 {
			at = len(body) - 200 // between the two is the line
		}
		for name, next := range map[string]func(*segmentReader) error{"read": (*segmentReader).next, "passed over": (*segmentReader).nextKey} {
			b := objecttest.NewMemory()
			harmed := bytes.Clone(body)
			harmed[at] ^= 4
			if err := b.Put(t.Context(), seg.Key, harmed); err != nil {
				t.Fatal(err)
			}
			s, err := openSegment(t.Context(), b, seg, blockBytes)
			for err == nil {
				err = next(s)
			}
			var bad *segmentError
			if !errors.As(err, &bad) {
				t.Fatalf("byte %d is another, and the segment %s to its end: %v", at, name, err)
			}
		}
	}
}
