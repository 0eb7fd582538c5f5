package results

import (
	"context"
	"sync"
	"time"
)

// If the last piece of a segment took at least farAway to arrive, the next one is fetched ahead, into a second buffer. A merge of N segments then waits for its
// bucket once for N pieces, and not once for each piece. If the bucket is nearby, the time saved is not worth the memory.
const farAway = 20 * time.Millisecond

// ahead reads pieces of the segments of one merge before they are needed. Its goroutines have ended when close returns.
type ahead struct {
	ctx     context.Context
	cancel  context.CancelFunc
	slots   chan struct{} // one token for each running fetch
	fetches sync.WaitGroup
}

// newAhead makes an ahead whose fetches end with ctx. The caller must call close.
func newAhead(ctx context.Context) *ahead {
	a := &ahead{slots: make(chan struct{}, opensAtOnce)}
	a.ctx, a.cancel = context.WithCancel(ctx)
	return a
}

// close cancels the running fetches and waits for their end.
func (a *ahead) close() {
	a.cancel()
	a.fetches.Wait()
}

// coming is a piece that is being fetched. What the fetch sets holds once done is closed.
type coming struct {
	buf  []byte
	done chan struct{}
	err  error
	took time.Duration
}

// fetch fills buf in the background, by calling fill.
func (a *ahead) fetch(buf []byte, fill func([]byte) error) *coming {
	c := &coming{buf: buf, done: make(chan struct{})}
	a.fetches.Go(func() {
		defer close(c.done)
		if c.err = acquire(a.ctx, a.slots); c.err == nil {
			began := time.Now()
			c.err = fill(buf)
			c.took = time.Since(began)
			<-a.slots
		}
	})
	return c
}
