package limit

import (
	"time"

	"github.com/batholith/batholith"
)

// source is where a limit comes from, the most trusted last.
type source int

const (
	fromGoodput  source = iota // what comes back for how much is in flight
	fromGauges                 // what the server says is running and waiting
	fromSlots                  // what the server publishes
	fromOperator               // configured
)

func (s source) String() string {
	return [...]string{"goodput", "gauges", "slots", "configured"}[s]
}

// Sample is the state of a lane at one moment, for those who want to see how a limit is found.
type Sample struct {
	At       time.Time
	Backend  string
	Model    string // the backend's own name of it
	Source   string // of the limit: configured, slots, gauges, goodput
	Limit    int
	InFlight int
	Gauges   batholith.Gauges // as last read; zero where there are none
	Goodput  float64          // output tokens a second, or answers where there are no tokens; 0: not measured
}

// Published tells whether the limit comes from the slots that the server publishes.
func (l *Limiter) Published() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.source == fromSlots
}

// Found tells whether the limit was found out by measuring, and not only just begun with.
func (l *Limiter) Found() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch l.source {
	case fromGauges:
		return l.waiting.slots > 0
	case fromGoodput:
		return l.climb.phase == holding
	}
	return false
}

// Sample tells how it stands.
func (l *Limiter) Sample() Sample {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	s := Sample{At: now, Source: l.source.String(), Limit: l.limit(now), InFlight: l.flying}
	switch l.source {
	case fromGoodput:
		s.Goodput = l.climb.hold.goodput
	case fromGauges, fromSlots:
		s.Gauges = l.waiting.last
	}
	return s
}
