// Package memory bounds the bytes that the process holds of answers and large records at once: one budget for all models and jobs.
//
// A [Hold] is what one thing takes: a chunk that was read, an answer that is being read, a line that waits for its commit. A chunk takes
// all that it needs before it is read. An answer grows: its length is known only when it has been read. Growing holds could wait for one
// another for ever, each with a part of the budget, so one of them, the elder, is never refused, and a part of the budget is kept for it
// (elderBytes): when the elder is done, the next one that waits becomes it.
//
// Holds belong to an [Account], one for each model's records and one for each backend's answers. An account that holds less than its
// floor is not refused either. So a model whose server is down, or sends answers that do not end, keeps memory from its like and does not
// stop the others.
//
// The invariant: what is held, beyond floors and what was forced, is never more than the budget. The package must not know what is held.
package memory

import (
	"context"
	"slices"
	"sync"
)

// elderBytes are kept for the answer that may always go on: the longest that is read.
const elderBytes = 64 << 20

// Budget is a number of bytes that is shared. It is safe for concurrent use.
type Budget struct {
	shared int64 // what holds other than the elder's may take together

	alone sync.Mutex // see Alone

	mu    sync.Mutex
	used  int64
	elder *Hold
	// Waiting holds, each in the order in which they came. Those that grow go first: they end soon, and give back what they have.
	growing, whole []*waiter
}

// waiter is a hold that waits for n bytes more.
type waiter struct {
	hold  *Hold
	n     int64
	ready chan struct{} // closed, under Budget.mu, once it has them
}

// NewBudget makes a budget of so many bytes.
func NewBudget(bytes int64) *Budget {
	return &Budget{shared: bytes - min(elderBytes, bytes/4)}
}

// Account is a part of the process that holds bytes.
type Account struct {
	b     *Budget
	floor int64
	used  int64 // guarded by Budget.mu
}

// Account opens an account. It is refused nothing while it holds nothing, nor while it holds no more than floor bytes.
func (b *Budget) Account(floor int64) *Account { return &Account{b: b, floor: floor} }

// Hold is what one thing holds. The zero of it is [Account.Hold]; it is used by one goroutine at a time, and given back with Release.
type Hold struct {
	a *Account
	n int64 // guarded by Budget.mu
}

// Hold begins a hold of nothing.
func (a *Account) Hold() *Hold { return &Hold{a: a} }

// Reserve takes n bytes for something whose size is known, all or none, and waits for them. The hold must be empty. An error is the cause of ctx.
func (h *Hold) Reserve(ctx context.Context, n int64) error { return h.take(ctx, n, false) }

// TryReserve is Reserve where it need not wait, and nobody waits before it.
func (h *Hold) TryReserve(n int64) bool {
	b := h.a.b
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.try(h, n, false)
}

// Grow takes n bytes more and waits for them, keeping those that it has. An error is the cause of ctx.
func (h *Hold) Grow(ctx context.Context, n int64) error { return h.take(ctx, n, true) }

// TryGrow is Grow where it need not wait.
func (h *Hold) TryGrow(n int64) bool {
	b := h.a.b
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.try(h, n, true)
}

// Force takes n bytes without waiting, for what is in memory already. Others wait the longer.
func (h *Hold) Force(n int64) {
	b := h.a.b
	b.mu.Lock()
	defer b.mu.Unlock()
	b.add(h, n)
}

// Shrink gives n bytes back.
func (h *Hold) Shrink(n int64) {
	b := h.a.b
	b.mu.Lock()
	defer b.mu.Unlock()
	b.add(h, -n)
	b.serve()
}

// Release gives everything back. It may be called again.
func (h *Hold) Release() {
	b := h.a.b
	b.mu.Lock()
	defer b.mu.Unlock()
	if h.n == 0 && b.elder != h {
		return
	}
	b.add(h, -h.n)
	if b.elder == h {
		b.elder = nil
	}
	b.serve()
}

// aloneBytes is how much is worth being worked on alone.
const aloneBytes = 4 << 20

// Alone waits until no other large thing is being copied or translated, where n bytes are large, and returns what ends that. Work on n
// bytes takes as many again, or twice as many, for a moment. Done for one at a time, these are a constant and in nobody's hold.
func (b *Budget) Alone(n int) (leave func()) {
	if n < aloneBytes {
		return func() {}
	}
	b.alone.Lock()
	return b.alone.Unlock
}

// Used is how many bytes are held.
func (b *Budget) Used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// HalfFree tells whether no more than half of what is shared is held.
func (b *Budget) HalfFree() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used <= b.shared/2
}

func (h *Hold) take(ctx context.Context, n int64, grows bool) error {
	b := h.a.b
	b.mu.Lock()
	if b.try(h, n, grows) {
		b.mu.Unlock()
		return nil
	}
	w := &waiter{hold: h, n: n, ready: make(chan struct{})}
	line := &b.whole
	if grows {
		line = &b.growing
	}
	*line = append(*line, w)
	b.serve() // it may be the elder from now on
	b.mu.Unlock()
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := slices.Index(*line, w); i >= 0 {
		*line = slices.Delete(*line, i, i+1)
	} else {
		b.add(h, -n) // it was given them at this very moment
	}
	b.serve()
	return context.Cause(ctx)
}

// try takes n bytes if h need not wait: nobody who goes first waits, and there is room. The caller holds mu.
func (b *Budget) try(h *Hold, n int64, grows bool) bool {
	first := len(b.growing) == 0 && (grows || len(b.whole) == 0)
	if !b.owed(h, n) && !(first && b.used+n <= b.shared) {
		return false
	}
	b.add(h, n)
	return true
}

// owed tells whether h gets n bytes whatever the others hold. The caller holds mu.
func (b *Budget) owed(h *Hold, n int64) bool {
	return b.elder == h || h.a.used == 0 || h.a.used+n <= h.a.floor
}

func (b *Budget) add(h *Hold, n int64) {
	h.n += n
	h.a.used += n
	b.used += n
}

// serve gives those that wait what they may have by now. The caller holds mu.
func (b *Budget) serve() {
	b.growing = b.serveLine(b.growing, true)
	if b.elder == nil && len(b.growing) > 0 {
		b.elder = b.growing[0].hold
		b.growing = b.serveLine(b.growing, true)
	}
	b.whole = b.serveLine(b.whole, len(b.growing) == 0)
}

// serveLine serves one line in its order, and those further back only what they are owed. It returns who still waits.
func (b *Budget) serveLine(line []*waiter, open bool) []*waiter {
	return slices.DeleteFunc(line, func(w *waiter) bool {
		if !b.owed(w.hold, w.n) && !(open && b.used+w.n <= b.shared) {
			open = false
			return false
		}
		b.add(w.hold, w.n)
		close(w.ready)
		return true
	})
}
