package results

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/jsonl"
)

// batchOf makes a job in OpenAI's lines: its inputs are in the bucket, and its chunks say where.
func batchOf(t testing.TB, w *world, size int, records ...int) {
	t.Helper()
	w.plan("job", size, records...)
	a := w.jobs["job"]
	for n := range a.files {
		f := &a.files[n]
		var text bytes.Buffer
		for i := range f.Records {
			for c := range a.chunks {
				if a.chunks[c].File == n && a.chunks[c].First == i {
					a.chunks[c].Offset = int64(text.Len())
				}
			}
			fmt.Fprintf(&text, `{"custom_id":"%d-%d","body":{"model":"m"}}`+"\n", n, i)
		}
		if err := w.bucket.Put(t.Context(), f.Key, text.Bytes()); err != nil {
			t.Fatal(err)
		}
		o, err := w.bucket.Head(t.Context(), f.Key)
		if err != nil {
			t.Fatal(err)
		}
		f.ETag, f.Bytes = o.ETag, o.Bytes
	}
}

// batch is what the control plane would say of it.
func (w *world) batch(status batholith.Status) batholith.Job {
	j := w.job("job", status)
	j.InputLines, j.OutputLines = batholith.LinesOpenAI, batholith.LinesOpenAI
	return j
}

// bothOutputs returns the lines of answers and of errors by file.
func (w *world) bothOutputs() (lines map[string][]string) {
	lines = map[string][]string{}
	for _, f := range w.jobs["job"].files {
		for _, key := range []string{"out/job/" + f.Output, errorsKey("out/job/" + f.Output)} {
			if b, ok := w.bucket.Object(key); ok && len(b) > 0 {
				lines[key] = strings.SplitAfter(strings.TrimSuffix(string(b), "\n"), "\n")
			}
		}
	}
	return lines
}

// wantBatch checks that each record has one line, in order, and that those which have no outcome say why.
func (w *world) wantBatch(t *testing.T, code string, known bool) {
	t.Helper()
	got := w.bothOutputs()
	a := w.jobs["job"]
	for n, f := range a.files {
		answers, errs := "out/job/"+f.Output, errorsKey("out/job/"+f.Output)
		for i := range f.Records {
			key := batholith.RecordKey{File: n, Record: i}
			id := []byte(fmt.Sprintf("%d-%d", n, i))
			_, done := w.accepted["job"][key]
			object, want := answers, ""
			if !done || i%7 == 3 {
				object = errs
			}
			if !done {
				want = `null,"error":{"code":"` + code + `"`
			}
			if !done && !known {
				id = nil
			}
			want = string(jsonl.OpenAIHead(nil, "job", key, id)) + want
			if len(got[object]) == 0 || !strings.HasPrefix(got[object][0], want) {
				t.Fatalf("record %d of file %d: the next line of %s is %.1q; want %s…", i, n, object, got[object], want)
			}
			got[object] = got[object][1:]
		}
		if left := len(got[answers]) + len(got[errs]); left > 0 {
			t.Fatalf("file %d: %d lines are left", n, left)
		}
	}
}

func TestEachRecordOfACancelledBatchHasOneLine(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status batholith.Status
		code   string
		wanted func(batholith.RecordKey) bool
		gone   bool
	}{
		{"gaps", batholith.StatusStopped, "batch_cancelled", func(k batholith.RecordKey) bool { return k.File == 0 && k.Record%5 < 3 }, false},
		{"a far gap", batholith.StatusPartiallyCompleted, "batch_expired", func(k batholith.RecordKey) bool {
			return k.File == 0 && k.Record < 6000 || k.File == 1 && k.Record > 10
		}, false},
		{"a far gap behind a near one", batholith.StatusPartiallyCompleted, "batch_expired", func(k batholith.RecordKey) bool { return k.File == 0 && k.Record < 6000 && k.Record != 5 }, false},
		{"nothing was sent", batholith.StatusExpired, "batch_expired", func(batholith.RecordKey) bool { return false }, false},
		{"the input is gone", batholith.StatusStopped, "batch_cancelled", func(k batholith.RecordKey) bool { return k.Record%2 == 0 }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			batchOf(t, w, 100, 7000, 0, 30)
			fill(t, w, "job", 1000, tt.wanted, 1)
			if tt.gone {
				_ = w.bucket.Put(t.Context(), "in/0.jsonl", []byte("another one"))
				_ = w.bucket.Delete(t.Context(), "in/2.jsonl")
			}
			p := NewPublisher(PublisherOptions{SmallManifest: -1, Store: w, Open: w.open})
			m, err := p.Publish(t.Context(), w.batch(tt.status), 1, true)
			if err != nil {
				t.Fatal(err)
			}
			w.wantBatch(t, tt.code, !tt.gone)
			untried, lines := int64(0), int64(0)
			for _, f := range m.Batholith.Files {
				lines += f.Lines + f.ErrorLines()
				if f.Errors != nil {
					untried += f.Errors.Untried
				}
			}
			if lines != 7030 || untried != 7030-m.ProcessedRecordCount {
				t.Errorf("%d lines, %d of them of records that were never tried; %d were processed", lines, untried, m.ProcessedRecordCount)
			}
		})
	}
}

