package results

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/object/objecttest"
)

// fill commits an outcome for every record of a job, or for those that wanted names, in segments of about size records.
func fill(t testing.TB, w *world, job string, size int, wanted func(batholith.RecordKey) bool, seed uint64) {
	t.Helper()
	var items []item
	for _, c := range w.lease(job, "a") {
		for i := range c.Count {
			if o := outcome(c, i, "a"); !c.Done.Has(i) && (wanted == nil || wanted(o.Key)) {
				items = append(items, item{Outcome: o})
			}
		}
	}
	rand.New(rand.NewPCG(seed, 0)).Shuffle(len(items), func(i, j int) { items[i], items[j] = items[j], items[i] })
	writer, err := NewWriter(Options{Dir: t.TempDir(), Worker: "a", Store: w, Open: w.open})
	if err != nil {
		t.Fatal(err)
	}
	for len(items) > 0 {
		n := min(size, len(items))
		if err := writer.settle(t.Context(), "a", items[:n]); err != nil {
			t.Fatal(err)
		}
		items = items[n:]
	}
}

func TestPublishedBytesAreAFunctionOfTheOutcomes(t *testing.T) {
	var outputs []map[string]string
	for seed, size := range []int{1, 7, 40, 1000} { // 250 segments need merging before they can be read together
		w := newWorld()
		w.plan("job", 10, 150, 100)
		fill(t, w, "job", size, nil, uint64(seed))
		for range 2 {
			publish(t, w, "job", batholith.StatusCompleted)
			outputs = append(outputs, w.output("job"))
		}
		manifest, _ := w.bucket.Object("out/job/" + batholith.ManifestName)
		outputs[len(outputs)-1]["manifest"] = string(manifest)
		outputs[len(outputs)-2]["manifest"] = string(manifest)
		if diff := cmp.Diff(outputs[0], outputs[len(outputs)-1]); diff != "" {
			t.Errorf("segments of %d records (-first +this):\n%s", size, diff)
		}
	}
}

func TestPartialOutputHasWholeLinesAndNoEmptyFiles(t *testing.T) {
	w := newWorld()
	w.plan("job", 10, 50, 50, 50)
	p := NewPublisher(PublisherOptions{SmallManifest: -1, Store: w, Open: w.open})
	for step, wanted := range []func(batholith.RecordKey) bool{
		func(k batholith.RecordKey) bool { return k.File == 1 && k.Record%3 == 0 },
		func(k batholith.RecordKey) bool { return k.File < 2 && k.Record%2 == 0 },
		func(k batholith.RecordKey) bool { return k.Record != 7 },
	} {
		fill(t, w, "job", 13, wanted, uint64(step))
		if _, err := p.Publish(t.Context(), w.job("job", batholith.StatusInProgress), 1, false); err != nil {
			t.Fatal(err)
		}
		want := w.expected("job")
		for key, text := range want {
			if text == "" {
				delete(want, key)
			}
		}
		if diff := cmp.Diff(want, w.output("job")); diff != "" {
			t.Errorf("step %d (-want +got):\n%s", step, diff)
		}
	}
	if _, ok := w.bucket.Object("out/job/" + batholith.ManifestName); ok {
		t.Error("a manifest while the job goes on")
	}
	if _, err := p.Publish(t.Context(), w.job("job", batholith.StatusCompleted), 1, true); err == nil || !strings.Contains(err.Error(), "147 of 150") {
		t.Errorf("three records have no outcome; completed with %v", err)
	}
	m := publish(t, w, "job", batholith.StatusPartiallyCompleted)
	if m.TotalRecordCount != 150 || m.ProcessedRecordCount != 147 || m.Batholith.Status != batholith.StatusPartiallyCompleted {
		t.Errorf("manifest %+v", m)
	}
}

func TestCountersThatDisagreeKeepTheManifestAway(t *testing.T) {
	w := newWorld()
	w.plan("job", 10, 50)
	fill(t, w, "job", 10, nil, 1)
	w.jobs["job"].counts.Processed--
	w.jobs["job"].counts.Succeeded--
	_, err := NewPublisher(PublisherOptions{SmallManifest: -1, Store: w, Open: w.open}).Publish(t.Context(), w.job("job", batholith.StatusStopped), 1, true)
	if err == nil || !strings.Contains(err.Error(), "the segments hold 50 outcomes") {
		t.Errorf("published with %v", err)
	}
	if _, ok := w.bucket.Object("out/job/" + batholith.ManifestName); ok {
		t.Error("there is a manifest")
	}
}

