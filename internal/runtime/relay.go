package runtime

import (
	"bytes"
	"context"
	"sync"
	"sync/atomic"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/dialect"
)

// Bounds of the events that a client has not read yet, in bytes. A client that reads slowly holds no slot of the model server until its own
// bound is reached; an answer of some thousand tokens stays below it.
const (
	mostUnread    = 1 << 20  // of one stream
	mostUnreadAll = 64 << 20 // of all streams; above it each may have leastUnread
	leastUnread   = 64 << 10
)

// relay writes the events of one stream to its client in a goroutine of its own, so that the model server's slot is free as soon as the
// answer has come, however slowly the client reads.
//
//	model server → put → queue → run → client
//
// The writer is used by run only, from the first put until close has returned.
type relay struct {
	w   streamWriter
	c   *call
	all *atomic.Int64 // unread bytes of all streams

	mu     sync.Mutex
	queue  []dialect.Event
	unread int  // bytes of the events that are not written
	ended  bool // no event follows
	err    error
	more   chan struct{} // 1-buffered, never closed; gets a value when the queue grows or has ended
	room   chan struct{} // 1-buffered, never closed; gets a value when unread has fallen, or a write has failed
	done   chan struct{} // closed when run returns
}

// newRelay starts a relay, which ends with close.
func newRelay(w streamWriter, c *call, all *atomic.Int64) *relay {
	r := &relay{w: w, c: c, all: all, more: make(chan struct{}, 1), room: make(chan struct{}, 1), done: make(chan struct{})}
	go r.run()
	return r
}

// put appends an event, of which it keeps a copy. It waits while too much is unread. The error is that of an earlier write, or the cause of ctx.
func (r *relay) put(ctx context.Context, e dialect.Event) error {
	e.Payload = bytes.Clone(e.Payload)
	for {
		ok, err := r.tryPut(e)
		if ok || err != nil {
			return err
		}
		select {
		case <-r.room:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// tryPut is put without the wait. An event always fits if nothing is unread.
func (r *relay) tryPut(e dialect.Event) (ok bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	most := mostUnread
	if r.all.Load() > mostUnreadAll {
		most = leastUnread
	}
	switch {
	case r.err != nil:
		return false, r.err
	case r.unread > 0 && r.unread+len(e.Payload) > most:
		return false, nil
	}
	r.queue = append(r.queue, e)
	r.count(len(e.Payload))
	tell(r.more)
	return true, nil
}

// close waits until every event is written, and returns the error of a write that failed.
func (r *relay) close() error {
	r.mu.Lock()
	r.ended = true
	tell(r.more)
	r.mu.Unlock()
	<-r.done
	return r.err
}

// run writes the events until the end of the stream, or until a write fails.
func (r *relay) run() {
	defer close(r.done)
	begun := false
	for {
		r.mu.Lock()
		events, ended := r.queue, r.ended
		r.queue = nil
		r.mu.Unlock()
		if len(events) == 0 {
			if ended {
				return
			}
			<-r.more
			continue
		}
		if !begun {
			begun = true
			r.w.begin(r.c)
		}
		for _, e := range events {
			err := batholith.Guard("pass an event on", func() error { return r.w.event(e) })
			r.written(len(e.Payload), err)
			if err != nil {
				return
			}
		}
	}
}

// written notes that an event has left, or that a write has failed, after which nothing is kept.
func (r *relay) written(n int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.err, r.queue, n = err, nil, r.unread
	}
	r.count(-n)
	tell(r.room)
}

// count adds to the unread bytes. The caller holds mu.
func (r *relay) count(n int) {
	r.unread += n
	r.all.Add(int64(n))
}

// tell sends a value to a 1-buffered channel. It does not block.
func tell(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
