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
	"github.com/batholith/batholith/internal/failpoint"
	"github.com/batholith/batholith/internal/memory"
)

// PublisherStore is what a Publisher asks of the database.
type PublisherStore interface {
	Segments
	Uploads
	Files(ctx context.Context, job string) ([]batholith.File, error)
	Ledger(ctx context.Context, job string) (batholith.Ledger, error)
}

// PublisherOptions are the parts that a Publisher joins. Store and Open are needed.
type PublisherOptions struct {
	Store PublisherStore
	Open  Opener
	Log   *slog.Logger

	Listener batholith.Listener // is told of Published and Merged

	Room      *memory.Budget // shared with whoever else holds answers and records; nil: one of its own
	PartBytes int64          // of the parts of an output, at least; 0: 5 MiB
	// SmallManifest is how long a manifest may be that is left to the caller, in bytes; 0: 32 KiB; negative: none is.
	SmallManifest int

	Worker string
	Shelf  blob.Bucket // the Writer's of the same worker; nil: there is none
}

// Publisher makes the output objects of a job from its committed segments. What it writes is a pure function of the outcomes, and of
// the status in the manifest. Its methods may be called by any goroutine.
//
// One process publishes a job at a time, under an epoch that the store gave it. It may lose that to another without noticing, while a
// call of it is still on its way to the bucket. So whatever another might write differently, partial output and a large manifest, is a
// multipart upload that the store knows under its epoch, and a publisher aborts those of the epochs before its own before it writes:
// they cannot appear any more, and no new one of them is known to the store. The final output of a file is the same from everyone, and so
// is a small manifest, which is written when the end of the job is settled.
type Publisher struct {
	o       PublisherOptions
	shelf   shelf
	closing *memory.Account     // of objects that are finished beside one another
	closes  *semaphore.Weighted // those of all publications
}

// NewPublisher returns a Publisher.
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

// startOver is how often a publication begins again because segments were merged away under it.
const startOver = 5

// Publish writes an output object for every file of the job that has outcomes: one whole line for each, in input order.
//
// With final it writes every file, an empty object for one without outcomes, and then the manifest; job must have its final
// counters and its final status by then. A small manifest is not written but returned, as Pending: the caller settles the job's end with
// it, and then has Announce write it. When the committed lines and the counters do not agree it is an error and there is no manifest. Without final it publishes what there is so far, while the job goes on. The epoch is the one under which the
// caller has claimed the publication; batholith.ErrHeld says that another has claimed it since.
//
// A segment that is gone or damaged is batholith.ErrOutcomesLost, and nothing of what it belongs to appears; see Salvage.
func (p *Publisher) Publish(ctx context.Context, job batholith.Job, epoch int64, final bool) (batholith.Manifest, error) {
	return p.attempt(ctx, job, epoch, final, false)
}

// Salvage publishes what can be read of a job that failed with batholith.ErrOutcomesLost, without a manifest. The caller has made sure,
// after that error, that the job was not over: otherwise its segments are gone because its output is there.
func (p *Publisher) Salvage(ctx context.Context, job batholith.Job, epoch int64) error {
	_, err := p.attempt(ctx, job, epoch, false, true)
	return err
}

// attempt publishes, from the beginning when segments are merged meanwhile.
func (p *Publisher) attempt(ctx context.Context, job batholith.Job, epoch int64, final, lenient bool) (batholith.Manifest, error) {
	var m batholith.Manifest
	began := time.Now()
	place, err := p.o.Open(ctx, job.ID)
	for try := 0; err == nil; try++ {
		m, err = p.publish(ctx, job, place, epoch, final, lenient)
		if err = judge(ctx, p.o.Store, place.Output, err); !errors.Is(err, errMerged) || try == startOver {
			break
		}
		p.o.Log.Debug("segments were merged while they were read; beginning again", "job", job.ID)
		err = nil
	}
	if err != nil {
		return m, fmt.Errorf("publish job %s: %w", job.ID, err)
	}
	if f := p.o.Listener.Published; f != nil {
		told := batholith.Published{Job: job.ID, Epoch: epoch, Final: final, Files: len(m.Batholith.Files), Took: time.Since(began)}
		for _, file := range m.Batholith.Files {
			told.Bytes += file.Bytes
		}
		f(told)
	}
	return m, nil
}

// publish is one attempt. The manifest comes last: where there is one, everything it names is there.
func (p *Publisher) publish(ctx context.Context, job batholith.Job, place blob.Place, epoch int64, final, lenient bool) (m batholith.Manifest, err error) {
	files, err := p.o.Store.Files(ctx, job.ID)
	if err != nil {
		return m, err
	}
	segs, err := p.few(ctx, job, place, lenient)
	if err != nil {
		return m, err
	}
	// Before anything is written: another process may have ended the job meanwhile and let its segments go, and its output stays.
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
	out := &outputs{p: p, ctx: ctx, job: job, place: place, files: files, epoch: epoch, final: final, size: linesOf(segs), lenient: lenient, beside: p.beside(ctx)}
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
	out.sources.Tell(&m)
	err = p.manifest(ctx, place, batholith.Upload{Job: job.ID, Key: place.Prefix + batholith.ManifestName, Epoch: epoch}, &m)
	return m, err
}