func TestARecordWithTwoOutcomesIsAnError(t *testing.T) {
	w := newWorld()
	w.plan("job", 10, 50)
	fill(t, w, "job", 50, nil, 1)
	for key, seg := range w.jobs["job"].segments {
		body, _ := w.bucket.Object(key)
		w.bucket.Put(t.Context(), key+"2", body)
		seg.Key += "2"
		w.jobs["job"].segments[seg.Key] = seg
		break
	}
	_, err := NewPublisher(PublisherOptions{SmallManifest: -1, Store: w, Open: w.open}).Publish(t.Context(), w.job("job", batholith.StatusStopped), 1, true)
	if err == nil || !strings.Contains(err.Error(), "two outcomes") {
		t.Errorf("published with %v", err)
	}
}

func TestDamagedSegmentsAreNeverPublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // a cut object is asked for several times
		w := newWorld()
		w.plan("job", 10, 50)
		fill(t, w, "job", 50, nil, 1)
		segs, _ := w.Segments(t.Context(), "job")
		key := segs[0].Key
		body, _ := w.bucket.Object(key)
		for at := range body {
			damaged := bytes.Clone(body)
			damaged[at] ^= 0x10
			if at%2 == 1 {
				damaged = damaged[:at]
			}
			w.bucket.Put(t.Context(), key, damaged)
			if n, err := drain(t.Context(), w.bucket, segs); err == nil {
				t.Fatalf("byte %d of %d damaged; %d outcomes read", at, len(body), n)
			}
		}
	})
}

func TestASegmentInThePlaceOfAnotherIsNotRead(t *testing.T) {
	w := newWorld()
	w.plan("job", 10, 20)
	fill(t, w, "job", 5, func(k batholith.RecordKey) bool { return k.Record >= 10 }, 1)
	segs, _ := w.Segments(t.Context(), "job")
	other, _ := w.bucket.Object(segs[1].Key)
	if segs[0].Bytes != segs[1].Bytes {
		t.Fatal("the segments differ in length; the test wants only their content to differ")
	}
	w.bucket.Put(t.Context(), segs[0].Key, other)
	if _, err := drain(t.Context(), w.bucket, segs[:1]); err == nil {
		t.Error("another segment's bytes went unseen")
	}
}

// drain reads segments to their end.
func drain(ctx context.Context, b blob.Bucket, segs []batholith.Segment) (n int, err error) {
	m, err := merge(ctx, b, segs, false)
	for ; err == nil; n++ {
		_, err = m.next()
	}
	if err == io.EOF {
		return n, nil
	}
	return n, err
}

func TestLargeOutputsGoUpInEqualParts(t *testing.T) {
	w := newWorld()
	w.bucket.MinPart = blob.MinPartBytes
	w.plan("job", 100, 300, 10)
	var sizes []int
	p := newProcess(w, nil)
	watched := func(ctx context.Context, job string) (blob.Place, error) {
		place, err := p.open(ctx, job)
		place.Output = partWatcher{place.Output, &sizes}
		return place, err
	}
	writer, err := NewWriter(Options{Dir: t.TempDir(), Worker: "a", Store: w, Open: w.open})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]byte{}
	for _, c := range w.lease("job", "a") {
		var items []item
		for i := range c.Count {
			o := outcome(c, i, "a")
			o.Line = []byte(fmt.Sprintf("{%d:%s}\n", o.Key.Record, strings.Repeat("x", 100_000)))
			key := fmt.Sprintf("out/job/%d.jsonl.out", c.File)
			want[key] = append(want[key], o.Line...)
			items = append(items, item{Outcome: o})
		}
		if err := writer.settle(t.Context(), "a", items); err != nil {
			t.Fatal(err)
		}
	}
	old, _ := w.bucket.CreateUpload(t.Context(), "out/job/0.jsonl.out") // of a publisher that died
	w.PutUpload(t.Context(), batholith.Upload{Job: "job", Key: "out/job/0.jsonl.out", UploadID: old})
	m, err := NewPublisher(PublisherOptions{SmallManifest: -1, Store: w, Open: watched}).Publish(t.Context(), w.job("job", batholith.StatusCompleted), 1, true)
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range m.Batholith.Files {
		key := fmt.Sprintf("out/job/%d.jsonl.out", i)
		if got, _ := w.bucket.Object(key); !bytes.Equal(got, want[key]) || f.Bytes != int64(len(got)) {
			t.Errorf("%s: %d bytes, %d in the manifest; want %d", key, len(got), f.Bytes, len(want[key]))
		}
	}
	last := len(sizes) - 1 // the manifest's
	for i, n := range sizes[:last] {
		if whole := i < last-1; whole != (n == partBytes) || n > partBytes {
			t.Errorf("parts of %v bytes", sizes)
		}
	}
	if last < 4 {
		t.Errorf("parts of %v bytes", sizes)
	}
	if len(w.bucket.OpenUploads()) > 0 || len(w.uploads) > 0 {
		t.Errorf("uploads left: %v, %v", w.bucket.OpenUploads(), w.uploads)
	}
}

