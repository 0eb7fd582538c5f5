package engine

import (
	"context"
	"time"

	"github.com/batholith/batholith"
)

// Workers reckon when jobs begin and end, and any API process tells it. So a worker stores its forecasts in the database, if other
// processes use it.

const (
	// outlookEvery is the time between two looks at the forecasts, and mostOutlooks how many are stored at once.
	outlookEvery = time.Second
	mostOutlooks = 500
	// outlookRenew is the age at which an unchanged forecast is stored again: the store shows none that is older than a minute.
	outlookRenew = 30 * time.Second
	// outlookNear and outlookShare say which change of a time is worth storing: outlookNear, or 1/outlookShare of the time until then.
	outlookNear  = 2 * time.Second
	outlookShare = 20
)

// outlooks stores the forecasts of this worker's jobs.
type outlooks struct {
	e      *Engine
	stored map[string]storedOutlook // by job
}

type storedOutlook struct {
	batholith.Forecast
	at time.Time
}

// run stores forecasts until ctx ends.
func (o *outlooks) run(ctx context.Context) {
	o.stored = map[string]storedOutlook{}
	for ctx.Err() == nil {
		pause(ctx, outlookEvery)
		o.store(ctx)
	}
}

// store stores the forecasts that have changed.
func (o *outlooks) store(ctx context.Context) {
	now := time.Now()
	var due []batholith.JobForecast
	present := map[string]bool{}
	for _, f := range o.e.dispatch.Forecasts() {
		present[f.Job] = true
		if was, ok := o.stored[f.Job]; len(due) < mostOutlooks && (!ok || now.Sub(was.at) >= outlookRenew || was.differs(f.Forecast, now)) {
			due = append(due, f)
		}
	}
	for job := range o.stored {
		if !present[job] {
			delete(o.stored, job)
		}
	}
	if len(due) == 0 {
		return
	}
	byDatabase := make([]batholith.JobForecast, len(due))
	for i, f := range due {
		f.Begin, f.End = o.e.clock.of(f.Begin), o.e.clock.of(f.End)
		byDatabase[i] = f
	}
	if err := o.e.o.Store.PutForecasts(ctx, o.e.id, byDatabase); err != nil {
		o.e.o.Log.Debug("store forecasts", "err", err)
		return
	}
	for _, f := range due {
		o.stored[f.Job] = storedOutlook{f.Forecast, now}
	}
}

// differs reports whether a forecast tells a reader something else than this one.
func (s storedOutlook) differs(f batholith.Forecast, now time.Time) bool {
	return s.Position != f.Position || s.Late != f.Late || apart(s.Begin, f.Begin, now) || apart(s.End, f.End, now)
}

// apart reports whether two times differ by a share of the time until then.
func apart(a, b, now time.Time) bool {
	if a.IsZero() || b.IsZero() {
		return a.IsZero() != b.IsZero()
	}
	return a.Sub(b).Abs() > max(outlookNear, b.Sub(now)/outlookShare)
}

// Forecasts implements control.Forecaster: the forecasts of this process's own worker, else those that other workers have stored.
func (e *Engine) Forecasts(ctx context.Context, jobs []string) map[string]batholith.Forecast {
	all := map[string]batholith.Forecast{}
	var others []string
	for _, id := range jobs {
		if e.o.Worker {
			if f, ok := e.dispatch.Forecast(id); ok {
				f.Begin, f.End = e.clock.of(f.Begin), e.clock.of(f.End)
				all[id] = f
				continue
			}
		}
		others = append(others, id)
	}
	if !e.o.Shared || len(others) == 0 {
		return all
	}
	stored, err := e.o.Store.Forecasts(ctx, others)
	if err != nil { // a job is shown without its forecast
		e.o.Log.Debug("read forecasts", "err", err)
	}
	for id, f := range stored {
		all[id] = f
	}
	return all
}
