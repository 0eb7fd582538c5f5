package results

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/dialect"
	"github.com/batholith/batholith/internal/failpoint"
	"github.com/batholith/batholith/internal/jsonl"
	"github.com/batholith/batholith/internal/memory"
)

// PublisherStore is the part of the database that a Publisher uses.
type PublisherStore interface {
	Segments
	Uploads
	// Files lists the job's input files in order.
	Files(ctx context.Context, job string) ([]batholith.File, error)
	// ChunksOf returns the job's chunks with these numbers.
	ChunksOf(ctx context.Context, job string, numbers []int) ([]batholith.Chunk, error)
	// Ledger returns the job's sums for the manifest.
	Ledger(ctx context.Context, job string) (batholith.Ledger, error)
}

// PublisherOptions configures a Publisher. Store and Open are required.
type PublisherOptions struct {
	Store PublisherStore
	Open  Opener
	Log   *slog.Logger
	// Costs returns what the job's records cost, by currency, for the manifest. nil: that is not known.
	Costs func(ctx context.Context, job batholith.Job) (map[string]batholith.Money, error)

	Listener batholith.Listener // its Published and Merged are called

	Room      *memory.Budget // memory of unfinished objects, shared with other parts; nil: a budget of its own
	PartBytes int64          // least size of the parts of an output; 0: 5 MiB
	// SmallManifest is the greatest length of a manifest that is returned and not written, in bytes; 0: 32 KiB; negative: all are written.
	SmallManifest int

	Worker string      // id of this worker, for its shelf
	Shelf  blob.Bucket // the same as in the Writer's Options; nil: there is none
}

// Publisher writes the output objects of a job from its committed segments. Their bytes are a pure function of the outcomes, and of
// the status in the manifest. Its methods may be called by any goroutine.
//
// One process publishes a job at a time, under an epoch from the store. Another process may replace it without its notice, while a
// request of it is still on its way to the bucket. Objects that two publishers could write differently (partial output, a large manifest)
// are therefore multipart uploads that the store has under their epoch. A publisher first aborts the uploads of earlier epochs: they cannot
// be completed any more, and the store accepts no new ones. The final output of a file is the same from every publisher, and so is a small
// manifest, which is written after the end of the job is decided.
type Publisher struct {
	o       PublisherOptions
	shelf   shelf
	closing *memory.Account     // memory of objects that are finished in parallel
	closes  *semaphore.Weighted // bounds the objects that are finished in parallel, over all publications
}

// NewPublisher makes a Publisher. It starts nothing.
func NewPublisher(o PublisherOptions) *Publisher {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.SmallManifest == 0 {
		o.SmallManifest = smallManifest
	}
	s := shelf{o.Shelf, o.Worker}
	o.Open = s.over(o.Open)
	return &Publisher{o: o, shelf: s, closing: roomOf(o), closes: semaphore.NewWeighted(mostCloses)}
}

// startOver is how often a publication starts over because segments were merged while it read them.
const startOver = 5

// Publish writes an output object for every file of the job that has outcomes: one whole line for each, in input order.
//
// If final, it writes every file (an empty object for a file without outcomes) and then the manifest. The job must have its final
// counters and status. A small manifest is not written but returned, as Pending: the caller decides the job's end with it, and then calls
// Announce. If the committed outcomes and the counters differ, it returns an error and writes no manifest. If not final, it publishes the
// outcomes of a running job. The epoch is that of the caller's claim; batholith.ErrHeld: another worker has claimed the publication since.
//
// If a segment is missing or damaged, it returns batholith.ErrOutcomesLost, and the outputs with lost outcomes do not appear; see Salvage.
func (p *Publisher) Publish(ctx context.Context, job batholith.Job, epoch int64, final bool) (batholith.Manifest, error) {
	return p.attempt(ctx, job, epoch, final, false)
}

// Salvage publishes the readable outcomes of a job after batholith.ErrOutcomesLost, without a manifest. The caller must have checked, after
// that error, that the job is not terminal: the segments of a terminal job are deleted because its output is complete.
func (p *Publisher) Salvage(ctx context.Context, job batholith.Job, epoch int64) error {
	_, err := p.attempt(ctx, job, epoch, false, true)
	return err
}