// partWatcher notes the sizes of parts.
type partWatcher struct {
	blob.Bucket
	sizes *[]int
}

func (p partWatcher) UploadPart(ctx context.Context, key, id string, n int, body []byte) (string, error) {
	*p.sizes = append(*p.sizes, len(body))
	return p.Bucket.UploadPart(ctx, key, id, n, body)
}

// TestPublishingAgainReplacesADamagedOutput fails every single call of a publication, before or after it took effect; the next
// attempt ends with the same bytes, and the clean-up leaves nothing.
func TestPublishingAgainReplacesADamagedOutput(t *testing.T) {
	for _, v := range []verdict{failBefore, failAfter, killBefore, killAfter} {
		for fatal := 1; ; fatal++ {
			w := newWorld()
			w.plan("job", 10, 30, 0, 40)
			fill(t, w, "job", 1, nil, 1) // more segments than can be read at once
			calls := 0
			p := newProcess(w, func(string) verdict {
				if calls++; calls == fatal {
					return v
				}
				return pass
			})
			synctest.Test(t, func(t *testing.T) {
				_, err := NewPublisher(PublisherOptions{SmallManifest: -1, Store: p, Open: p.open}).Publish(t.Context(), w.job("job", batholith.StatusCompleted), 1, true)
				for _, text := range w.output("job") {
					if text != "" && !strings.HasSuffix(text, "\n") {
						t.Errorf("call %d: a torn output", fatal)
					}
				}
				if err != nil {
					publish(t, w, "job", batholith.StatusCompleted)
				}
				if diff := cmp.Diff(w.expected("job"), w.output("job")); diff != "" {
					t.Errorf("call %d (-want +got):\n%s", fatal, diff)
				}
				if err := NewPublisher(PublisherOptions{SmallManifest: -1, Store: w, Open: w.open}).Clean(t.Context(), w.job("job", batholith.StatusCompleted)); err != nil {
					t.Error(err)
				}
				if keys := w.bucket.Keys(); len(keys) != 4 || len(w.uploads) > 0 || len(w.bucket.OpenUploads()) > 0 {
					t.Errorf("call %d: left %v", fatal, keys)
				}
			})
			if calls < fatal {
				break
			}
		}
	}
}

