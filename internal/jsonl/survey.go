package jsonl

import (
	"context"
	"errors"
	"io"
	"sync"
)

// Survey is one reading of a whole file: every line is checked once, and every record becomes an [Entry]. A large file is read in
// ranges, several at once; what comes of it is the same, byte for byte, as if it had been read from front to back.
type Survey struct {
	Bytes int64 // of the file
	// Open reads the file from a byte to its end. It is called by several goroutines; each closes what it got, often before the end.
	Open func(ctx context.Context, from int64) io.ReadCloser
	// Range is how many bytes one goroutine reads; 0: DefaultRange.
	Range int64
	// Keep is how many problems, and how many remarks, are handed out; all are counted.
	Keep int

	// Unsummed leaves out what only an index is for: Surveyed.Sum and the fingerprints of the entries are 0.
	Unsummed bool

	// Remark, when set, is asked about every record, by several goroutines and in any order. What it returns, if anything, is listed
	// beside the problems; the line stays a record. The line holds until it returns.
	Remark func(Line) string

	// These are called by the goroutine that called Run, in the order of the file; either may be nil. What Entries gets is its own
	// until it returns. An error of it ends the survey.
	Entries  func([]Entry) error
	Problems func(problems, remarks []Problem)
}

// entry is the entry of a line.
func (s *Survey) entry(l Line) Entry {
	if s.Unsummed {
		return unsummed(l)
	}
	return EntryOf(l)
}

// DefaultRange leaves room for the end of the last line within 8 MiB, which is what readers of objects ask for at once.
const DefaultRange = 8<<20 - 64<<10

// Surveyed is what a survey counted.
type Surveyed struct {
	Lines    int64 // blank ones too
	Problems int64
	Remarks  int64
	Sum      uint32 // CRC-32C of the file
}

// Run surveys one file. Its error is the reader's, the cause of ctx, or that of s.Entries. Several files may be surveyed at once; the
// goroutines of all together are bounded by the pool, and so is the memory that they take.
//
// The ranges are begun in the order of the file, and joined in that order: only then are line numbers known. A range that is not the
// next to be joined waits when the pool has no room for its entries any more; the next one never does, so that there is always one
// that goes on.
func (p *Pool) Run(ctx context.Context, s Survey) (Surveyed, error) {
	if s.Range == 0 {
		s.Range = DefaultRange
	}
	ctx, cancel := context.WithCancel(ctx)
	j := &joint{pool: p, survey: &s, stop: cancel, begun: make(chan *stretch, cap(p.scanners))}
	var working sync.WaitGroup
	working.Go(func() { j.begin(ctx, &working) })
	err := j.join()
	cause := context.Cause(ctx)
	cancel()
	working.Wait()
	for r := range j.begun { // what an error left
		j.drop(r)
	}
	if cause != nil && (err == nil && j.joined < s.Bytes || errors.Is(err, context.Canceled)) {
		err = cause
	}
	return j.total, err
}

// joint puts the ranges of one file together again.
type joint struct {
	pool   *Pool
	survey *Survey
	stop   context.CancelFunc // ends the reading
	begun  chan *stretch      // in the order of the file; closed by begin

	total  Surveyed
	joined int64 // bytes
}

// begin starts a goroutine for every range, as scanners become free and ranges are joined.
func (j *joint) begin(ctx context.Context, working *sync.WaitGroup) {
	defer close(j.begun)
	for from := int64(0); from < j.survey.Bytes; from += j.survey.Range {
		r := newStretch(j.pool, j.survey, from)
		select {
		case <-ctx.Done():
			return
		case j.begun <- r:
		}
		select {
		case <-ctx.Done():
			r.err = context.Cause(ctx)
			close(r.pages)
			return
		case sc := <-j.pool.scanners:
			working.Go(func() {
				j.pool.scanners <- r.guarded(ctx, sc)
			})
		}
	}
}

// join takes the ranges in, one after the other, until one has an error.
func (j *joint) join() error {
	for r := range j.begun {
		if err := j.take(r); err != nil {
			return err
		}
		j.joined += r.to - r.from
	}
	return nil
}

// take takes a range in while it is read. Its lines are numbered now that those before it are known.
func (j *joint) take(r *stretch) (err error) {
	close(r.next)
	for pg := range r.pages {
		for i := range pg.entries {
			pg.entries[i].Line += j.total.Lines
		}
		if err == nil && j.survey.Entries != nil {
			if err = j.survey.Entries(pg.entries); err != nil {
				j.stop()
			}
		}
		j.pool.put(pg)
	}
	if err == nil {
		err = r.err
	}
	if err != nil {
		return err
	}
	if j.survey.Problems != nil && len(r.problems)+len(r.remarks) > 0 {
		shift(r.problems, j.total.Lines)
		shift(r.remarks, j.total.Lines)
		j.survey.Problems(r.problems, r.remarks)
	}
	j.total.Sum = joinSums(j.total.Sum, r.sum, r.to-r.from)
	j.total.Lines += r.total.Lines
	j.total.Problems += r.total.Problems
	j.total.Remarks += r.total.Remarks
	return nil
}

// shift adds the lines before a range to the numbers of its lines.
func shift(ps []Problem, lines int64) {
	for i := range ps {
		ps[i].Line += lines
	}
}

// drop gives back what a range that is not joined holds.
func (j *joint) drop(r *stretch) {
	for pg := range r.pages {
		j.pool.put(pg)
	}
}
