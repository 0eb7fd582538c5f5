package jsonl

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/batholith/batholith"
)

// Survey describes one complete reading of a file: every line is checked, and every record
// becomes an [Entry]. A large file is read in ranges, several in parallel. The result is the
// same as for sequential reading.
type Survey struct {
	Bytes int64 // size of the file
	// Open reads the file from an offset to its end. Several goroutines call it; each closes
	// its reader, often before the end.
	Open  func(ctx context.Context, from int64) io.ReadCloser
	Lines batholith.Lines // form of the lines
	// Range is the size of a range in bytes; 0: DefaultRange.
	Range int64
	// Keep is the maximum number of problems, and of remarks, that are returned. All are
	// counted.
	Keep int

	// Unsummed skips what only an index needs: Surveyed.Sum and the entries' fingerprints are
	// 0.
	Unsummed bool

	// Refuse, if not nil, is called for every record, by several goroutines, in any order. A line
	// with a non-empty result is a problem and no record. The Line is valid only during the call.
	Refuse func(Line) string

	// Remark, if not nil, is called for every record, by several goroutines, in any order. A
	// non-empty result is listed with the problems, but the line remains a valid record. The
	// Line is valid only during the call.
	Remark func(Line) string

	// Entries and Problems are called by the goroutine that called Run, in file order; either
	// may be nil. The slice given to Entries is valid only during the call. An error of Entries
	// ends the survey.
	Entries  func([]Entry) error
	Problems func(problems, remarks []Problem)
}

// entry returns the index entry of a line.
func (s *Survey) entry(l Line) Entry {
	if s.Unsummed {
		return unsummed(l)
	}
	return EntryOf(l)
}

// DefaultRange leaves 64 KiB for the end of the last line within 8 MiB, the size of one read
// request.
const DefaultRange = 8<<20 - 64<<10

// Surveyed are the results of a survey.
type Surveyed struct {
	Lines    int64 // including blank lines
	Problems int64
	Remarks  int64
	Sum      uint32 // CRC-32C of the file
}

// Run surveys one file. The error is the reader's, the cause of ctx, or that of s.Entries.
// Several files may be surveyed in parallel; the pool limits the goroutines and the memory of
// all of them together.
//
// Ranges are started and joined in file order. Line numbers are known only when a range is
// joined. A range waits if the pool has no free page, except the next one to be joined: it
// always gets a page, so there is no deadlock.
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
	for r := range j.begun { // ranges left after an error
		j.drop(r)
	}
	if cause != nil && (err == nil && j.joined < s.Bytes || errors.Is(err, context.Canceled)) {
		err = cause
	}
	return j.total, err
}

// joint joins the ranges of one file.
type joint struct {
	pool   *Pool
	survey *Survey
	stop   context.CancelFunc // cancels the reading goroutines
	begun  chan *stretch      // in file order; closed by begin

	total  Surveyed
	joined int64 // bytes of the joined ranges
}

// begin starts a goroutine for each range when a scanner is free.
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

// join joins the ranges one after the other, until one has an error.
func (j *joint) join() error {
	for r := range j.begun {
		if err := j.take(r); err != nil {
			return err
		}
		j.joined += r.to - r.from
	}
	return nil
}

// take joins one range while it is still being read. It adds the number of earlier lines to the
// line numbers.
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

// shift adds the number of lines before the range to line numbers.
func shift(ps []Problem, lines int64) {
	for i := range ps {
		ps[i].Line += lines
	}
}

// drop returns the pages of a range that will not be joined.
func (j *joint) drop(r *stretch) {
	for pg := range r.pages {
		j.pool.put(pg)
	}
}
