package results

import (
	"context"
	"sync"
	"time"
)

// farAway is how long a piece of a segment takes to come, at least, for the next one to be fetched ahead. Behind it a second buffer per segment pays: a merge
// of N segments waits for its bucket once for N pieces, and not once for each. From a bucket nearby, the time is not worth the memory.
const farAway = 10 * time.Millisecond

// ahead fetches pieces of the segments of one merge before they are read. Its goroutines end before close returns.
type ahead struct {
	ctx     context.Context
	cancel  context.CancelFunc
	slots   chan struct{} // one token for each fetch that goes on
	fetches sync.WaitGroup
}

func newAhead(ctx context.Context) *ahead {
	a := &ahead{slots: make(chan struct{}, opensAtOnce)}
	a.ctx, a.cancel = context.WithCancel(ctx)
	return a
}

// close calls off what is being fetched, and waits for its end.
func (a *ahead) close() {
	a.cancel()
	a.fetches.Wait()
}

// coming is a piece that is being fetched.
type coming struct {
	buf  []byte
	done chan struct{} // closed when buf is filled, or err is set
	err  error
}

// fetch has a piece filled in the background.
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
