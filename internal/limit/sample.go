package limit

import (
	"time"

	"github.com/batholith/batholith"
)

// source is where a limit comes from, the most trusted last.
type source int

const (
	fromGoodput  source = iota // measured: answers per second at a number in flight
	fromGauges                 // metrics of running and waiting requests
	fromSlots                  // published by the server
	fromOperator               // configured
)

// String is the name in [Sample].
func (s source) String() string {
	return [...]string{"goodput", "gauges", "slots", "configured"}[s]
}

// freshGauges is how long a reading tells what the server does now. Gauges are read only while requests are in flight, so the last reading
// has the load of then.
const freshGauges = 5 * time.Second

// Sample is the state of a lane at one moment. It shows how the limit is found.
type Sample struct {
	At       time.Time
	Backend  string
	Model    string           // the backend's own name of the model
	Source   string           // of the limit: configured, slots, gauges, goodput
	Limit    int              // requests in flight of all workers together
	Own      int              // of these, this worker's part
	InFlight int              // of this worker
	Gauges   batholith.Gauges // latest reading; zero if there are no gauges, or if it is older than freshGauges
	Goodput  float64          // output tokens per second, or answers if the server reports no tokens; 0: not measured
}

// Published reports whether the limit comes from the slots that the server publishes.
func (l *Limiter) Published() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.source == fromSlots
}

// Found reports whether this worker found the limit by measurement, so that it should store it.
func (l *Limiter) Found() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fleet.lead && l.found()
}

// found reports whether the limit was measured. The caller holds mu.
func (l *Limiter) found() bool {
	switch {
	case l.fleet.limit > 0:
		return l.fleet.found
	case l.source == fromGauges:
		return l.waiting.slots > 0
	case l.source == fromGoodput:
		return l.climb.phase == holding
	}
	return false
}

// Sample returns the present state.
func (l *Limiter) Sample() Sample {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	s := Sample{At: now, Source: l.source.String(), Limit: l.limit(now), InFlight: l.flying}
	s.Own = l.fleet.own(s.Limit)
	switch l.source {
	case fromGoodput:
		s.Goodput = l.climb.hold.goodput
	case fromGauges, fromSlots:
		if now.Sub(l.gauged) <= freshGauges {
			s.Gauges = l.waiting.last
		}
	}
	return s
}
