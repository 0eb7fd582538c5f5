package results

import (
	"context"
	"sync"
	"time"
)

// farAway is the time that the read of a piece takes at least, if the next one is to be read ahead. Then a merge of N segments waits once
// for N pieces, and not once for each; that is worth a second buffer for each segment. For a bucket nearby it is not.
const farAway = 10 * time.Millisecond

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

// coming is a piece that is being read.
type coming struct {
	buf  []byte
	done chan struct{} // closed by fetch, when buf is filled or err is set
	err  error
}

// fetch fills buf in the background, by calling fill.
func (a *ahead) fetch(buf []byte, fill func([]byte) error) *coming {
	c := &coming{buf: buf, done: make(chan struct{})}
	a.fetches.Go(func() {
		defer close(c.done)
		if c.err = acquire(a.ctx, a.slots); c.err == nil {
			c.err = fill(buf)
			<-a.slots
		}
	})
	return c
}
