package dispatch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/failpoint"
)

// A sample of a job's records is sent before the others (the setting canary, docs/decisions/0046). If all records of the sample fail with the
// same kind and code, the job is paused and the others are not sent. One worker sends the sample; the others wait. What a crash leaves:
//
//	the sample's chunks are claimed       the next owner of the chunks sends the records of the sample that have no outcome
//	some of its records have outcomes     the same; if the job's counters show an answer, the sample has passed
//	the sample has passed, or the job was paused: each is one transaction, and the job gets no other sample
//
// A resumed job gets no sample, whatever has paused it.

// samplePlaces is the largest number of chunks that the sample is spread over.
const samplePlaces = 8

// sample is the state of a feed while its sample is sent. Guarded by queue.mu.
type sample struct {
	quota map[int]int            // records of the sample in each chunk; nil: no sample is being sent
	held  []*item                // other records of these chunks
	left  int                    // records of the sample without an outcome
	sent  int                    // records of the sample that this feed has sent
	kind  batholith.OutcomeKind  // of first
	first *batholith.RecordError // of the first record that failed; nil: none has failed
	mixed bool                   // a record was answered, or failed in another way
}

// picks reports whether a record belongs to the sample, whose records are evenly spread over each chunk.
func (s *sample) picks(it *item) bool {
	n, quota := int64(it.chunk.Count), int64(s.quota[it.chunk.N])
	at := it.key.Record - it.chunk.First
	if quota >= n {
		return true
	}
	i := at * quota / n // number of the sample's record at this one or before it
	return i*n/quota == at || (i+1)*n/quota == at && i+1 < quota
}

// split returns the records to send now, and keeps the others of items until the sample has passed. The caller holds queue.mu.
func (s *sample) split(items []*item) (send []*item) {
	if s.quota == nil {
		return items
	}
	for _, it := range items {
		if s.picks(it) {
			it.sampled = true
			s.left++
			s.sent++
			send = append(send, it)
		} else {
			s.held = append(s.held, it)
		}
	}
	return send
}

// tell counts the outcome of a record of the sample. e is its error, or nil. The caller holds queue.mu.
func (s *sample) tell(kind batholith.OutcomeKind, e *batholith.RecordError) {
	s.left--
	switch {
	case e == nil:
		s.mixed = true
	case s.first == nil:
		s.kind, s.first = kind, e
	case kind != s.kind || e.Code != s.first.Code:
		s.mixed = true
	}
}

// judges counts the outcome of a record, if it belongs to the sample.
func (f *feed) judges(it *item, kind batholith.OutcomeKind, e *batholith.RecordError) {
	if !it.sampled {
		return
	}
	f.queue.mu.Lock()
	defer f.queue.mu.Unlock()
	it.sampled = false
	f.sample.tell(kind, e)
	f.nudge()
}

// trySample sends the job's sample, if it has one that was not sent yet, and waits for its outcomes. It returns nil when all records may be sent.
func (f *feed) trySample(take context.Context) error {
	if f.d.o.Sample == nil {
		return nil
	}
	job := f.job
	err := f.insist(take, "read the tags of a job", func() (err error) {
		job.Tags, err = f.d.o.Store.Tags(take, job.Account, job.ID)
		return err
	})
	if err != nil {
		return err
	}
	n := f.d.o.Sample(job)
	if n <= 0 {
		return nil
	}
	if f.job.Counts.Succeeded > 0 {
		return f.passSample(take)
	}
	for {
		if err := f.room(take); err != nil {
			return err
		}
		var chunks []batholith.Chunk
		var passed bool
		began := time.Now()
		err := f.insist(take, "claim the chunks of a sample", func() (err error) {
			chunks, passed, err = f.d.o.Store.ClaimSample(take, f.d.o.Worker, f.job.ID, min(n, samplePlaces))
			f.unsure = f.unsure || err != nil
			return err
		})
		if err != nil || passed {
			return err
		}
		if len(chunks) > 0 {
			failpoint.Here("dispatch.sample-claimed")
			f.tellClaim(chunks, began, true)
			return f.sendSample(take, chunks, n)
		}
		f.unneeded() // another worker has them
		if err := f.until(take, f.d.o.Lease/5, func() bool { return false }); err != nil {
			return err
		}
	}
}

// sendSample sends n records of the chunks and decides.
func (f *feed) sendSample(take context.Context, chunks []batholith.Chunk, n int) error {
	quota := map[int]int{}
	for i, c := range chunks {
		quota[c.N] = n / len(chunks)
		if i < n%len(chunks) {
			quota[c.N]++
		}
	}
	f.queue.mu.Lock()
	f.sample = sample{quota: quota}
	f.queue.mu.Unlock()
	for len(chunks) > 0 {
		loaded, err := f.load(take, chunks)
		if err != nil {
			return err
		}
		chunks = chunks[loaded:]
	}
	if err := f.until(take, 0, func() bool { return f.sample.left == 0 || f.sample.mixed }); err != nil {
		return err
	}
	failpoint.Here("dispatch.sample-judged")
	f.queue.mu.Lock()
	s := f.sample
	f.queue.mu.Unlock()
	before := int(f.job.Counts.Errored) // error lines of the sample that an earlier owner committed before it died
	if s.mixed || s.sent+before == 0 {
		if err := f.passSample(take); err != nil {
			return err
		}
		failpoint.Here("dispatch.sample-passed")
		f.sampled(s.sent+before, true)
		return f.release(take)
	}
	why := f.sampleFailed(s, s.sent+before)
	f.d.o.Log.Warn("a job is paused, because all records of its sample failed in the same way; its note says how to go on", "job", f.job.ID, "records", s.sent+before)
	err := f.insist(take, "pause the job", func() error { return f.d.o.Store.PauseJobUntil(take, f.job.ID, why, time.Time{}) })
	if err != nil && !errors.Is(err, batholith.ErrMoved) {
		return err
	}
	failpoint.Here("dispatch.sample-failed")
	if err == nil {
		f.sampled(s.sent+before, false)
	}
	<-take.Done() // the lifecycle sees the pause, and ends take
	return context.Cause(take)
}

// sampled tells the listener how a sample ended.
func (f *feed) sampled(records int, passed bool) {
	if told := f.d.o.Listener.Sampled; told != nil {
		told(batholith.Sampled{Job: f.job.ID, Model: f.job.Model, Records: records, Passed: passed})
	}
}

// sampleFailed is the reason of the pause.
func (f *feed) sampleFailed(s sample, n int) string {
	example := ""
	if s.first != nil {
		example = fmt.Sprintf(", for example: %s", f.noted(s.first))
	}
	return fmt.Sprintf("the first %d records, spread over the input, all failed in the same way%s. The other %d were not sent. Fix the cause and resume the job, which sends them without another sample; or end the job with: batholith stop %s",
		n, example, max(f.job.Counts.Total-int64(n), 0), f.job.ID)
}

// passSample stores that the sample has passed.
func (f *feed) passSample(take context.Context) error {
	return f.insist(take, "store that a sample has passed", func() error { return f.d.o.Store.PassSample(take, f.job.ID) })
}

// release offers the records that waited for the sample.
func (f *feed) release(take context.Context) error {
	f.queue.mu.Lock()
	held := f.sample.held
	f.sample = sample{}
	f.queue.mu.Unlock()
	return f.putFunded(take, held)
}
