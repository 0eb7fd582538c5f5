package dispatch

import "sync"

// news tells any number of goroutines that a backend has become usable. Its zero value is ready.
type news struct {
	mu sync.Mutex
	ch chan struct{} // closed by tell; nil: nobody waits
}

// next returns a channel that the next call of tell closes.
func (n *news) next() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ch == nil {
		n.ch = make(chan struct{})
	}
	return n.ch
}

// tell wakes all who wait.
func (n *news) tell() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ch != nil {
		close(n.ch)
		n.ch = nil
	}
}