// manifest writes the manifest of a publication, or leaves it to the caller when it is small.
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

// smallManifest is how long a manifest may be that is stored with the settled end of its job, in bytes: about a hundred files have room.
const smallManifest = 32 << 10

// Announce writes a manifest that was left to the caller, as a plain object. The caller has settled the job's end with it before, so that
// whoever writes the job's manifest, however late, writes these bytes.
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

// few returns the job's segments, merged so far that they can be read all at once.
func (p *Publisher) few(ctx context.Context, job batholith.Job, place blob.Place, lenient bool) ([]batholith.Segment, error) {
	for {
		segs, err := p.o.Store.Segments(ctx, job.ID)
		if err != nil || len(segs) <= fanIn || lenient { // one that is lost would end the merge
			return segs, err
		}
		r := runMaker{store: p.o.Store, place: place, key: func() string { return place.Prefix + segmentFolder + "publisher-" + newID() + ".run" }}
		few, began := smallest(segs, fanIn), time.Now()
		old, _, err := r.replace(ctx, few) // who reads is this publisher, and it has not begun
		if err == nil {
			tellMerged(p.o.Listener, few, began)
			err = place.Output.Delete(ctx, old...)
		}
		if err != nil {
			return nil, err
		}
	}
}

// linesOf is how many bytes of lines the segments hold.
func linesOf(segs []batholith.Segment) (n int64) {
	for _, s := range segs {
		n += s.Lines
	}
	return n
}

func outcomesOf(segs []batholith.Segment) (n int64) {
	for _, s := range segs {
		n += s.Records
	}
	return n
}

// outputs is one publication. Its files are written one after the other, and finished beside one another.
type outputs struct {
	p     *Publisher
	ctx   context.Context
	job   batholith.Job
	place blob.Place
	files []batholith.File
	epoch int64
	final bool
	size  int64 // bytes of all lines: no file has more
	// What is there already and has more, a partial output from before the loss or that of another process, stays.
	lenient bool

	object  *object // of the file that is being written, or nil
	entry   batholith.ManifestFile
	sum     uint32
	counts  batholith.Counts
	sources batholith.Sources
	beside  *beside
	closed  []*closing               // files that are finished or being so
	done    []batholith.ManifestFile // of those that appeared, once all are finished
}

// closing is a file that is finished beside others.
type closing struct {
	entry    batholith.ManifestFile
	appeared bool // known once nothing of the publication is on its way
}

// write writes all files, and returns when nothing of them is on its way any more.
func (w *outputs) write(outcomes *merged) error {
	err := w.all(outcomes)
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

// all goes through the outcomes and the files together; both are in the same order.
func (w *outputs) all(outcomes *merged) error {
	next := 0 // file that was not begun yet
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
		return w.finish()
	}
	if w.object != nil {
		err = errors.Join(err, w.object.abort())
	}
	return err
}

// begin finishes the file that is being written and begins another.
func (w *outputs) begin(n int) error {
	if err := w.finish(); err != nil {
		return err
	}
	f := w.files[n]
	key := w.place.Prefix + f.Output
	// A partial output may be followed by a longer one while it is on its way. A final one is not followed by another.
	w.object = newObject(w.ctx, w.p.o.Store, w.place.Output, batholith.Upload{Job: w.job.ID, Key: key, Epoch: w.epoch},
		objectOptions{Bytes: w.size, Part: w.p.o.PartBytes, Abortable: !w.final})
	w.entry = batholith.ManifestFile{Input: uri(w.job.Input.URI, w.place.Input, f.Key), Output: uri(w.job.Output.URI, w.place.Output, key),
		InputETag: f.ETag, InputBytes: f.Bytes, InputCRC32C: f.CRC32C, Records: f.Records}
	w.sum = 0
	return nil
}

// line appends an outcome's line to the file that is being written.
func (w *outputs) line(o *batholith.Outcome) error {
	w.counts.Processed++
	if o.Errored {
		w.counts.Errored++
	} else {
		w.counts.Succeeded++
		w.sources.Note(o.Source)
	}
	w.entry.Lines++
	w.entry.Bytes += int64(len(o.Line))
	w.sum = crc32.Update(w.sum, castagnoli, o.Line)
	_, err := w.object.Write(o.Line)
	return err
}

// finish makes the file that is being written appear, beside the next ones. A partial output has no empty objects.
func (w *outputs) finish() error {
	if w.object == nil {
		return nil
	}
	object := w.object
	w.object = nil
	if w.entry.Lines == 0 && !w.final {
		return nil
	}
	f := &closing{entry: w.entry}
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

// agree compares what was written with what the job's counters promise.
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

// located is a bucket whose objects have addresses of their own, as files have.
type located interface{ URI(key string) string }

// uri names an object as the client named its neighbours.
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
