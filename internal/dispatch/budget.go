package dispatch

import (
	"sync"
	"time"
)

// Counted retries that a job, and that a backend, may make: some at once, then a share of the requests that are answered.
const (
	firstRetries = 100
	retryShare   = 0.2
	overBudget   = 30 * time.Second // what a retry beyond the budget waits at least
)

// budget keeps retries from becoming a storm. When a good part of the requests fail, though not so many in a row that the backend is
// taken out, records wait longer for their next attempt, and the slots go to records that were not asked yet.
type budget struct {
	mu   sync.Mutex
	left float64
}

func newBudget() *budget { return &budget{left: firstRetries} }

// earn notes an answer.
func (b *budget) earn() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left = min(b.left+retryShare, firstRetries)
}

// spend takes one retry and tells whether it was there.
func (b *budget) spend() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}