// TestNoUploadIsForgottenWhereverAPublisherDies is the same for an output of several parts.
func TestNoUploadIsForgottenWhereverAPublisherDies(t *testing.T) {
	for _, v := range []verdict{failBefore, failAfter, killBefore, killAfter} {
		for fatal := 1; ; fatal++ {
			w := newWorld()
			w.plan("job", 100, 100)
			writer, err := NewWriter(Options{Dir: t.TempDir(), Worker: "a", Store: w, Open: w.open})
			if err != nil {
				t.Fatal(err)
			}
			var items []item
			for i := range 100 {
				o := outcome(w.jobs["job"].chunks[0], i, "a")
				o.Epoch, o.Line = 1, bytes.Repeat([]byte{'x'}, 100_000)
				items = append(items, item{Outcome: o})
			}
			w.lease("job", "a")
			if err := writer.settle(t.Context(), "a", items); err != nil {
				t.Fatal(err)
			}
			calls := 0
			p := newProcess(w, func(string) verdict {
				if calls++; calls == fatal {
					return v
				}
				return pass
			})
			job := w.job("job", batholith.StatusCompleted)
			NewPublisher(PublisherOptions{SmallManifest: -1, Store: p, Open: p.open}).Publish(t.Context(), job, 1, true)
			if err := NewPublisher(PublisherOptions{SmallManifest: -1, Store: w, Open: w.open}).Clean(t.Context(), job); err != nil {
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

// TestLateWritesOfADeadPublisherAreNotSeen kills a publisher in each of its calls. The call takes effect long after its successor
// has published, before or after the clean-up: be it a part of a shorter output, or a manifest with another status.
func TestLateWritesOfADeadPublisherAreNotSeen(t *testing.T) {
	for n := range 8 {
		final, cleanFirst, part := n&1 > 0, n&2 > 0, int64(n&4*75) // in several parts or in one
		for fatal := 1; ; fatal++ {
			calls := 0
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.plan("job", 10, 30, 0, 40)
				wanted := func(k batholith.RecordKey) bool { return final || k.Record%3 > 0 }
				fill(t, w, "job", 4, wanted, 1)
				p := newProcess(w, func(string) verdict {
					if calls++; calls == fatal {
						return killLate
					}
					return pass
				})
				first := NewPublisher(PublisherOptions{SmallManifest: -1, Store: p, Open: p.open, PartBytes: part})
				first.Publish(t.Context(), w.job("job", batholith.StatusStopped), 1, final)

				fill(t, w, "job", 4, nil, 2)
				w.claim("job")
				second := NewPublisher(PublisherOptions{SmallManifest: -1, Store: w, Open: w.open, PartBytes: part})
				job := w.job("job", batholith.StatusCompleted)
				if _, err := second.Publish(t.Context(), job, 2, true); err != nil {
					t.Fatal(err)
				}
				if cleanFirst {
					if err := second.Clean(t.Context(), job); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(late + time.Second)
				if diff := cmp.Diff(w.expected("job"), w.output("job")); diff != "" {
					t.Errorf("call %d (-want +got):\n%s", fatal, diff)
				}
				if manifest, _ := w.bucket.Object("out/job/" + batholith.ManifestName); !bytes.Contains(manifest, []byte(`"status":"Completed"`)) {
					t.Errorf("call %d: manifest %s", fatal, manifest)
				}
				if err := second.Clean(t.Context(), job); err != nil { // the sweep
					t.Fatal(err)
				}
				if keys := w.bucket.Keys(); len(keys) != 4 || len(w.uploads) > 0 || len(w.bucket.OpenUploads()) > 0 {
					t.Errorf("call %d: left %v, %v, %v", fatal, keys, w.uploads, w.bucket.OpenUploads())
				}
			})
			if calls < fatal {
				break
			}
		}
	}
}

func TestAPublisherThatWasTakenOverFromIsTold(t *testing.T) {
	w := newWorld()
	w.plan("job", 10, 30)
	fill(t, w, "job", 10, nil, 1)
	w.claim("job")
	p := NewPublisher(PublisherOptions{SmallManifest: -1, Store: w, Open: w.open})
	for _, final := range []bool{false, true} {
		if _, err := p.Publish(t.Context(), w.job("job", batholith.StatusCompleted), 1, final); !errors.Is(err, batholith.ErrHeld) {
			t.Errorf("published under an old epoch: %v", err)
		}
	}
	if open := w.bucket.OpenUploads(); len(open) > 0 {
		t.Errorf("uploads left: %v", open)
	}
}

func TestARoleThatMayNotAbortPublishesAllTheSame(t *testing.T) {
	w := newWorld()
	w.plan("job", 10, 30)
	fill(t, w, "job", 10, nil, 1)
	old, _ := w.bucket.CreateUpload(t.Context(), "out/job/0.jsonl.out")
	w.PutUpload(t.Context(), batholith.Upload{Job: "job", Key: "out/job/0.jsonl.out", UploadID: old, Epoch: 1})
	w.claim("job")
	w.bucket.Fault = func(op, _ string) (bool, error) {
		if op == "AbortUpload" {
			return false, batholith.ErrAccessDenied
		}
		return true, nil
	}
	if _, err := NewPublisher(PublisherOptions{SmallManifest: -1, Store: w, Open: w.open}).Publish(t.Context(), w.job("job", batholith.StatusCompleted), 2, true); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(w.expected("job"), w.output("job")); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
}

func TestABucketThatListsNoUploadsIsCleanedAllTheSame(t *testing.T) {
	for _, refusal := range []error{batholith.ErrRefused, batholith.ErrAccessDenied} {
		w := newWorld()
		w.plan("job", 10, 30)
		fill(t, w, "job", 10, nil, 1)
		w.bucket.Fault = func(op, _ string) (bool, error) {
			if op == "ListUploads" {
				return false, refusal
			}
			return true, nil
		}
		if err := NewPublisher(PublisherOptions{SmallManifest: -1, Store: w, Open: w.open}).Clean(t.Context(), w.job("job", batholith.StatusFailed)); err != nil {
			t.Error(err)
		}
		if keys := w.bucket.Keys(); len(keys) > 0 {
			t.Errorf("left %v", keys)
		}
	}
}

// byKey is a bucket that lists uploads by their whole keys only, as MinIO does.
type byKey struct{ *objecttest.Memory }

func (b byKey) UploadsOf(ctx context.Context, _ string, keys []string) iter.Seq2[batholith.Upload, error] {
	return func(yield func(batholith.Upload, error) bool) {
		for u, err := range b.ListUploads(ctx, "") {
			if (err != nil || slices.Contains(keys, u.Key)) && !yield(u, err) {
				return
			}
		}
	}
}

func TestACleanUpAbortsUploadsThatOnlyTheirKeysFind(t *testing.T) {
	w := newWorld()
	w.plan("job", 10, 30, 5)
	for _, key := range []string{"0.jsonl.out", "1.jsonl.out", batholith.ManifestName} {
		if _, err := w.bucket.CreateUpload(t.Context(), "out/job/"+key); err != nil { // and the process died
			t.Fatal(err)
		}
	}
	open := func(ctx context.Context, job string) (blob.Place, error) {
		place, err := w.open(ctx, job)
		place.Output = byKey{w.bucket}
		return place, err
	}
	if err := NewPublisher(PublisherOptions{SmallManifest: -1, Store: w, Open: open}).Clean(t.Context(), w.job("job", batholith.StatusFailed)); err != nil {
		t.Fatal(err)
	}
	if left := w.bucket.OpenUploads(); len(left) > 0 {
		t.Errorf("uploads left: %v", left)
	}
}

func TestARunWhoseTransactionIsLateKeepsItsObject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.plan("job", 10, 40)
		fill(t, w, "job", 10, nil, 1)
		tries := 0
		p := newProcess(w, func(op string) verdict {
			if op != "ReplaceSegments" {
				return pass
			}
			if tries++; tries == 1 {
				return failLate
			}
			return failBefore
		})
		segs, _ := w.Segments(t.Context(), "job")
		place, _ := p.open(t.Context(), "job")
		r := runMaker{p, place, func() string { return place.Prefix + segmentFolder + "1.run" }}
		if _, _, err := r.replace(t.Context(), segs); err == nil {
			t.Error("no error though the store never said yes")
		}
		time.Sleep(time.Minute)
		if segs, _ := w.Segments(t.Context(), "job"); len(segs) != 1 {
			t.Errorf("the late transaction did not take effect: %v", segs)
		}
		publish(t, w, "job", batholith.StatusCompleted)
		if diff := cmp.Diff(w.expected("job"), w.output("job")); diff != "" {
			t.Errorf("output (-want +got):\n%s", diff)
		}
	})
}

