package dispatch

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/failpoint"
	"github.com/batholith/batholith/internal/jsonl"
	printable "github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/reuse"
)

// Answers of earlier jobs. Validation has left a table of them beside the job's index (package reuse). A record that is in it takes the
// answer, as an outcome of its own under the lease of its chunk: journalled, committed and published like any other, without a request. A
// crash leaves its chunk to the next owner, who looks it up again.
//
// The table is a hint. An answer counts only if its line still says the same modelInput, byte for byte; otherwise, and if the earlier output
// is away, changed or denied, the record is sent.
const (
	earlierBytes = 16 << 20 // bytes of earlier answers that are read in parallel, for all jobs
	earlierRange = 1 << 20  // bytes of one read, if no answer is longer
	earlierGap   = 64 << 10 // bytes between two answers that are read and thrown away rather than asked for apart
)

// earlier are the earlier answers that a feed may take. It belongs to the feed's goroutine.
type earlier struct {
	table   *reuse.Table
	sources []earlierSource // of the table
}

// earlierSource is a source of the table, as this job may read it.
type earlierSource struct {
	from   *batholith.Source
	bucket blob.Bucket
	unused bool // its answers are not taken: another model gave them, or they cannot be read
}

// found is a record with the place of an answer to it.
type found struct {
	it *item
	at reuse.Place
}

// recipe returns the recipe of the answers of a backend to records of this job.
func (f *feed) recipe(b Backend) string { return f.speaks.Load().recipeOf(b) }

// openEarlier reads the table of earlier answers, if the job may have one. A job without one asks for everything.
func (f *feed) openEarlier(ctx context.Context) error {
	f.closeEarlier()
	tags, err := f.d.o.Store.Tags(ctx, f.job.Account, f.job.ID)
	if err != nil {
		return err
	}
	f.silent.Store(f.job.OutputLines == batholith.LinesOpenAI || !batholith.Echoes(tags, !f.d.tuned().Silent))
	takes := batholith.ReuseOf(tags, f.d.tuned().Earlier)
	if !takes.Any() {
		return nil
	}
	key := f.place.Prefix + batholith.InternalFolder + "/" + reuse.Object
	object, err := f.place.Output.Head(ctx, key)
	if errors.Is(err, batholith.ErrNoObject) {
		return nil
	}
	if err != nil {
		return err
	}
	r := blob.NewReader(ctx, f.place.Output, key, object.ETag, 0, object.Bytes)
	defer r.Close()
	table, err := reuse.Load(r, object.Bytes, f.d.o.Scratch)
	switch {
	case err == nil:
	case errors.Is(err, reuse.ErrDamaged), errors.Is(err, batholith.ErrNoObject):
		f.tellEarlier("Answers of earlier jobs are not taken: " + err.Error())
		return nil
	case errors.Is(err, batholith.ErrObjectChanged): // another validation wrote it once more; the next attempt reads that
		return errors.New("the table of earlier answers is being replaced")
	default:
		return err
	}
	f.earlier = &earlier{table: table}
	for _, s := range table.Sources {
		f.earlier.sources = append(f.earlier.sources, f.earlierSource(ctx, s, takes.AnyModel))
	}
	return nil
}

// earlierSource opens the bucket of a source with the rights of this job's role.
func (f *feed) earlierSource(ctx context.Context, s reuse.Source, anyModel bool) (of earlierSource) {
	of.from = &batholith.Source{Backend: s.Job, Model: s.Model, Recipe: s.Recipe}
	of.unused = !anyModel && !batholith.Serves(f.servings(), s.Model, s.Recipe)
	at := f.job
	at.Output, at.KMSKeyID = batholith.Location{URI: s.URI, Owner: s.Owner}, ""
	place, err := f.d.o.Place(ctx, at)
	if err != nil {
		of.unused = true
		f.tellEarlier(printable.Sprintf("Answers of %s are not taken any more: %v", s.Job, err))
		return of
	}
	of.bucket = place.Output
	return of
}

// servings returns what decides the answers to the job's records now.
func (f *feed) servings() (all []batholith.Serving) {
	for _, b := range f.speaks.Load().backends {
		all = append(all, batholith.Serving{Model: b.ModelName(), Recipe: f.recipe(b)})
	}
	return all
}

// closeEarlier gives the table back.
func (f *feed) closeEarlier() {
	if f.earlier != nil {
		if err := f.earlier.table.Close(); err != nil {
			f.d.o.Log.Warn("remove a table of earlier answers", "job", f.job.ID, "err", err)
		}
		f.earlier = nil
	}
}

// tellEarlier writes the job's note that answers of earlier jobs are not taken after all.
func (f *feed) tellEarlier(note string) {
	f.d.o.Log.Warn("answers of earlier jobs are not taken", "job", f.job.ID, "why", note)
	if err := f.d.o.Store.Note(context.WithoutCancel(f.life), f.job.ID, batholith.CutMessage(note+". Their records are sent to the model.")); err != nil {
		f.d.o.Log.Debug("note on job", "job", f.job.ID, "err", err)
	}
}