func TestOnlyTheEndOfABatchWritesLinesOfUntriedRecords(t *testing.T) {
	w := newWorld()
	batchOf(t, w, 10, 40)
	fill(t, w, "job", 10, func(k batholith.RecordKey) bool { return k.Record < 20 }, 1)
	p := NewPublisher(PublisherOptions{SmallManifest: -1, Store: w, Open: w.open})
	for _, tt := range []struct {
		status batholith.Status
		final  bool
	}{{batholith.StatusInProgress, false}, {batholith.StatusStopping, false}, {batholith.StatusFailed, true}} {
		if _, err := p.Publish(t.Context(), w.batch(tt.status), 1, tt.final); err != nil {
			t.Fatal(err)
		}
		for key, lines := range w.bothOutputs() {
			if strings.Contains(strings.Join(lines, ""), `"response":null`) {
				t.Errorf("%s of a job that is %s has lines of records that were never tried", key, tt.status)
			}
		}
	}
	j := w.batch(batholith.StatusStopped)
	j.OutputLines = batholith.LinesBedrock
	if _, err := p.Publish(t.Context(), j, 1, true); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(w.expected("job"), w.output("job")); diff != "" {
		t.Errorf("Bedrock's form (-want +got):\n%s", diff)
	}
}

// A publisher of a cancelled batch dies or fails in each of its calls; the next one writes what it would have written.
func TestACancelledBatchIsWholeWhereverItsPublisherDies(t *testing.T) {
	for _, v := range []verdict{failBefore, failAfter, killBefore, killAfter} {
		for fatal := 1; ; fatal++ {
			w := newWorld()
			batchOf(t, w, 10, 60, 25)
			fill(t, w, "job", 10, func(k batholith.RecordKey) bool { return k.File == 0 && k.Record%4 == 0 }, 1)
			calls := 0
			p := newProcess(w, func(string) verdict {
				if calls++; calls == fatal {
					return v
				}
				return pass
			})
			job := w.batch(batholith.StatusStopped)
			_, err := NewPublisher(PublisherOptions{SmallManifest: -1, Store: p, Open: p.open}).Publish(t.Context(), job, 1, true)
			after := NewPublisher(PublisherOptions{SmallManifest: -1, Store: w, Open: w.open})
			if err != nil {
				w.claim("job")
				if _, err := after.Publish(t.Context(), job, 2, true); err != nil {
					t.Fatal(err)
				}
			}
			w.wantBatch(t, "batch_cancelled", true)
			if err := after.Clean(t.Context(), job); err != nil {
				t.Error(err)
			}
			if left := w.bucket.OpenUploads(); len(left) > 0 {
				t.Errorf("call %d (%d): %v are left", fatal, v, left)
			}
			if calls < fatal {
				break
			}
		}
	}
}

// An outage of the input is waited for, as every other one: the publication fails and is repeated.
func TestAnOutageOfTheInputLeavesNoLineWithoutAnId(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the reader tries again for some time
		w := newWorld()
		batchOf(t, w, 10, 30)
		w.bucket.SetFault(func(op, key string) (bool, error) {
			if op == "Read" && key == "in/0.jsonl" {
				return false, fmt.Errorf("not now")
			}
			return true, nil
		})
		p := NewPublisher(PublisherOptions{SmallManifest: -1, Store: w, Open: w.open})
		if _, err := p.Publish(t.Context(), w.batch(batholith.StatusStopped), 1, true); err == nil {
			t.Fatal("published without the input")
		}
		if out := w.bothOutputs(); len(out) > 0 || len(w.bucket.OpenUploads()) > 0 {
			t.Errorf("it left %v and %v", out, w.bucket.OpenUploads())
		}
		w.bucket.SetFault(nil)
		if _, err := p.Publish(t.Context(), w.batch(batholith.StatusStopped), 1, true); err != nil {
			t.Fatal(err)
		}
		w.wantBatch(t, "batch_cancelled", true)
	})
}
