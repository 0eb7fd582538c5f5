package jsonl

import (
	"context"
	"hash/crc32"
	"io"

	"github.com/batholith/batholith"
)

// stretch is a range of a file: the lines that begin in it. One goroutine scans it, another
// joins the results.
type stretch struct {
	pool     *Pool
	survey   *Survey
	from, to int64

	next  chan struct{} // closed when all earlier ranges are joined
	pages chan *page    // closed by the scanning goroutine when the range is read

	// The scanning goroutine owns the fields below until it closes pages. Line numbers are
	// relative to the range.
	page     *page // the page that is being filled
	problems []Problem
	remarks  []Problem
	total    Surveyed
	sum      uint32
	err      error
}

func newStretch(p *Pool, s *Survey, from int64) *stretch {
	return &stretch{pool: p, survey: s, from: from, to: min(from+s.Range, s.Bytes), next: make(chan struct{}), pages: make(chan *page, poolPages)}
}

// guarded scans the range and returns a scanner for the next range. After a panic, which
// becomes the range's error, it returns a new scanner.
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
	r.err = err // set before pages is closed, which the joining goroutine waits for
	close(r.pages)
	return &Scanner{}
}

// scan reads the range. It starts one byte early, because the byte before from tells whether a
// line begins at from. The last line is read to its end, beyond the range.
func (r *stretch) scan(ctx context.Context, sc *Scanner) {
	// If the byte at from-1 is \n, a line begins at from; otherwise the rest of a line is
	// skipped.
	at := max(0, r.from-1)
	body := r.survey.Open(ctx, at)
	defer body.Close()
	// The checksum covers exactly [from, to), although the scanner reads more.
	in := &summed{r: body, at: at, from: r.from, to: r.to}
	if r.survey.Unsummed {
		sc.begin(body, at, r.to, r.survey.Lines)
	} else {
		sc.begin(in, at, r.to, r.survey.Lines)
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

// record adds the entry of a valid line.
func (r *stretch) record(ctx context.Context, line Line) error {
	if r.survey.Refuse != nil {
		if why := r.survey.Refuse(line); why != "" {
			r.total.Problems++
			r.problems = r.keep(r.problems, Problem{line.N, line.Offset, why})
			return nil
		}
	}
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

// keep appends p unless the list is full. Every problem in the file's list is among the first
// Keep of its range.
func (r *stretch) keep(ps []Problem, p Problem) []Problem {
	if len(ps) < r.survey.Keep {
		ps = append(ps, p)
	}
	return ps
}

// take gets a page to fill. The next range to be joined never has to wait for one.
func (r *stretch) take(ctx context.Context) error {
	if r.page = r.pool.get(ctx, r.next); r.page == nil {
		return context.Cause(ctx)
	}
	if r.page.entries == nil {
		r.page.entries = make([]Entry, 0, pageEntries)
	}
	return nil
}

// send passes the page to the joining goroutine.
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

// summed computes the CRC-32C of the bytes of a range as they are read. Bytes outside the range
// are not included.
type summed struct {
	r            io.Reader
	at, from, to int64
	sum          uint32
}

// Read implements io.Reader.
func (s *summed) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	from, to := max(s.at, s.from), min(s.at+int64(n), s.to)
	if from < to {
		s.sum = crc32.Update(s.sum, castagnoli, p[from-s.at:to-s.at])
	}
	s.at += int64(n)
	return n, err
}