// mergeAway puts a run in the place of segments, whose objects are deleted at once.
func mergeAway(t *testing.T, r runMaker, segs []batholith.Segment) {
	t.Helper()
	old, _, err := r.replace(t.Context(), segs)
	check(t, err)
	check(t, r.place.Output.Delete(t.Context(), old...))
}

func TestAMergeUnderAPublisherMakesItBeginAgain(t *testing.T) {
	w := newWorld()
	w.plan("job", 10, 100)
	fill(t, w, "job", 10, nil, 1)
	var merged atomic.Bool
	w.bucket.Fault = func(op, key string) (bool, error) {
		if op == "Read" && strings.HasSuffix(key, ".seg") && merged.CompareAndSwap(false, true) { // in the middle of opening segments
			segs, _ := w.Segments(t.Context(), "job")
			place, _ := w.open(t.Context(), "job")
			r := runMaker{w, place, func() string { return place.Prefix + segmentFolder + "x.run" }}
			mergeAway(t, r, segs)
		}
		return true, nil
	}
	publish(t, w, "job", batholith.StatusCompleted)
	if diff := cmp.Diff(w.expected("job"), w.output("job")); diff != "" || !merged.Load() {
		t.Errorf("output (-want +got):\n%s", diff)
	}
}

func TestAPublisherThatIsDisturbedWithoutEndMayTryAgain(t *testing.T) {
	w := newWorld()
	w.plan("job", 10, 300)
	fill(t, w, "job", 10, nil, 1)
	runs := 0
	var merging atomic.Bool // guards runs
	w.bucket.Fault = func(op, key string) (bool, error) {
		if op == "Read" && merging.CompareAndSwap(false, true) {
			defer merging.Store(false)
			segs, _ := w.Segments(t.Context(), "job")
			place, _ := w.open(t.Context(), "job")
			runs++
			mergeAway(t, runMaker{w, place, func() string { return fmt.Sprint(place.Prefix, segmentFolder, runs, ".run") }}, segs)
		}
		return true, nil
	}
	_, err := NewPublisher(PublisherOptions{SmallManifest: -1, Store: w, Open: w.open}).Publish(t.Context(), w.job("job", batholith.StatusInProgress), 1, false)
	if !errors.Is(err, errMerged) || blob.Permanent(err) {
		t.Errorf("%v ends a job", err)
	}
}

