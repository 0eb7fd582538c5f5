package jsonl

import (
	"context"
	"runtime"
)

// Pool bounds what surveys do at once, and reuses their memory. It is safe for concurrent use.
type Pool struct {
	scanners chan *Scanner // each belongs to the goroutine that took it out
	// Free pages: those that were used before go first, so that no more are made than are needed at once.
	used, fresh chan *page
}

// page holds entries on their way from the goroutine that made them to the one that joins them.
type page struct {
	entries []Entry
	extra   bool // made beyond the pool's number
}

const (
	pageEntries = 1024
	// poolPages are 10 MiB of entries, those of 240 MB of lines of 900 bytes.
	poolPages = 256
	// keptPages are enough for a survey of a small file, and are not worth giving back.
	keptPages = 8
	// leastScanners are worth having on any machine: a reader of objects waits more than it computes.
	leastScanners = 4
)

// NewPool makes a pool for all the surveys of a process: as many goroutines read as there are processors, but at least a few. Its
// memory is taken when it is needed.
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

// put takes a page back.
func (p *Pool) put(pg *page) {
	if !pg.extra {
		pg.entries = pg.entries[:0]
		p.used <- pg
	}
}

// Rest gives the memory of the free pages back to the process, but for a few: a large survey has left them, and the next may be hours
// away.
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

// get takes a page out. It waits for one unless next is closed; the page is nil when ctx has ended.
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
	case pg := <-p.fresh: // which was among the used ones a moment ago
		return pg
	case <-next:
		return &page{extra: true}
	case <-ctx.Done():
		return nil
	}
}
