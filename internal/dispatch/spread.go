package dispatch

import (
	"slices"
	"sync"
	"time"
)

// shareWait is how long a lane waits at most for another one whose turn is first. It bounds what a slot loses if that one cannot send any of
// the records after all.
const shareWait = 2 * time.Millisecond

// spread keeps the shares of a model's servers if the settings give them weights. It is used where several servers could take the next request:
//
//	calls     the server with a free slot whose turn is first
//	records   a lane waits up to shareWait for another one with room whose turn is before its own
//
// The turns are those of start-time fair queueing. A request of weight w starts at
//
//	start = max(now, next)      next = start + 1 / w      now = start
//
// so while all servers have room, the numbers of their requests are as their weights. A server without room loses its turns and gets none of
// them back later, and the others take them: no slot stays free while there is work. So a job that fills all servers is spread by their speed.
type spread struct {
	mu   sync.Mutex
	now  float64           // start of the latest request
	next map[*lane]float64 // earliest start of the lane's next request
}

// weighted is implemented by backends to which the settings may give a weight.
type weighted interface {
	// Weight is the backend's share among those of its model; 0: not set, which counts as 1.
	Weight() int
}

// weight is the lane's share.
func (l *lane) weight() int {
	b, _ := l.backend.(weighted)
	if b == nil {
		return 1
	}
	return max(b.Weight(), 1)
}

// newSpread returns the shares of lanes; nil if the settings give none of them a weight.
func newSpread(lanes []*lane) *spread {
	for _, l := range lanes {
		if b, ok := l.backend.(weighted); ok && b.Weight() > 0 && len(lanes) > 1 {
			return &spread{next: map[*lane]float64{}}
		}
	}
	return nil
}

// start is when the lane's next request would start. The caller holds mu.
func (s *spread) start(l *lane) float64 { return max(s.now, s.next[l]) }

// sent counts a request of the lane. The caller holds mu.
func (s *spread) sent(l *lane) {
	s.now = s.start(l)
	s.next[l] = s.now + 1/float64(l.weight())
}

// spreadOf returns the shares of a model's calls; nil if no lane has a weight.
func (d *Dispatcher) spreadOf(model string, lanes []*lane) *spread {
	d.mu.Lock()
	defer d.mu.Unlock()
	s, known := d.spreads[model]
	if !known {
		s = newSpread(lanes)
		d.spreads[model] = s
	}
	return s
}

// standsBack returns until when a lane leaves the next record to another one: the turn of that one is first, and it has room. Zero: it does not
// stand back. The caller holds q.mu and is the goroutine of the lane's run.
func (q *queue) standsBack(l *lane, now time.Time) (until time.Time) {
	turns := q.spread()
	if turns == nil {
		return time.Time{}
	}
	turns.mu.Lock()
	defer turns.mu.Unlock()
	own, lanes := turns.start(l), q.lanes()
	first := func(m *lane) bool {
		return m != l && turns.start(m) < own && m.usable() && !rests(m, lanes) && (m.idle.Load() || m.limit.Roomy())
	}
	i := slices.IndexFunc(lanes, first)
	switch {
	case i < 0:
		l.back = time.Time{}
	case l.back.IsZero():
		l.back = now
	}
	if i < 0 || now.Sub(l.back) >= shareWait {
		return time.Time{}
	}
	l.behind.Store(true)
	lanes[i].wakeUp()
	return l.back.Add(shareWait)
}

// took counts a record that a lane has taken, and lets the lanes that stand back look again. The caller holds q.mu.
func (q *queue) took(l *lane) {
	turns := q.spread()
	if turns == nil {
		return
	}
	turns.mu.Lock()
	turns.sent(l)
	turns.mu.Unlock()
	l.back = time.Time{}
	l.behind.Store(false)
	for _, m := range q.lanes() {
		if m.behind.Load() {
			m.wakeUp()
		}
	}
}
