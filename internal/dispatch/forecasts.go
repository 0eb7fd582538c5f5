package dispatch

import (
	"slices"
	"sort"
	"time"

	"github.com/batholith/batholith"
)

// Forecasts returns the forecasts of all jobs that are queued here, as [Dispatcher.Forecast] does for one.
func (d *Dispatcher) Forecasts() (all []batholith.JobForecast) {
	d.mu.Lock()
	queues := make([]*queue, 0, len(d.queues))
	for _, q := range d.queues {
		queues = append(queues, q)
	}
	d.mu.Unlock()
	for _, q := range queues {
		all = append(all, q.forecasts()...)
	}
	return all
}

// forecasts returns the forecasts of the queue's jobs. The position of a job is 1 + the number of waiting jobs that begin before it; while
// the rate is unknown, it is the order of arrival.
func (q *queue) forecasts() (all []batholith.JobForecast) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var begins []time.Time // of the waiting jobs
	for _, f := range q.feeds {
		if !f.begun.Load() {
			begins = append(begins, f.outlook.begin)
		}
	}
	slices.SortFunc(begins, time.Time.Compare)
	waiting := 0
	for _, f := range q.feeds {
		o := f.outlook
		fc := batholith.Forecast{End: o.end, Late: o.late && !o.urgent}
		if !f.begun.Load() {
			waiting++
			fc.Begin, fc.Position = o.begin, waiting
			if !o.begin.IsZero() {
				fc.Position = 1 + sort.Search(len(begins), func(i int) bool { return !begins[i].Before(o.begin) })
			}
		}
		all = append(all, batholith.JobForecast{Job: f.job.ID, Forecast: fc})
	}
	return all
}