// lookUp divides records into those to send and those with an earlier answer. A record that names objects is always sent, since the objects
// may have changed.
func (f *feed) lookUp(items []*item) (ask []*item, hits []found) {
	if f.earlier == nil {
		return items, nil
	}
	for _, it := range items {
		if len(it.places) > 0 {
			ask = append(ask, it)
			continue
		}
		at, ok, err := f.earlier.table.Find(reuse.HashOf(it.input), it.id, it.key.Record)
		if err != nil {
			f.tellEarlier("Answers of earlier jobs are not taken any more: " + err.Error())
			f.closeEarlier()
			return items, nil
		}
		if ok && !f.earlier.sources[at.Source].unused {
			hits = append(hits, found{it, at})
		} else {
			ask = append(ask, it)
		}
	}
	slices.SortFunc(hits, func(a, b found) int {
		return cmp.Or(a.at.Source-b.at.Source, cmp.Compare(a.at.Offset, b.at.Offset), a.it.key.Compare(b.it.key))
	})
	return ask, hits
}

// takeEarlier concludes records in flight with their earlier answers. Records whose answer does not fit are offered to the lanes. It returns
// an error only if take or the lease's term ends; no record is in flight then.
func (f *feed) takeEarlier(take context.Context, hits []found) (err error) {
	for len(hits) > 0 {
		n := adjacent(hits)
		if err == nil {
			err = f.takeRange(take, hits[:n])
		}
		if err != nil {
			for _, h := range hits[:n] {
				f.drop(h.it)
			}
		}
		hits = hits[n:]
	}
	return err
}

// adjacent returns how many of the first answers are read at once: those that lie close to each other.
func adjacent(hits []found) int {
	first := hits[0].at
	end := first.Offset + int64(first.Length)
	for n, h := range hits {
		last := h.at.Offset + int64(h.at.Length)
		if h.at.Source != first.Source || h.at.Offset > end+earlierGap || n > 0 && last-first.Offset > earlierRange {
			return n
		}
		end = max(end, last)
	}
	return len(hits)
}

// takeRange reads the answers of one read and concludes their records. After an error none is concluded.
func (f *feed) takeRange(take context.Context, hits []found) error {
	source := &f.earlier.sources[hits[0].at.Source]
	var data []byte
	from := hits[0].at.Offset
	if !source.unused {
		to := from
		for _, h := range hits {
			to = max(to, h.at.Offset+int64(h.at.Length))
		}
		room := min(to-from, earlierBytes)
		if err := f.d.earlier.Acquire(take, room); err != nil {
			return context.Cause(take)
		}
		defer f.d.earlier.Release(room)
		err := f.insist(take, "read answers of an earlier job", func() (err error) {
			data, err = f.readEarlier(take, hits[0].at.Source, from, to-from)
			return err
		})
		if err != nil {
			return err
		}
	}
	for _, h := range hits {
		at := h.at.Offset - from
		if at+int64(h.at.Length) > int64(len(data)) {
			f.offerLate(h.it)
			continue
		}
		a, answered := jsonl.ParseAnswer(data[at : at+int64(h.at.Length)])
		if !answered || !bytes.Equal(a.Input, h.it.input) {
			f.offerLate(h.it)
			continue
		}
		f.repeat(h.it, batholith.Answer{Output: a.Output, Source: source.from})
	}
	failpoint.Here("dispatch.reused")
	return nil
}

// readEarlier reads bytes of an earlier output. If they cannot be had any more, it returns none, and the source is not used from then on.
func (f *feed) readEarlier(ctx context.Context, source int, offset, n int64) ([]byte, error) {
	s, of := &f.earlier.sources[source], f.earlier.table.Sources[source]
	data, err := readAll(ctx, s.bucket, of.Key, of.ETag, offset, n)
	if err != nil && blob.Permanent(err) {
		s.unused = true
		f.tellEarlier(printable.Sprintf("Answers of %s are not taken any more: its output %s cannot be read: %v", of.Job, blob.URI(s.bucket, of.Key), err))
		return nil, nil
	}
	return data, err
}

// offerLate makes a record ready for the lanes that counted as in flight.
func (f *feed) offerLate(it *item) {
	q := f.queue
	q.mu.Lock()
	if it.term.Err() != nil {
		f.lands(it, 0)
		q.mu.Unlock()
		return
	}
	ask, known := f.sort([]*item{it})
	if len(known) > 0 { // an equal record was answered meanwhile: it stays in flight
		a := q.answers.known[it.same]
		q.mu.Unlock()
		f.repeat(it, a)
		return
	}
	f.lands(it, 0)
	for _, it := range ask {
		f.ready.late(it)
	}
	q.wake()
	q.mu.Unlock()
}
