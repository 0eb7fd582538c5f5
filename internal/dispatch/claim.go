package dispatch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/dialect"
	"github.com/batholith/batholith/internal/failpoint"
	"github.com/batholith/batholith/internal/jsonl"
)

// feed claims chunks and offers their records, until an error ends it. The error is the cause of take, of the lease's term, or a permanent
// fault.
func (f *feed) feed(take context.Context) error {
	if err := f.trySample(take); err != nil {
		return err
	}
	for {
		if err := f.room(take); err != nil {
			return err
		}
		inherits := f.mayInherit()
		claim := f.claim
		if inherits {
			claim = f.inherit
		}
		chunks, err := claim(take)
		if err != nil {
			return err
		}
		failpoint.Here("dispatch.claimed")
		none := len(chunks) == 0
		if none && inherits {
			f.regrant()
			continue
		}
		for len(chunks) > 0 {
			n, err := f.load(take, chunks)
			if err != nil {
				return err
			}
			chunks = chunks[n:]
		}
		if none {
			f.unneeded()
			if err = f.rest(take); err != nil {
				return err
			}
		}
	}
}

// room waits until the queue lets the job claim a chunk (see queue.grant).
func (f *feed) room(take context.Context) error {
	f.queue.mu.Lock()
	if !f.granted {
		f.wanting = true
		f.queue.grant()
	}
	f.queue.mu.Unlock()
	return f.until(take, 0, func() bool { return f.granted })
}

// claim leases the next chunk of the job, or several small ones. It returns none if the job has no claimable chunk.
func (f *feed) claim(take context.Context) (chunks []batholith.Chunk, err error) {
	n, began := f.together(), time.Now()
	err = f.insist(take, "claim a chunk", func() error {
		chunks, err = f.d.o.Store.Claim(take, f.d.o.Worker, f.job.ID, n, time.Now())
		f.unsure = f.unsure || err != nil
		return err
	})
	if len(chunks) > 0 {
		f.last = &chunks[len(chunks)-1]
	}
	f.tellClaim(chunks, began, false)
	f.claimed()
	return chunks, err
}

// tellClaim tells the listener of a claim that got chunks.
func (f *feed) tellClaim(chunks []batholith.Chunk, began time.Time, sample bool) {
	told := f.d.o.Listener.Claimed
	if told == nil || len(chunks) == 0 {
		return
	}
	c := batholith.Claimed{Job: f.job.ID, Model: f.job.Model, Trace: f.job.Trace, Chunks: len(chunks), Took: time.Since(began), Sample: sample}
	for _, one := range chunks {
		c.Records += int64(one.Count)
	}
	told(c)
}

// inherit leases chunks of a lost worker, whatever is ready: other jobs and workers may have nothing else to do. It takes no others, which may be
// between them: a worker that comes back, or a new one, needs those. It returns none if there are no more, and then the feed needs another grant.
func (f *feed) inherit(take context.Context) (chunks []batholith.Chunk, err error) {
	f.setInherits(false) // before the claim, since another worker may be lost during it
	began := time.Now()
	err = f.insist(take, "claim chunks of a lost worker", func() error {
		chunks, err = f.d.o.Store.ClaimLost(take, f.d.o.Worker, f.job.ID, inheritsAtOnce)
		f.unsure = f.unsure || err != nil
		return err
	})
	f.tellClaim(chunks, began, false)
	if len(chunks) > 0 || err != nil {
		f.setInherits(true)
	}
	return chunks, err
}

// inheritsAtOnce is the number of chunks of a lost worker that are claimed together, so that several workers share them.
const inheritsAtOnce = 2

func (f *feed) setInherits(may bool) {
	f.queue.mu.Lock()
	defer f.queue.mu.Unlock()
	f.inherits = may
}

// unneeded returns the reserve of memory after a claim that found no chunk.
func (f *feed) unneeded() {
	f.queue.mu.Lock()
	defer f.queue.mu.Unlock()
	f.dry = true
	f.ungrant()
	f.queue.grant()
}

// regrant gives the permission to claim back, so that the queue decides anew.
func (f *feed) regrant() {
	f.queue.mu.Lock()
	defer f.queue.mu.Unlock()
	f.ungrant()
	f.queue.grant()
}

// ungrant ends the permission to claim and returns its reserve. The caller holds queue.mu.
func (f *feed) ungrant() {
	if f.granted {
		f.late.Stop()
		if !f.stalled {
			f.queue.held -= reserve
		}
		f.granted, f.stalled = false, false
	}
}

