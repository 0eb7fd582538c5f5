// Package memory bounds the memory for answers and large records: one budget of bytes for all models and jobs.
//
// A [Hold] is the memory of one thing: a chunk, an answer that is being read, a line that waits for its commit. A chunk reserves
// all of its memory before it is read. An answer grows, since its length is known only at its end.
//
// No deadlock: growing holds could wait for each other for ever, each with a part of the budget. So one of them, the elder, is never
// refused, and a part of the budget (elderBytes) is kept for it. When the elder is released, the next waiting one becomes the elder.
//
// No starvation: holds belong to an [Account], one for each model's records and one for each backend's answers. An account below its floor is
// never refused. So a model whose server does not answer, or sends endless answers, does not stop the others.
//
// Invariant: held bytes ≤ budget + floors + forced bytes. The package must not know what is held.
package memory

import (
	"context"
	"slices"
	"sync"
)

// elderBytes is the part of the budget that is kept for the elder: the length of the longest answer that is read.
const elderBytes = 64 << 20

// Budget is a shared number of bytes. It is safe for concurrent use.
type Budget struct {
	size   int64 // bytes for all holds
	shared int64 // bytes for all holds except the elder

	alone sync.Mutex // see Alone

	mu    sync.Mutex
	used  int64
	elder *Hold
	// Waiting calls of Grow and of Reserve, each in order of arrival. Growing ones go first: they end soon and return their memory.
	growing, whole []*waiter
}

// waiter is a hold that waits for n more bytes.
type waiter struct {
	hold  *Hold
	n     int64
	ready chan struct{} // closed under Budget.mu when the bytes are granted
}

// NewBudget makes a budget of that many bytes.
func NewBudget(bytes int64) *Budget {
	return &Budget{size: bytes, shared: bytes - min(elderBytes, bytes/4)}
}

// Account is a part of the process with a floor of its own, for example the records of one model.
type Account struct {
	b     *Budget
	floor int64
	used  int64 // guarded by Budget.mu
}

// Account opens an account. A request is never refused if the account holds nothing, or holds at most floor bytes with it.
func (b *Budget) Account(floor int64) *Account { return &Account{b: b, floor: floor} }

// Hold is the memory of one thing. [Account.Hold] makes it. One goroutine at a time may use it, and must call Release at the end.
type Hold struct {
	a *Account
	n int64 // guarded by Budget.mu
}

// Hold makes an empty hold.
func (a *Account) Hold() *Hold { return &Hold{a: a} }

// Reserve takes n bytes, and waits until all of them are granted. The hold must be empty. An error is the cause of ctx; then nothing is taken.
func (h *Hold) Reserve(ctx context.Context, n int64) error { return h.take(ctx, n, false) }

// TryReserve is Reserve without a wait. It returns false if Reserve would have to wait.
func (h *Hold) TryReserve(n int64) bool {
	b := h.a.b
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.try(h, n, false)
}

// Grow takes n more bytes, and waits for them while it keeps those that it has. An error is the cause of ctx.
func (h *Hold) Grow(ctx context.Context, n int64) error { return h.take(ctx, n, true) }

// TryGrow is Grow without a wait.
func (h *Hold) TryGrow(n int64) bool {
	b := h.a.b
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.try(h, n, true)
}

// Force takes n bytes without a wait, for data that is in memory already. Others wait longer for it.
func (h *Hold) Force(n int64) {
	b := h.a.b
	b.mu.Lock()
	defer b.mu.Unlock()
	b.add(h, n)
}

// Shrink returns n bytes.
func (h *Hold) Shrink(n int64) {
	b := h.a.b
	b.mu.Lock()
	defer b.mu.Unlock()
	b.add(h, -n)
	b.serve()
}

// Release returns all bytes of the hold. It may be called again.
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

// aloneBytes is the size from which Alone allows only one at a time.
const aloneBytes = 4 << 20

// Alone waits, if n is large, until no other large thing is being copied or translated. The caller must call leave at the end. Such work
// on n bytes takes n or 2 × n more bytes for a moment. Since it is done one at a time, this memory is bounded and not counted in holds.
func (b *Budget) Alone(n int) (leave func()) {
	if n < aloneBytes {
		return func() {}
	}
	b.alone.Lock()
	return b.alone.Unlock
}

// Used is the number of bytes held.
func (b *Budget) Used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// Size is the number of bytes of the budget.
func (b *Budget) Size() int64 { return b.size }

// HalfFree reports whether at most half of the shared bytes are held.
func (b *Budget) HalfFree() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used <= b.shared/2
}

// take implements Reserve and Grow.
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
	b.serve() // this hold may become the elder
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
		b.add(h, -n) // the bytes were granted at the same moment
	}
	b.serve()
	return context.Cause(ctx)
}

// try takes n bytes if h need not wait: they are owed, or there is room and nobody waits before it. The caller holds mu.
func (b *Budget) try(h *Hold, n int64, grows bool) bool {
	first := len(b.growing) == 0 && (grows || len(b.whole) == 0)
	if !b.owed(h, n) && !(first && b.used+n <= b.shared) {
		return false
	}
	b.add(h, n)
	return true
}

// owed reports whether h gets n bytes in any case: it is the elder, or its account is empty or below its floor. The caller holds mu.
func (b *Budget) owed(h *Hold, n int64) bool {
	return b.elder == h || h.a.used == 0 || h.a.used+n <= h.a.floor
}

// add takes n bytes, or returns them if n is negative. The caller holds mu.
func (b *Budget) add(h *Hold, n int64) {
	h.n += n
	h.a.used += n
	b.used += n
}

// serve grants waiting holds the bytes that are free now. The caller holds mu.
func (b *Budget) serve() {
	b.growing = b.serveLine(b.growing, true)
	if b.elder == nil && len(b.growing) > 0 {
		b.elder = b.growing[0].hold
		b.growing = b.serveLine(b.growing, true)
	}
	b.whole = b.serveLine(b.whole, len(b.growing) == 0)
}

// serveLine serves one line in its order until one must wait; behind that one, only what is owed is granted. It returns the waiters that remain.
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
