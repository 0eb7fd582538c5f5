package results

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/batholith/batholith"
)

// harms are what somebody else may do to an object, and what is said of it.
var harms = map[string]struct {
	do   func(t *testing.T, w *world, key string, body []byte)
	says string
}{
	"deleted": {func(t *testing.T, w *world, key string, _ []byte) { check(t, w.bucket.Delete(t.Context(), key)) }, "is gone"},
	"cut": {func(t *testing.T, w *world, key string, b []byte) {
		check(t, w.bucket.Put(t.Context(), key, b[:len(b)-9]))
	}, "bytes and had"},
	"emptied":      {func(t *testing.T, w *world, key string, _ []byte) { check(t, w.bucket.Put(t.Context(), key, nil)) }, "has 0 bytes and had"},
	"other head":   {flip(3), "other bytes"},
	"other length": {flip(headBytes + frameBytes + len("job") + 3), "other bytes"},
	"other line":   {flip(-5), "other bytes"},
}

func flip(at int) func(t *testing.T, w *world, key string, body []byte) {
	return func(t *testing.T, w *world, key string, body []byte) {
		if at < 0 {
			at += len(body)
		}
		body[at] ^= 0x40
		check(t, w.bucket.Put(t.Context(), key, body))
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A job whose outcomes somebody else destroyed is never complete, says which object it was, and keeps the others.
func TestALostSegmentIsNamedAndTheOthersArePublished(t *testing.T) {
	for name, harm := range harms {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.plan("job", 10, 60, 40)
				fill(t, w, "job", 13, nil, 1)
				segs, err := w.Segments(t.Context(), "job")
				check(t, err)
				lost := segs[2]
				var inIt []batholith.RecordKey
				m, err := merge(t.Context(), w.bucket, []batholith.Segment{lost}, false)
				check(t, err)
				for o, err := m.next(); err == nil; o, err = m.next() {
					inIt = append(inIt, o.Key)
				}
				body, _ := w.bucket.Object(lost.Key)
				harm.do(t, w, lost.Key, body)

				p := NewPublisher(PublisherOptions{SmallManifest: -1, Store: w, Open: w.open})
				_, err = p.Publish(t.Context(), w.job("job", batholith.StatusCompleted), 1, true)
				if !errors.Is(err, batholith.ErrOutcomesLost) || !strings.Contains(err.Error(), lost.Key) || !strings.Contains(err.Error(), harm.says) {
					t.Errorf("the error is %v", err)
				}
				if out := w.output("job"); len(out) > 1 { // the first file may be whole before the loss is met in the second
					t.Errorf("%d output objects", len(out))
				}
				check(t, p.Salvage(t.Context(), w.job("job", batholith.StatusFailed), 1))
				if _, ok := w.bucket.Object("out/job/" + batholith.ManifestName); ok {
					t.Error("there is a manifest of less than was counted")
				}
				check(t, p.Salvage(t.Context(), w.job("job", batholith.StatusFailed), 1)) // twice is once
				for _, k := range inIt {
					delete(w.accepted["job"], k)
				}
				if diff := cmp.Diff(w.expected("job"), w.output("job")); diff != "" {
					t.Errorf("output (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// What was published while all was there has more than what can be read now.
func TestSalvageKeepsWhatWasPublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.plan("job", 10, 60, 40)
		fill(t, w, "job", 13, nil, 1)
		p := NewPublisher(PublisherOptions{SmallManifest: -1, Store: w, Open: w.open})
		_, err := p.Publish(t.Context(), w.job("job", batholith.StatusInProgress), 1, false)
		check(t, err)
		segs, err := w.Segments(t.Context(), "job")
		check(t, err)
		for i := range segs { // in the end all of them
			check(t, w.bucket.Delete(t.Context(), segs[i].Key))
			check(t, p.Salvage(t.Context(), w.job("job", batholith.StatusFailed), 1))
			if diff := cmp.Diff(w.expected("job"), w.output("job")); diff != "" {
				t.Fatalf("output without %d segments (-want +got):\n%s", i+1, diff)
			}
		}
	})
}

// What may be the network's fault is tried again later.
func TestASegmentThatCannotBeReadForNowIsNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.plan("job", 10, 60)
		fill(t, w, "job", 13, nil, 1)
		away := true
		w.bucket.Fault = func(op, key string) (bool, error) {
			if away && op == "Read" && strings.HasSuffix(key, ".seg") {
				return true, io.ErrUnexpectedEOF // half of it, and then the connection is cut
			}
			return true, nil
		}
		p := NewPublisher(PublisherOptions{SmallManifest: -1, Store: w, Open: w.open})
		_, err := p.Publish(t.Context(), w.job("job", batholith.StatusCompleted), 1, true)
		if err == nil || errors.Is(err, batholith.ErrOutcomesLost) {
			t.Errorf("the error is %v", err)
		}
		away = false
		publish(t, w, "job", batholith.StatusCompleted)
	})
}

// A job goes on to spend a model's time only while it can be completed.
func TestAMergeTellsOfALostSegment(t *testing.T) {
	w := newWorld()
	w.plan("job", 10, 60)
	fill(t, w, "job", 3, nil, 1)
	segs, err := w.Segments(t.Context(), "job")
	check(t, err)
	check(t, w.bucket.Delete(t.Context(), segs[1].Key))
	var told error
	writer, err := NewWriter(Options{Dir: t.TempDir(), Worker: "a", Store: w, Open: w.open, OnFault: func(_ string, err error) { told = err }})
	check(t, err)
	writer.width = 16
	if err := writer.mergeJob(t.Context(), "job"); !errors.Is(told, batholith.ErrOutcomesLost) || err == nil {
		t.Errorf("told %v, %v", told, err)
	}
}