// stall runs when the chunk of a grant is late: the job's bucket is slow, missing or denied. Other jobs may claim in its place. Otherwise
// such a job would keep them from the lanes for as long as its reads are retried.
func (f *feed) stall() {
	f.queue.mu.Lock()
	defer f.queue.mu.Unlock()
	if f.granted { // else the chunk has just arrived
		f.stalled = true
		f.queue.held -= reserve // the bytes that it reads are on queue.chunks already
		f.queue.grant()
	}
}

// rest is called when the job has no claimable chunk. It waits until all its records are concluded, commits the outcomes, and waits for a
// fifth of a lease: a chunk is claimable as soon as another worker gives it back, or loses its lease. If one is seen to lose
// it, the wait ends.
func (f *feed) rest(take context.Context) error {
	if err := f.until(take, 0, func() bool { return f.inherits || f.flying+f.media.size()+len(f.ready.items)+len(f.later) == 0 }); err != nil {
		return err
	}
	if f.mayInherit() {
		return nil
	}
	if f.unsure {
		f.unsure = false
		return f.insist(take, "give up chunks", func() error { return f.giveUp(take) })
	}
	err := f.insist(take, "commit outcomes", func() error { return f.d.o.Sink.Flush(take, f.job.ID) })
	if err != nil {
		return err
	}
	return f.until(take, f.d.o.Lease/5, func() bool { return f.inherits })
}

// until waits until cond is true, or until limit has passed if limit is above 0. It evaluates cond under the queue's mutex after each
// nudge. It returns an error when take or the lease's term ends.
func (f *feed) until(take context.Context, limit time.Duration, cond func() bool) error {
	var late <-chan time.Time
	if limit > 0 {
		late = time.After(limit)
	}
	for {
		f.queue.mu.Lock()
		ok, term := cond(), f.term
		f.queue.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-take.Done():
			return context.Cause(take)
		case <-term.Done():
			return context.Cause(term)
		case <-f.idle:
		case <-late:
			return nil
		}
	}
}

// load reads chunks, as many as fetch can take at once, and offers their records that have no outcome yet. It returns how many chunks it
// loaded.
func (f *feed) load(take context.Context, chunks []batholith.Chunk) (int, error) {
	var got []*fetched
	err := f.insist(take, "read a chunk", func() (err error) {
		got, err = f.fetch(take, chunks)
		return err
	})
	for _, c := range got {
		if err == nil {
			err = f.fill(take, c)
		}
		if err != nil {
			c.p.hold.Release()
		}
	}
	return len(got), err
}

// fill parses a chunk's records and offers them.
func (f *feed) fill(take context.Context, c *fetched) error {
	var items []*item
	var hits []found
	err := f.guard("take a chunk apart", func() (err error) {
		items, err = f.items(c.p, c.data, c.entries)
		items, hits = f.lookUp(items)
		return err
	})
	if err != nil {
		return err
	}
	var later []*item // records that a cap does not permit yet
	if len(f.funds.caps) > 0 {
		items, later = nil, items
	}
	known, answers, err := f.offer(c.p, items, hits, later)
	if err != nil {
		return err
	}
	for i, it := range known {
		f.repeat(it, answers[i])
	}
	if err := f.takeEarlier(take, hits); err != nil {
		return err
	}
	f.queue.mu.Lock()
	later = f.sample.split(later)
	f.queue.mu.Unlock()
	return f.putFunded(take, later)
}

// offer makes a chunk's records ready for the lanes. Records whose answer is known already are returned with it. They count as in flight,
// and the caller must conclude them. So do those of hits.
func (f *feed) offer(p *portion, items []*item, hits []found, later []*item) (known []*item, answers []batholith.Answer, err error) {
	q := f.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if f.term.Err() != nil {
		return nil, nil, context.Cause(f.term)
	}
	if f.resting.Load() {
		return nil, nil, batholith.ErrPaused
	}
	f.dry = false
	f.ungrant()
	p.left, p.holding = len(items)+len(hits)+len(later), f.holding
	if p.left > 0 {
		f.held, q.held = f.held+p.Bytes, q.held+p.Bytes
		f.loaded[p] = true
	} else {
		p.hold.Release()
	}
	for _, it := range items {
		it.term = f.term
	}
	for _, it := range later {
		it.term = f.term
	}
	for _, h := range hits {
		h.it.term = f.term
	}
	f.flying += len(hits)
	known, answers = f.put(f.sample.split(items))
	return known, answers, nil
}