// attempt publishes, and starts over if segments were merged meanwhile.
func (p *Publisher) attempt(ctx context.Context, job batholith.Job, epoch int64, final, lenient bool) (batholith.Manifest, error) {
	var m batholith.Manifest
	began := time.Now()
	place, err := p.o.Open(ctx, job.ID)
	for try := 0; err == nil; try++ {
		m, err = p.publish(ctx, job, place, epoch, final, lenient)
		if err = judge(ctx, p.o.Store, place.Output, err); !errors.Is(err, errMerged) || try == startOver {
			break
		}
		p.o.Log.Debug("segments were merged while they were read; the publication starts over", "job", job.ID)
		err = nil
	}
	if err != nil {
		return m, fmt.Errorf("publish job %s: %w", job.ID, err)
	}
	level := slog.LevelInfo
	if !final { // there may be many
		level = slog.LevelDebug
	}
	p.o.Log.Log(ctx, level, "output of the job is published", "job", job.ID, "final", final, "files", len(m.Batholith.Files), "took", time.Since(began))
	if f := p.o.Listener.Published; f != nil {
		told := batholith.Published{Job: job.ID, Model: job.Model, Trace: job.Trace, Epoch: epoch, Final: final, Files: len(m.Batholith.Files), Took: time.Since(began)}
		for _, file := range m.Batholith.Files {
			told.Bytes += file.Bytes
		}
		f(told)
	}
	return m, nil
}

// publish is one attempt. The manifest comes last: if it exists, everything that it names exists.
func (p *Publisher) publish(ctx context.Context, job batholith.Job, place blob.Place, epoch int64, final, lenient bool) (m batholith.Manifest, err error) {
	files, err := p.o.Store.Files(ctx, job.ID)
	if err != nil {
		return m, err
	}
	segs, err := p.few(ctx, job, place, lenient)
	if err != nil {
		return m, err
	}
	// Check this before anything is written: another process may have ended the job and deleted its segments, and its output must stay.
	if n := outcomesOf(segs); final && n < job.Counts.Processed {
		return m, fmt.Errorf("the segments hold %d outcomes and the job counts %d", n, job.Counts.Processed)
	}
	if err := p.supersede(ctx, job.ID, place, epoch); err != nil {
		return m, err
	}
	outcomes, err := merge(ctx, place.Output, segs, lenient)
	if err != nil {
		return m, err
	}
	defer outcomes.close()
	out := &outputs{p: p, ctx: ctx, job: job, place: place, files: files, epoch: epoch, final: final, size: sizeOf(job, segs), lenient: lenient, beside: p.beside(ctx)}
	out.untried = newUntried(out)
	if out.untried != nil {
		for _, f := range files {
			out.size += f.Bytes // the ids
		}
		out.size += untriedLine * (job.Counts.Total - job.Counts.Processed)
	}
	if err := out.write(outcomes); err != nil {
		return m, err
	}
	if !final {
		return batholith.NewManifest(job, batholith.Ledger{}, out.done), nil
	}
	if err := out.agree(); err != nil {
		return m, err
	}
	ledger, err := p.o.Store.Ledger(ctx, job.ID)
	if err != nil {
		return m, err
	}
	m = batholith.NewManifest(job, ledger, out.done)
	if p.o.Costs != nil {
		costs, err := p.o.Costs(ctx, job)
		if err != nil {
			return m, err
		}
		m.Cost(costs)
	}
	out.sources.Tell(&m)
	m.Batholith.WithoutInput = out.silent
	err = p.manifest(ctx, place, batholith.Upload{Job: job.ID, Key: place.Prefix + batholith.ManifestName, Epoch: epoch}, &m)
	return m, err
}

// manifest writes the manifest of a publication, or sets m.Pending if it is small.
func (p *Publisher) manifest(ctx context.Context, place blob.Place, as batholith.Upload, m *batholith.Manifest) error {
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if body = append(body, '\n'); len(body) <= p.o.SmallManifest {
		m.Pending = body
		return nil
	}
	object := newObject(ctx, p.o.Store, place.Output, as, objectOptions{Bytes: int64(len(body)), Abortable: true})
	if _, err := object.Write(body); err != nil {
		return errors.Join(err, object.abort())
	}
	if err := object.close(); err != nil {
		return err
	}
	failpoint.Here("results.manifested")
	return nil
}

// smallManifest is the greatest length of a manifest that is stored in the job's row, in bytes: enough for about a hundred files.
const smallManifest = 32 << 10

// Announce writes a Pending manifest, as a plain object. The caller has decided the job's end with it, so that every worker writes the same
// bytes, however late.
func (p *Publisher) Announce(ctx context.Context, job batholith.Job, manifest []byte) error {
	place, err := p.o.Open(ctx, job.ID)
	if err == nil {
		err = place.Output.Put(ctx, place.Prefix+batholith.ManifestName, manifest)
	}
	if err != nil {
		return fmt.Errorf("write the manifest of job %s: %w", job.ID, err)
	}
	failpoint.Here("results.announced")
	return nil
}

