package engine

import (
	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/dispatch"
	"github.com/batholith/batholith/internal/lifecycle"
	"github.com/batholith/batholith/internal/results"
)

// Dispatch is what this process sends, for metrics. It is empty in a process without a worker and without an API.
func (e *Engine) Dispatch() dispatch.State {
	if e.dispatch == nil {
		return dispatch.State{}
	}
	return e.dispatch.State()
}

// Outcomes is what finished and is not committed, for metrics; false without a worker.
func (e *Engine) Outcomes() (s results.State, ok bool) {
	if e.writer == nil {
		return s, false
	}
	return e.writer.State(), true
}

// Waiting is how many jobs of this worker wait, by the kind of the wait, for metrics; nil without a worker.
func (e *Engine) Waiting() map[string]int {
	if e.life == nil {
		return nil
	}
	open, all := e.life.Waiting(), map[string]int{}
	for _, what := range lifecycle.AllWaits {
		all[what.Short()] = open[what]
	}
	return all
}

// Memory is the number of bytes that are used of the budget of memory, and its size; 0: there is none.
func (e *Engine) Memory() (used, size int64) {
	if e.room == nil {
		return 0, 0
	}
	return e.room.Used(), e.room.Size()
}

// named is a listener that gets the model of the job with the events of results, which knows jobs by their ids alone.
func (e *Engine) named(l batholith.Listener) batholith.Listener {
	model := func(job string) string {
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.jobs[job].Model
	}
	if f := l.Committed; f != nil {
		l.Committed = func(c batholith.Committed) {
			c.Model = model(c.Job)
			f(c)
		}
	}
	return l
}
