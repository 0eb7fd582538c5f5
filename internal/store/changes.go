package store

import (
	"context"
	"sync"
)

// changes notifies subscribers that jobs have changed. The notification holds no data: the subscriber reads the database.
type changes struct {
	// listen begins to listen for changes of other processes. The function that it returns calls signal for each, until its context ends.
	// nil: there are no other processes.
	listen func() func(ctx context.Context, signal func())

	mu        sync.Mutex
	subs      map[chan struct{}]struct{}
	quit      context.CancelFunc // ends the listener; nil while there is no subscriber
	listeners sync.WaitGroup     // a listener runs while there are subscribers, and close waits for it
}

// Subscribe returns a channel that gets a value soon after a job was created or moved, by this process or another one of the same
// PostgreSQL database. Several changes may give one value. A notification may be lost while the database is not reachable; after that there
// is a value in any case. The channel is never closed. cancel ends the subscription and may be called more than once.
func (s *Store) Subscribe() (ch <-chan struct{}, cancel func()) {
	return s.changes.subscribe()
}

// subscribe implements Subscribe.
func (c *changes) subscribe() (<-chan struct{}, func()) {
	ch := make(chan struct{}, 1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.subs == nil {
		c.subs = map[chan struct{}]struct{}{}
	}
	c.subs[ch] = struct{}{}
	if c.listen != nil && c.quit == nil {
		ctx, cancel := context.WithCancel(context.Background())
		run := c.listen()
		c.quit = cancel
		c.listeners.Go(func() { run(ctx, c.signal) })
	}
	return ch, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.subs, ch)
		if len(c.subs) == 0 {
			c.hush()
		}
	}
}

// hush ends the listener. The caller holds the lock.
func (c *changes) hush() {
	if c.quit != nil {
		c.quit()
		c.quit = nil
	}
}

// close ends the listener and waits for its end.
func (c *changes) close() {
	c.mu.Lock()
	c.hush()
	c.mu.Unlock()
	c.listeners.Wait()
}

// signal notifies all subscribers. It must be called after the commit, so that they see the change.
func (c *changes) signal() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for ch := range c.subs {
		select {
		case ch <- struct{}{}:
		default: // the subscriber has not read the last value yet
		}
	}
}