// few returns the job's segments, and first merges them until they are at most fanIn.
func (p *Publisher) few(ctx context.Context, job batholith.Job, place blob.Place, lenient bool) ([]batholith.Segment, error) {
	for {
		segs, err := p.o.Store.Segments(ctx, job.ID)
		if err != nil || len(segs) <= fanIn || lenient { // a lost segment would end the merge
			return segs, err
		}
		r := runMaker{store: p.o.Store, place: place, key: func() string { return place.Prefix + segmentFolder + "publisher-" + newID() + ".run" }}
		few, began := smallest(segs, fanIn), time.Now()
		old, _, err := r.replace(ctx, few) // the only reader is this publisher, which has not begun to read
		if err == nil {
			tellMerged(p.o.Listener, few, began)
			err = place.Output.Delete(ctx, old...)
		}
		if err != nil {
			return nil, err
		}
	}
}

// linesOf is the sum of the bytes of all lines in the segments.
func linesOf(segs []batholith.Segment) (n int64) {
	for _, s := range segs {
		n += s.Lines
	}
	return n
}

// lineGrowth is how many bytes longer an output line is at most in OpenAI's form, without its id: it has more members.
const lineGrowth = 256

// sizeOf is the most bytes that the output lines of a job can have.
func sizeOf(job batholith.Job, segs []batholith.Segment) int64 {
	if job.OutputLines == batholith.LinesOpenAI {
		return linesOf(segs) + lineGrowth*outcomesOf(segs)
	}
	return linesOf(segs)
}

// outcomesOf is the number of outcomes in the segments.
func outcomesOf(segs []batholith.Segment) (n int64) {
	for _, s := range segs {
		n += s.Records
	}
	return n
}

// outputs is one publication. Its files are written one after the other, and finished in parallel.
type outputs struct {
	p     *Publisher
	ctx   context.Context
	job   batholith.Job
	place blob.Place
	files []batholith.File
	epoch int64
	final bool
	size  int64 // bytes of all lines, an upper bound for each file
	// lenient: lost segments are skipped. An output in the bucket with more bytes, written before the loss, then stays.
	lenient bool

	object  *object // the file that is being written; nil: none
	number  int     // of that file
	entry   batholith.ManifestFile
	sum     uint32
	errors  *errorObject // of that file; nil: no failed record has been met, or their lines are in the file
	untried *untried     // nil: the output has no lines of records that were never tried
	text    []byte       // buffer of a line in another form
	counts  batholith.Counts
	sources batholith.Sources
	silent  int64 // lines without modelInput
	beside  *beside
	closed  []*closing               // files that are finished, or will be by beside
	done    []batholith.ManifestFile // entries of the files that appeared; set at the end of write
}

// closing is a file that is finished in parallel with others.
type closing struct {
	n        int // of the file
	entry    batholith.ManifestFile
	appeared bool // valid after beside.wait
}

// write writes all files, and returns when no request for them is running any more.
func (w *outputs) write(outcomes *merged) error {
	err := w.all(outcomes)
	w.untried.close()
	if late := w.beside.wait(); err == nil {
		err = late
	}
	for _, f := range w.closed {
		if f.appeared {
			w.done = append(w.done, f.entry)
		}
	}
	return err
}

// all iterates over the outcomes and the files together; both are in the same order.
func (w *outputs) all(outcomes *merged) error {
	next := 0 // next file to begin
	o, err := outcomes.next()
	for ; err == nil; o, err = outcomes.next() {
		if o.Key.File >= len(w.files) {
			err = fmt.Errorf("an outcome is of file %d; the job has %d", o.Key.File, len(w.files))
			break
		}
		for next <= o.Key.File {
			if err = w.begin(next); err != nil {
				break
			}
			next++
		}
		if err == nil {
			err = w.line(o)
		}
		if err != nil {
			break
		}
	}
	for err == io.EOF && next < len(w.files) {
		if e := w.begin(next); e != nil {
			err = e
		}
		next++
	}
	if err == io.EOF {
		if err = w.finish(); err == nil {
			return nil
		}
	}
	if w.object != nil {
		err = errors.Join(err, w.object.abort())
	}
	return errors.Join(err, w.errors.abort())
}