func TestAMergeKeepsWhatAPublisherReads(t *testing.T) {
	w := newWorld()
	w.plan("job", 10, 300)
	fill(t, w, "job", 10, func(k batholith.RecordKey) bool { return k.Record < 290 }, 1)
	w.rest("job", false)
	writer, err := NewWriter(Options{Dir: t.TempDir(), Worker: "a", Store: w, Open: w.open})
	check(t, err)
	writer.width = 2
	var opened atomic.Int64
	w.bucket.Fault = func(op, _ string) (bool, error) {
		if op != "Read" {
			return true, nil
		}
		if opened.Add(1) == 20 { // in the middle of opening segments
			check(t, writer.mergeJob(t.Context(), "job"))
		}
		return true, nil
	}
	if _, err := NewPublisher(PublisherOptions{SmallManifest: -1, Store: w, Open: w.open}).Publish(t.Context(), w.job("job", batholith.StatusInProgress), 1, false); err != nil {
		t.Error(err)
	}
	w.bucket.Fault = nil
	if segs, _ := w.Segments(t.Context(), "job"); len(segs) > 5 || opened.Load() < 29 {
		t.Errorf("%d segments, %d opened: nothing was merged meanwhile", len(segs), opened.Load())
	}
	if got := strings.Count(w.output("job")["out/job/0.jsonl.out"], "\n"); got != 290 {
		t.Errorf("%d lines were published", got)
	}
	w.rest("job", true)
	fill(t, w, "job", 1, nil, 1)
	check(t, writer.mergeJob(t.Context(), "job"))
	segs, _ := w.Segments(t.Context(), "job")
	if hidden := len(w.bucket.Keys()) - 1; hidden != len(segs) || len(writer.kept) > 0 {
		t.Errorf("%d objects for %d segments", hidden, len(segs))
	}
}

func TestMergingKeepsSegmentsFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := newWorld()
		world.plan("job", 50, 1500)
		w, stop := start(t, newProcess(world, nil), t.TempDir(), "a", nil)
		most := 0
		for _, c := range world.lease("job", "a") {
			for i := range c.Count {
				if err := w.Add(t.Context(), outcome(c, i, "a")); err != nil {
					t.Fatal(err)
				}
				time.Sleep(500 * time.Millisecond)
				segs, _ := world.Segments(t.Context(), "job")
				most = max(most, len(segs))
			}
		}
		w.Flush(t.Context(), "job")
		stop()
		if most > 3*mergeWidth {
			t.Errorf("%d segments at once", most)
		}
		if objects := len(world.bucket.Keys()); objects != len(world.jobs["job"].segments) {
			t.Errorf("%d objects for %d segments", objects, len(world.jobs["job"].segments))
		}
		publish(t, world, "job", batholith.StatusCompleted)
		if diff := cmp.Diff(world.expected("job"), world.output("job")); diff != "" {
			t.Errorf("output (-want +got):\n%s", diff)
		}
	})
}

func TestARunThatTheStoreCannotTakeLeavesNoObject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.plan("job", 10, 40)
		fill(t, w, "job", 10, nil, 1)
		segs, _ := w.Segments(t.Context(), "job")
		place, _ := w.open(t.Context(), "job")
		first := runMaker{w, place, func() string { return place.Prefix + segmentFolder + "1.run" }}
		late := runMaker{w, place, func() string { // the other one is done while this one writes
			mergeAway(t, first, segs[:3])
			return place.Prefix + segmentFolder + "2.run"
		}}
		if _, _, err := late.replace(t.Context(), segs[1:]); err == nil {
			t.Error("two runs took the same segments")
		}
		if len(w.bucket.Keys()) != 2 {
			t.Errorf("objects %v", w.bucket.Keys())
		}
	})
}

// forgotten is a store from which another process takes a job's rows, after it published, while this one publishes as well.
type forgotten struct{ *world }

func (forgotten) Segments(context.Context, string) ([]batholith.Segment, error) { return nil, nil }

func TestAPublisherThatIsLateOverwritesNothing(t *testing.T) {
	w := newWorld()
	w.plan("job", 10, 50)
	fill(t, w, "job", 10, nil, 1)
	publish(t, w, "job", batholith.StatusCompleted)
	want := w.output("job")
	late := NewPublisher(PublisherOptions{SmallManifest: -1, Store: forgotten{w}, Open: w.open})
	if _, err := late.Publish(t.Context(), w.job("job", batholith.StatusCompleted), 1, true); err == nil {
		t.Error("a job whose segments are gone was published")
	}
	if diff := cmp.Diff(want, w.output("job")); diff != "" {
		t.Errorf("the output that was there is overwritten (-before +after):\n%s", diff)
	}
}

// A small manifest is left to the caller, who settles the job's end first: nothing of it is in the bucket before, and what a publisher
// announces that died long ago are the same bytes.
func TestASmallManifestIsWrittenWhenTheEndIsDecided(t *testing.T) {
	w := newWorld()
	w.plan("job", 10, 30, 0, 40)
	fill(t, w, "job", 4, nil, 1)
	var pending [][]byte
	for epoch := range int64(2) {
		p := NewPublisher(PublisherOptions{Store: w, Open: w.open})
		if epoch > 0 {
			w.claim("job")
		}
		m, err := p.Publish(t.Context(), w.job("job", batholith.StatusCompleted), epoch+1, true)
		if err != nil {
			t.Fatal(err)
		}
		if _, there := w.bucket.Object("out/job/" + batholith.ManifestName); there || len(m.Pending) == 0 || len(w.uploads)+len(w.bucket.OpenUploads()) > 0 {
			t.Fatalf("a manifest of %d bytes is pending, it is there: %v, uploads %v %v", len(m.Pending), there, w.uploads, w.bucket.OpenUploads())
		}
		pending = append(pending, m.Pending)
	}
	if !bytes.Equal(pending[0], pending[1]) {
		t.Errorf("two publishers of one end have the manifests\n%s\n%s", pending[0], pending[1])
	}
	if err := NewPublisher(PublisherOptions{Store: w, Open: w.open}).Announce(t.Context(), w.job("job", batholith.StatusCompleted), pending[0]); err != nil {
		t.Fatal(err)
	}
	if got, _ := w.bucket.Object("out/job/" + batholith.ManifestName); !bytes.Equal(got, pending[1]) {
		t.Errorf("the manifest is %s", got)
	}
}
