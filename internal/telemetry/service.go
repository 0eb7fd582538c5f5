package telemetry

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/events"
)

// The gauges of the whole service, as the database says.
var (
	storeUp        = desc("batholith_store_up", "1 if this process could read the database at this scrape, 0 if not. At 0 there are no gauges of the database.")
	serviceJobs    = desc("batholith_service_jobs", "Jobs that are not terminal, by status.", labelModel, "status")
	pausedJobs     = desc("batholith_service_paused_jobs", "Scheduled and InProgress jobs that are paused.", labelModel)
	oldestJob      = desc("batholith_service_oldest_job_timestamp_seconds", "When the oldest of these jobs was created.", labelModel, "status")
	nextDeadline   = desc("batholith_service_next_deadline_timestamp_seconds", "Earliest deadline of a job that is not terminal.", labelModel)
	pendingRecords = desc("batholith_service_pending_records", "Records of accepted jobs that have no outcome yet.", labelModel)
	pendingTokens  = desc("batholith_service_pending_tokens", "Tokens, input and output, that the pending records are expected to take, from the mean of the model's processed records; absent while none is known.", labelModel)
	keptJobs       = desc("batholith_service_kept_jobs", "Terminal jobs whose output could not be written, and whose results are kept.")
	waitingEvents  = desc("batholith_service_waiting_events", "Events that the receiver has not got, at most 10,000.", labelReceiver)
	oldestEvent    = desc("batholith_service_oldest_waiting_event_timestamp_seconds", "When the oldest event that the receiver has not got came; absent if none waits.", labelReceiver)
	workers        = desc("batholith_service_workers", "Workers: living, or lost within the last hour without giving up their lease.", "state")
)

// Times of a census. The answer to a scrape waits for the database at most censusTime. A read that takes longer goes on until censusLimit, and
// the next scrape joins it.
const (
	censusTime  = 2 * time.Second
	censusLimit = 10 * time.Second
)

// service collects the gauges of the service.
type service struct {
	from *atomic.Pointer[Sources]
	mean func(model string) float64 // tokens of a record that this process has stored; 0: unknown

	mu      sync.Mutex
	running *census // nil: none
	means   map[string]float64
}

// census is one read of the database.
type census struct {
	done chan struct{} // closed when the rest is set
	got  batholith.Census
	err  error
}

func newService(from *atomic.Pointer[Sources], mean func(model string) float64) *service {
	return &service{from: from, mean: mean, means: map[string]float64{}}
}

// Describe implements prometheus.Collector.
func (*service) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{storeUp, serviceJobs, pausedJobs, oldestJob, nextDeadline, pendingRecords, pendingTokens, keptJobs, waitingEvents, oldestEvent, workers} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (s *service) Collect(to chan<- prometheus.Metric) {
	from := s.from.Load()
	if from == nil || from.Census == nil {
		return
	}
	set := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	c, ok := s.take(from.Census)
	set(storeUp, bit(ok))
	if !ok {
		return
	}
	set(keptJobs, float64(c.Kept))
	set(workers, float64(c.Living), "living")
	set(workers, float64(c.Lost), "lost")
	for label, b := range backlogs(c, from.Receivers) {
		if set(waitingEvents, float64(b.Waiting), label); b.Waiting > 0 {
			set(oldestEvent, seconds(b.Oldest), label)
		}
	}
	for _, g := range c.Jobs {
		set(serviceJobs, float64(g.Jobs), g.Model, string(g.Status))
		set(oldestJob, seconds(g.Oldest), g.Model, string(g.Status))
	}
	for model, w := range s.work(c, from.Models) {
		if !w.deadline.IsZero() {
			set(nextDeadline, seconds(w.deadline), model)
		}
		set(pausedJobs, float64(w.paused), model)
		set(pendingRecords, w.records, model)
		if w.mean > 0 || w.records == 0 {
			set(pendingTokens, w.records*w.mean, model)
		}
	}
}

// backlogs sums what the receivers have not got and want, by their labels.
func backlogs(c batholith.Census, receivers []events.Receiver) map[string]batholith.Backlog {
	all := map[string]batholith.Backlog{}
	for i := range receivers {
		r := &receivers[i]
		sum := all[r.Label()]
		for _, b := range c.Events {
			if b.Receiver != r.Name || !r.Wants(b.Status) {
				continue
			}
			sum.Waiting += b.Waiting
			if sum.Oldest.IsZero() || b.Oldest.Before(sum.Oldest) {
				sum.Oldest = b.Oldest
			}
		}
		all[r.Label()] = sum
	}
	return all
}

// seconds is a time as Prometheus has it.
func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// work is what is pending for one model.
type work struct {
	deadline time.Time
	records  float64
	paused   int
	mean     float64 // tokens of a record; 0: unknown
}

// work sums the jobs of each model. The mean of a model's records is remembered, for a model whose jobs have no outcome yet.
func (s *service) work(c batholith.Census, models func() []string) map[string]work {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string]work{}
	if models != nil {
		for _, model := range models() {
			all[model] = work{}
		}
	}
	processed, tokens := map[string]float64{}, map[string]float64{}
	for _, g := range c.Jobs {
		w := all[g.Model]
		if w.deadline.IsZero() || g.Deadline.Before(w.deadline) {
			w.deadline = g.Deadline
		}
		if g.Status == batholith.StatusScheduled || g.Status == batholith.StatusInProgress {
			w.paused += g.Paused
			w.records += max(g.Records-g.Processed, 0)
		}
		processed[g.Model] += g.Processed
		tokens[g.Model] += g.Tokens
		all[g.Model] = w
	}
	for model, w := range all {
		if processed[model] > 0 {
			s.means[model] = tokens[model] / processed[model]
		}
		if w.mean = s.means[model]; w.mean == 0 {
			w.mean = s.mean(model)
		}
		all[model] = w
	}
	return all
}

// take reads the database, or joins a read that goes on. It returns false after censusTime, or if the read failed.
func (s *service) take(read func(context.Context) (batholith.Census, error)) (batholith.Census, bool) {
	s.mu.Lock()
	c := s.running
	if c == nil {
		c = &census{done: make(chan struct{})}
		s.running = c
		go s.run(c, read)
	}
	s.mu.Unlock()
	late := time.NewTimer(censusTime)
	defer late.Stop()
	select {
	case <-c.done:
		return c.got, c.err == nil
	case <-late.C:
		return batholith.Census{}, false
	}
}

// run is the goroutine of a census; its context ends it.
func (s *service) run(c *census, read func(context.Context) (batholith.Census, error)) {
	ctx, cancel := context.WithTimeout(context.Background(), censusLimit)
	defer cancel()
	c.got, c.err = read(ctx)
	s.mu.Lock()
	s.running = nil
	s.mu.Unlock()
	close(c.done)
}
