package jsonl

import (
	"context"
	"hash/crc32"
	"io"

	"github.com/batholith/batholith"
)

// stretch is a range of a file on its way: the lines that begin in it. One goroutine scans it and one joins it.
type stretch struct {
	pool     *Pool
	survey   *Survey
	from, to int64

	next  chan struct{} // closed when everything before it is joined
	pages chan *page    // closed when the range was read

	// What follows is the scanning goroutine's until it closes pages. Lines are counted from the first of the range.
	page     *page // being filled
	problems []Problem
	remarks  []Problem
	total    Surveyed
	sum      uint32
	err      error
}

func newStretch(p *Pool, s *Survey, from int64) *stretch {
	return &stretch{pool: p, survey: s, from: from, to: min(from+s.Range, s.Bytes), next: make(chan struct{}), pages: make(chan *page, poolPages)}
}

// guarded scans the range and returns a scanner for the next one: another where this one stopped in the middle of a panic, which is the
// range's error.
func (r *stretch) guarded(ctx context.Context, sc *Scanner) *Scanner {
	err := batholith.Guard("check the lines of a file", func() error {
		r.scan(ctx, sc)
		return nil
	})
	if err == nil {
		return sc
	}
	if r.page != nil {
		r.pool.put(r.page)
	}
	r.err = err // before pages are closed, which the join waits for
	close(r.pages)
	return &Scanner{}
}

// scan reads the range. It begins one byte early: whether a line begins at from, the byte before tells. The last line is read to its
// end, behind the range.
func (r *stretch) scan(ctx context.Context, sc *Scanner) {
	at := max(0, r.from-1)
	body := r.survey.Open(ctx, at)
	defer body.Close()
	in := &summed{r: body, at: at, from: r.from, to: r.to}
	if r.survey.Unsummed {
		sc.begin(body, at, r.to)
	} else {
		sc.begin(in, at, r.to)
	}
	if at < r.from {
		sc.pass()
	}
	for r.err == nil && sc.Next() {
		if p := sc.Problem(); p != nil {
			r.total.Problems++
			r.problems = r.keep(r.problems, *p)
			continue
		}
		r.err = r.record(ctx, sc.Line())
	}
	if r.err == nil {
		r.err = sc.Err()
	}
	if r.err == nil {
		r.err = r.send(ctx)
	}
	if r.page != nil {
		r.pool.put(r.page)
	}
	r.total.Lines, r.sum = sc.line.N, in.sum
	close(r.pages)
}

// record takes in a line that is one.
func (r *stretch) record(ctx context.Context, line Line) error {
	if r.page == nil {
		if err := r.take(ctx); err != nil {
			return err
		}
	}
	r.page.entries = append(r.page.entries, r.survey.entry(line))
	if r.survey.Remark != nil {
		if why := r.survey.Remark(line); why != "" {
			r.total.Remarks++
			r.remarks = r.keep(r.remarks, Problem{line.N, line.Offset, why})
		}
	}
	if len(r.page.entries) == pageEntries {
		return r.send(ctx)
	}
	return nil
}

// keep appends p while there is room. What a file's list begins with is in what the lists of its ranges begin with.
func (r *stretch) keep(ps []Problem, p Problem) []Problem {
	if len(ps) < r.survey.Keep {
		ps = append(ps, p)
	}
	return ps
}

// take gets a page to fill. The range that is joined next does not wait for one.
func (r *stretch) take(ctx context.Context) error {
	if r.page = r.pool.get(ctx, r.next); r.page == nil {
		return context.Cause(ctx)
	}
	if r.page.entries == nil {
		r.page.entries = make([]Entry, 0, pageEntries)
	}
	return nil
}

// send hands the page over to whoever joins the range.
func (r *stretch) send(ctx context.Context) error {
	if r.page == nil {
		return nil
	}
	select {
	case r.pages <- r.page:
		r.page = nil
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// summed sums the bytes of a range as they are read, and not those beside it.
type summed struct {
	r            io.Reader
	at, from, to int64
	sum          uint32
}

func (s *summed) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	from, to := max(s.at, s.from), min(s.at+int64(n), s.to)
	if from < to {
		s.sum = crc32.Update(s.sum, castagnoli, p[from-s.at:to-s.at])
	}
	s.at += int64(n)
	return n, err
}