// put makes records ready for the lanes, and returns those whose answer is known already, see offer. The caller holds queue.mu.
func (f *feed) put(items []*item) (known []*item, answers []batholith.Answer) {
	ask, known := f.sort(items)
	for _, it := range known {
		answers = append(answers, f.queue.answers.known[it.same])
	}
	f.flying += len(known)
	f.ready.add(f.stageAll(ask))
	f.changes(len(ask))
	f.queue.recount = 0
	f.queue.wake()
	return known, answers
}

// read fetches a chunk's bytes and its block of the index, in parallel.
func (f *feed) read(ctx context.Context, c batholith.Chunk) ([]byte, []jsonl.Entry, error) {
	file := f.files[c.File]
	ctx, cancel := context.WithCancel(ctx)
	var bytes sync.WaitGroup
	defer bytes.Wait()
	defer cancel()
	var data []byte // data and unread are valid after bytes.Wait
	var unread error
	bytes.Go(func() { data, unread = readAll(ctx, f.place.Input, file.Key, file.ETag, c.Offset, c.Bytes) })
	block, err := readAll(ctx, f.place.Output, file.Index, "", c.IndexOffset, c.IndexBytes)
	if err != nil {
		return nil, nil, err
	}
	var first int64
	var entries []jsonl.Entry
	err = f.guard("read an index block", func() (err error) {
		first, entries, err = jsonl.ReadBlock(block)
		return err
	})
	if err == nil && (first != c.First || len(entries) != int(c.Count)) {
		err = fmt.Errorf("it has records %d to %d", first, first+int64(len(entries))-1)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%w: block of chunk %d: %w", errIndex, c.N, err)
	}
	bytes.Wait()
	return data, entries, unread
}

// guard turns a panic over the job's input into an error, which fails the job and not the process, and logs it.
func (f *feed) guard(doing string, do func() error) error {
	err := batholith.Guard(doing, do)
	if e, ok := errors.AsType[*batholith.Broken](err); ok {
		f.d.o.Log.Error("internal error over a job's input", "job", f.job.ID, "doing", e.Doing, "what", e.What, "stack", e.Stack)
	}
	return err
}

// errIndex: the index does not match what validation wrote. The job fails; nothing is guessed.
var errIndex = errors.New("the job's index is damaged")

// readAll reads n bytes of an object from an offset. A non-empty etag must match the object's.
func readAll(ctx context.Context, b blob.Readable, key, etag string, offset, n int64) ([]byte, error) {
	r := blob.NewReader(ctx, b, key, etag, offset, n)
	defer r.Close()
	data := make([]byte, n)
	_, err := io.ReadFull(r, data)
	return data, err
}

// items parses the records of a chunk that have no outcome yet. Their id and input are slices of data.
func (f *feed) items(p *portion, data []byte, entries []jsonl.Entry) ([]*item, error) {
	items := make([]*item, 0, len(entries))
	for i, e := range entries {
		if p.Done.Has(i) {
			continue
		}
		at := e.Offset - p.Offset
		if at < 0 || at+int64(e.Length) > int64(len(data)) {
			return nil, fmt.Errorf("%w: chunk %d ends before its record %d", errIndex, p.N, i)
		}
		id, input, err := jsonl.ParseOf(data[at:at+int64(e.Length)], f.job.InputLines)
		if err != nil {
			return nil, fmt.Errorf("record %d of %s, line %d: %w", p.First+int64(i), f.files[p.File].Key, e.Line, err)
		}
		if id == nil {
			id = []byte(jsonl.MakeID(f.job.ID, p.File, e.Line))
		}
		prompt, places := dialect.PromptOf(input), dialect.Locations(input)
		prompt.Fixed = prompt.Fixed && places == nil // an object may change
		items = append(items, &item{feed: f, chunk: p, id: id, input: input, places: places, prompt: prompt, class: f.classOf(&prompt, input),
			key: batholith.RecordKey{File: p.File, Record: p.First + int64(i)}})
	}
	return items, nil
}

// classOf returns the class of a record. It checks the previous record's class first, since most neighbours have the same.
func (f *feed) classOf(p *dialect.Prompt, input []byte) *class {
	key := class{path: dialect.PathOf(f.paths, input), features: p.Features, band: bandOf(len(input))}
	if c := f.lastClass; c == nil || c.key() != key {
		f.lastClass = f.d.classes.of(key)
	}
	return f.lastClass
}
