package dispatch

import (
	"cmp"
	"slices"
	"time"
)

// uses shares a lane among the models that its backend serves: the next slot goes to the model with the fewest requests in flight there, and of
// equals to the one that has had the least of the slots' time. Tokens would not do, since what a model's records take is not known before some
// are answered. It is guarded by lane.mu.
type uses struct {
	of    map[*queue]*use
	clock time.Duration // use.had of the model that was served last
}

// use is what one model has of the lane.
type use struct {
	flying int
	had    time.Duration // of a slot
}

// at is what a queue has of the lane, which is made when it is first asked for.
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

// order is the lane's queues, the one whose turn it is first.
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

// takes notes that a record of a queue gets the next slot. A model that had nothing to send gets no more for that afterwards.
func (s *uses) takes(q *queue) {
	u := s.at(q)
	if u.flying == 0 {
		u.had = max(u.had, s.clock)
	}
	u.flying++
	s.clock = u.had
}

// gives notes that a record of a queue gives its slot back, after so long.
func (s *uses) gives(q *queue, took time.Duration) {
	u := s.at(q)
	u.flying--
	u.had += took
}

// gives is [uses.gives] for a record that was taken then.
func (l *lane) gives(it *item, taken time.Time) {
	took := time.Since(taken)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.uses.gives(it.feed.queue, took)
}
