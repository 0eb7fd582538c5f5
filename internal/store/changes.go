package store

import "sync"

// changes notifies subscribers that jobs have changed. The notification holds no data: the subscriber reads the database.
type changes struct {
	mu   sync.Mutex
	subs map[chan struct{}]struct{}
}

// Subscribe returns a channel that gets a value soon after a job was created or moved by this process. Several changes may give one value.
// The channel is never closed. cancel ends the subscription and may be called more than once.
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
	return ch, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.subs, ch)
	}
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
