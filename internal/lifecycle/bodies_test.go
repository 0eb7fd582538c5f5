package lifecycle

import (
	"bytes"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/batholith/batholith"
)

// misfits is a job of one file with n records, of which those at the given lines do not fit.
func misfits(n int, lines ...int) string {
	var b strings.Builder
	for i := 1; i <= n; i++ {
		said := "fits"
		for _, l := range lines {
			if i == l {
				said = "odd"
			}
		}
		fmt.Fprintf(&b, "{\"recordId\":\"%d\",\"modelInput\":{\"say\":%q}}\n", i, said)
	}
	return b.String()
}

// judging makes the bodies that say "odd" not fit, and counts those that are judged.
func judging(o *Options) *atomic.Int64 {
	judged := &atomic.Int64{}
	o.Bodies = func(batholith.Job) func([]byte) string {
		return func(input []byte) string {
			judged.Add(1)
			if bytes.Contains(input, []byte(`"odd"`)) {
				return "say: Input should be 'fits', not a secret"
			}
			return ""
		}
	}
	return judged
}

func TestBodiesThatDoNotFitAreAWarningUnlessStrict(t *testing.T) {
	const reason = "say: Input should be 'fits', not a secret"
	for _, c := range []struct {
		name, input string
		set         func(*Options)
		status      batholith.Status
		says, lacks []string
		listed      int // lines of the list
	}{
		{"all fit", misfits(9), nil, batholith.StatusScheduled, nil, []string{"model"}, 0},
		{"two do not", misfits(9, 3, 7), nil, batholith.StatusScheduled,
			[]string{"2 of the 9 records", "s3://in/a.jsonl line 3: modelInput does not fit the model: " + reason, "line 7", "stop the job", "strict_bodies"}, nil, 0},
		{"many do not", misfits(9, 1, 2, 3, 4, 5), nil, batholith.StatusScheduled, []string{"5 of the 9 records", "line 3", "And 2 more"}, []string{"line 4"}, 0},
		{"many do not, far behind", strings.Repeat(misfits(100), 20) + misfits(1, 1), nil, batholith.StatusScheduled, nil, []string{"model"}, 0},
		{"encrypted", misfits(9, 3), func(o *Options) { o.Discreet = true }, batholith.StatusScheduled, []string{"line 3: modelInput does not fit the model."}, []string{"secret"}, 0},
		{"strict, all fit", misfits(9), func(o *Options) { o.StrictBodies = true }, batholith.StatusScheduled, nil, []string{"model"}, 0},
		{"strict", strings.Repeat(misfits(100), 20) + misfits(9, 3), func(o *Options) { o.StrictBodies = true }, batholith.StatusFailed,
			[]string{"1 line is not a valid record.", "s3://in/a.jsonl line 2003: modelInput does not fit the model: " + reason}, nil, 1},
		{"strict and bad lines", "x\n" + misfits(2, 1), func(o *Options) { o.StrictBodies = true }, batholith.StatusFailed,
			[]string{"2 lines are not a valid record.", "line 1", "line 2: modelInput does not fit the model"}, nil, 2},
		{"strict and encrypted", misfits(9, 3), func(o *Options) { o.StrictBodies, o.Discreet = true, true }, batholith.StatusFailed,
			[]string{"line 3: modelInput does not fit the model."}, []string{"secret"}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.put("a.jsonl", c.input)
				w.options = func(o *Options) {
					judging(o)
					if c.set != nil {
						c.set(o)
					}
				}
				defer w.start()()
				w.create(id, "a.jsonl")
				synctest.Wait()
				j := w.job(id)
				text := j.Note
				if c.status == batholith.StatusFailed {
					text = j.Message
				}
				if j.Status != c.status || len(text) > batholith.MaxMessage {
					t.Fatalf("%s, %d bytes: %s", j.Status, len(text), text)
				}
				for _, want := range c.says {
					if !strings.Contains(text, want) {
						t.Errorf("%q lacks %q", text, want)
					}
				}
				for _, not := range c.lacks {
					if strings.Contains(text, not) {
						t.Errorf("%q has %q", text, not)
					}
				}
				list, _ := w.bucket.Object(listKey)
				if n := max(0, bytes.Count(list, []byte("\n"))-1); n != c.listed || c.listed > 0 && !bytes.Contains(list, []byte(reason)) {
					t.Errorf("%d lines are listed: %s", n, list)
				}
			})
		})
	}
}

func TestOnlyTheFirstBodiesOfAFileAreJudgedUnlessStrict(t *testing.T) {
	input := misfits(5000)
	sampled := int64(strings.Count(input[:sampleBytes], "\n") + 1)
	for strict, want := range map[bool]int64{false: sampled, true: 5000} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.put("a.jsonl", input)
			var judged *atomic.Int64
			w.options = func(o *Options) {
				judged = judging(o)
				o.StrictBodies = strict
			}
			defer w.start()()
			w.create(id, "a.jsonl")
			synctest.Wait()
			if got := judged.Load(); got != want {
				t.Errorf("strict %v: %d bodies were judged, want %d", strict, got, want)
			}
		})
	}
}

func TestABodyThatCannotBeJudgedDoesNotHarmTheJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put("a.jsonl", misfits(3))
		w.options = func(o *Options) {
			o.StrictBodies = true
			o.Bodies = func(batholith.Job) func([]byte) string {
				return func([]byte) string { panic("a fault of the translation") }
			}
		}
		defer w.start()()
		w.create(id, "a.jsonl")
		synctest.Wait()
		if j := w.job(id); j.Status != batholith.StatusScheduled {
			t.Errorf("%s: %s", j.Status, j.Message)
		}
	})
}
