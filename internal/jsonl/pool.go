package jsonl

import (
	"context"
	"runtime"
)

// Pool limits the parallel work of surveys, and reuses their memory. It is safe for concurrent
// use.
type Pool struct {
	scanners chan *Scanner // idle scanners; a goroutine owns the one that it received
	// Free pages. Used ones are taken first, so that no more pages are allocated than are
	// needed at the same time.
	used, fresh chan *page
}

// page transports entries from the goroutine that read them to the one that joins the ranges.
type page struct {
	entries []Entry
	extra   bool // beyond the pool's number of pages
}

// Sizes of the pool.
const (
	pageEntries = 1024
	// poolPages × pageEntries entries take 10 MiB. They index 240 MB of lines of 900 bytes.
	poolPages = 256
	// keptPages is how many pages Rest keeps: enough for the survey of a small file.
	keptPages = 8
	// leastScanners is the minimum on any machine, because readers of objects wait more than
	// they compute.
	leastScanners = 4
)

// NewPool returns a pool for all surveys of a process. max(4, number of processors) goroutines
// read at once. Memory is allocated when it is needed.
func NewPool() *Pool {
	n := max(leastScanners, runtime.GOMAXPROCS(0))
	p := &Pool{scanners: make(chan *Scanner, n), used: make(chan *page, poolPages), fresh: make(chan *page, poolPages)}
	for range n {
		p.scanners <- &Scanner{}
	}
	for range poolPages {
		p.fresh <- &page{}
	}
	return p
}

// put returns a page to the pool.
func (p *Pool) put(pg *page) {
	if !pg.extra {
		pg.entries = pg.entries[:0]
		p.used <- pg
	}
}

// Rest frees the memory of idle pages except keptPages of them. A large survey has left them,
// and the next one may come hours later.
func (p *Pool) Rest() {
	for len(p.used) > keptPages {
		select {
		case <-p.used:
			p.fresh <- &page{}
		default:
			return
		}
	}
}

// get takes a page. It blocks until one is free or next is closed; in the latter case it
// allocates an extra page. It returns nil if ctx is cancelled.
func (p *Pool) get(ctx context.Context, next <-chan struct{}) *page {
	for _, free := range []chan *page{p.used, p.fresh} {
		select {
		case pg := <-free:
			return pg
		default:
		}
	}
	select {
	case pg := <-p.used:
		return pg
	case pg := <-p.fresh: // it was among the used ones a moment ago
		return pg
	case <-next:
		return &page{extra: true}
	case <-ctx.Done():
		return nil
	}
}
