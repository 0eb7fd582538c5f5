package engine

import (
	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/dispatch"
	"github.com/batholith/batholith/internal/network"
)

// Settings are what can change while an engine runs.
type Settings struct {
	Models                  ModelOptions // the embedded models stay as they are
	Networks                *network.Networks
	Subnets, SecurityGroups []string // as Options.Subnets
	Limits                  batholith.Limits
	Attempts                int
	Reuse, Sourced, Silent  bool
	Earlier                 batholith.Reuse
	StrictBodies            bool
}

// live is the part of the settings that the engine reads at each use.
type live struct {
	limits          batholith.Limits
	strict          bool
	earlier         batholith.Reuse
	subnets, groups []string
}

// Limits are the present bounds of jobs and calls.
func (e *Engine) Limits() batholith.Limits { return e.live.Load().limits }

func (e *Engine) strict() bool { return e.live.Load().strict }

func (e *Engine) earlier() batholith.Reuse { return e.live.Load().earlier }

// Plan checks other settings, and returns what makes the engine use them. Nothing has changed before apply is called. apply may be called at any
// time after New; it does not block. Each reader sees the old models or the new ones, and no request is cancelled. The model servers that this process started for removed backends are stopped
// when their last request has ended. The error of apply is that of the start of new ones.
func (e *Engine) Plan(s Settings) (apply func() error, err error) {
	replace, err := e.o.Models.Plan(s.Models)
	if err != nil {
		return nil, err
	}
	return func() error {
		stop := replace()
		if e.o.Networks.Networks != nil {
			e.o.Networks.Replace(s.Networks)
		}
		e.live.Store(&live{limits: s.Limits, strict: s.StrictBodies, earlier: s.Earlier, subnets: s.Subnets, groups: s.SecurityGroups})
		if e.dispatch == nil {
			return nil
		}
		e.calls.forget()
		e.dispatch.Tune(dispatch.Tuning{Attempts: s.Attempts, Reuse: s.Reuse, Earlier: s.Earlier, Sourced: s.Sourced, Silent: s.Silent})
		idle := e.dispatch.Reload(e.o.Models.Has)
		select {
		case e.reached <- struct{}{}:
		default:
		}
		if !e.o.Worker {
			return nil
		}
		go func() { // ends when the dispatcher does, at the latest
			<-idle
			stop()
		}()
		return e.o.Models.start()
	}, nil
}
