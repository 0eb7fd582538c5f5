package batholith

import "time"

// Gauges are what a model server says of itself at the moment, over all its engines, with the requests of everybody.
type Gauges struct {
	Running int // requests being worked on
	Waiting int // requests that have come and wait for a slot
}

// Learned is what was found out about how many requests a backend takes at once.
type Learned struct {
	Backend string // as it names itself; holds no secret
	Model   string // the backend's own name of it
	Limit   int    // requests in flight
	Goodput float64
	At      time.Time
}