// begin finishes the file that is being written and begins file n.
func (w *outputs) begin(n int) error {
	if err := w.finish(); err != nil {
		return err
	}
	f := w.files[n]
	key := w.place.Prefix + f.Output
	// A partial output may be replaced by a longer one while its request is running, so it must be abortable. A final one is never replaced.
	w.object = newObject(w.ctx, w.p.o.Store, w.place.Output, batholith.Upload{Job: w.job.ID, Key: key, Epoch: w.epoch},
		objectOptions{Bytes: w.size, Part: w.p.o.PartBytes, Abortable: !w.final})
	w.entry = batholith.ManifestFile{Input: uri(w.job.Input.URI, w.place.Input, f.Key), Output: uri(w.job.Output.URI, w.place.Output, key),
		InputETag: f.ETag, InputBytes: f.Bytes, InputCRC32C: f.CRC32C, Records: f.Records}
	w.sum, w.number = 0, n
	w.untried.begin()
	return nil
}

// line appends an outcome's line to the file that is being written.
func (w *outputs) line(o *batholith.Outcome) error {
	if err := w.untried.before(o); err != nil {
		return err
	}
	w.counts.Processed++
	if o.Errored {
		w.counts.Errored++
	} else {
		w.counts.Succeeded++
		w.sources.Note(o.Source)
		if w.final && o.Source.Taken() {
			if a, ok := jsonl.ParseAnswer(o.Line); ok {
				t, _ := dialect.TokensIn(a.Output)
				w.sources.Save(o.Source, t)
			}
		}
	}
	line := o.Line
	switch {
	case w.job.OutputLines == batholith.LinesOpenAI:
		var err error
		if line, err = jsonl.AppendOpenAI(w.text[:0], w.job.ID, o.Key, o.Line); err != nil {
			return fmt.Errorf("record %d of file %d: %w", o.Key.Record, o.Key.File, err)
		}
		if w.text = line; cap(line) > keptText {
			w.text = nil
		}
		if o.Errored {
			return w.errorLine(line)
		}
	case !jsonl.EchoesInput(o.Line):
		w.silent++
	}
	w.entry.Lines++
	w.entry.Bytes += int64(len(line))
	w.sum = crc32.Update(w.sum, castagnoli, line)
	_, err := w.object.Write(line)
	return err
}

// keptText is the longest buffer that is kept for the next line, in bytes.
const keptText = 1 << 20

// finish completes the file that is being written, in parallel with the next ones. A partial publication writes no empty objects.
func (w *outputs) finish() error {
	if w.object == nil {
		return nil
	}
	if err := w.untried.finish(); err != nil {
		return err // the caller aborts the objects
	}
	object := w.object
	w.object = nil
	f := &closing{n: w.number, entry: w.entry}
	if err := w.finishErrors(f); err != nil {
		return err
	}
	if w.entry.Lines == 0 && !w.final {
		return nil
	}
	f.entry.CRC32C = fmt.Sprintf("%08x", w.sum)
	w.closed = append(w.closed, f)
	return w.beside.do(object.Held(), func() error {
		if w.lenient {
			if there, err := w.place.Output.Head(w.ctx, object.key); err == nil && there.Bytes > f.entry.Bytes {
				return object.abort()
			}
		}
		if err := object.close(); err != nil {
			return err
		}
		failpoint.Here("results.published")
		f.appeared = true
		return nil
	})
}

// agree compares the written outcomes with the job's counters.
func (w *outputs) agree() error {
	promised := w.job.Counts
	w.counts.Total = promised.Total
	if w.counts != promised {
		return fmt.Errorf("the segments hold %d outcomes (%d succeeded, %d errored) and the job counts %d (%d, %d)",
			w.counts.Processed, w.counts.Succeeded, w.counts.Errored, promised.Processed, promised.Succeeded, promised.Errored)
	}
	if w.job.Status == batholith.StatusCompleted && promised.Processed != promised.Total {
		return fmt.Errorf("%d of %d records have an outcome; the job is not complete", promised.Processed, promised.Total)
	}
	return nil
}

// located is a bucket whose objects have URIs of their own, for example local files.
type located interface{ URI(key string) string }

// uri is the URI of an object, with the scheme of the client's location.
func uri(location string, b blob.Bucket, key string) string {
	if at, ok := b.(located); ok {
		return at.URI(key)
	}
	scheme, _, ok := strings.Cut(location, "://")
	if !ok {
		scheme = "s3"
	}
	return scheme + "://" + b.Name() + "/" + key
}
