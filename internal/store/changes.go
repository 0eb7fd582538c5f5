package store

import "sync"

// changes tells subscribers that something happened. It carries no news, only the hint to look: SQL decides.
type changes struct {
	mu   sync.Mutex
	subs map[chan struct{}]struct{}
}

// Subscribe returns a channel that has a value soon after a job was created or moved. Changes that nobody has looked at yet
// are one value. The channel is never closed; cancel ends the subscription and may be called more than once.
func (s *Store) Subscribe() (ch <-chan struct{}, cancel func()) {
	return s.changes.subscribe()
}

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

// signal is called after the commit, never before: whoever wakes up must see what happened.
func (c *changes) signal() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for ch := range c.subs {
		select {
		case ch <- struct{}{}:
		default: // one is waiting there already
		}
	}
}
