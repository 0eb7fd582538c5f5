package dispatch

import (
	"cmp"
	"slices"
	"time"
)

// uses shares a lane's slots among the models that its backend serves. The next slot goes to the model with the fewest requests in flight
// on the lane; between equals, to the model that has used the least slot time. Tokens would not work as the measure: a model's tokens per
// record are unknown until some of its records are answered. Guarded by lane.mu.
type uses struct {
	of    map[*queue]*use
	clock time.Duration // use.had of the model that got the latest slot
}

// use is one model's use of the lane.
type use struct {
	flying int
	had    time.Duration // slot time used so far
}

// at returns a queue's entry, and makes it at the first call.
func (s *uses) at(q *queue) *use {
	u := s.of[q]
	if u == nil {
		if s.of == nil {
			s.of = map[*queue]*use{}
		}
		u = &use{had: s.clock}
		s.of[q] = u
	}
	return u
}

// order returns the lane's queues, with the one that gets the next slot first.
func (l *lane) order() []*queue {
	l.mu.Lock()
	defer l.mu.Unlock()
	queues := l.queues[:len(l.queues):len(l.queues)]
	if len(queues) < 2 {
		return queues
	}
	return slices.SortedStableFunc(slices.Values(queues), func(a, b *queue) int {
		t, u := l.uses.at(a), l.uses.at(b)
		return cmp.Or(cmp.Compare(t.flying, u.flying), cmp.Compare(t.had, u.had))
	})
}

// takes notes that a record of the queue gets a slot. A model that had nothing to send does not catch up on the time that it missed.
func (s *uses) takes(q *queue) {
	u := s.at(q)
	if u.flying == 0 {
		u.had = max(u.had, s.clock)
	}
	u.flying++
	s.clock = u.had
}

// gives notes that a record of the queue frees its slot after holding it for the time took.
func (s *uses) gives(q *queue, took time.Duration) {
	u := s.at(q)
	u.flying--
	u.had += took
}

// gives frees the slot of a record that got it at the time taken.
func (l *lane) gives(it *item, taken time.Time) {
	took := time.Since(taken)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.uses.gives(it.feed.queue, took)
}
