package telemetry

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/batholith/batholith/internal/dispatch"
)

// desc makes a description.
func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

// The gauges of a process.
var (
	backendUp       = desc("batholith_backend_up", "1 if the model server gets requests, 0 if it cannot be used.", labelModel, labelBackend)
	backendPaused   = desc("batholith_backend_paused_classes", "Classes of requests that wait because the model server fails on them.", labelModel, labelBackend)
	backendOwn      = desc("batholith_backend_own_limit_requests", "Requests in flight that this process may have at the model server: its part of the limit.", labelModel, labelBackend)
	backendInFlight = desc("batholith_backend_in_flight_requests", "Requests of this process in flight, for records and calls.", labelModel, labelBackend)
	backendBusy     = desc("batholith_backend_busy_ratio", "Requests in flight of this process, as a share of its part of the limit.", labelModel, labelBackend)
	backendCalls    = desc("batholith_backend_calls_in_flight", "Interactive calls of this process in flight.", labelModel, labelBackend)
	backendWaiting  = desc("batholith_backend_calls_waiting", "Interactive calls of this process that wait for a slot.", labelModel, labelBackend)
	queueJobs       = desc("batholith_queue_jobs", "Jobs in the queue of this worker.", labelModel)
	queueReady      = desc("batholith_queue_ready_records", "Records in the memory of this worker that wait for a slot.", labelModel)

	waitingJobs = desc("batholith_waiting_jobs", "Jobs of this worker that wait, since an attempt has failed or others are before them: turn (to be validated), buckets, validation, read, store (finished records), publication, end.", "reason")

	backendDrained = desc("batholith_service_backend_drained", "1 if an operator drains the model server.", labelModel, labelBackend)

	// What several workers measure alike is of the service.
	backendLimit   = desc("batholith_service_backend_limit_requests", "Requests in flight that the model server is found to take, of all processes together, by how that was found: configured, slots, gauges, goodput.", labelModel, labelBackend, "source")
	backendRunning = desc("batholith_service_backend_running_requests", "Requests that the model server processes, of all its clients, as it says.", labelModel, labelBackend)
	backendQueued  = desc("batholith_service_backend_queued_requests", "Requests that wait in the queue of the model server, of all its clients, as it says.", labelModel, labelBackend)
	lateJobs       = desc("batholith_service_late_jobs", "Jobs that are expected to end after their timeout, as this worker forecasts.", labelModel)

	memoryUsed     = desc("batholith_memory_used_bytes", "Memory of chunks, answers and long lines.")
	memorySize     = desc("batholith_memory_limit_bytes", "Setting memory: the bound of batholith_memory_used_bytes.")
	outcomesHeld   = desc("batholith_pending_outcomes_bytes", "Finished outcomes in memory that are not stored yet.")
	outcomesBound  = desc("batholith_pending_outcomes_limit_bytes", "Bound of batholith_pending_outcomes_bytes, at which slots wait.")
	outcomesJobs   = desc("batholith_pending_outcomes_jobs", "Jobs with outcomes that are not stored yet.")
	journalBytes   = desc("batholith_journal_bytes", "Size of the journal's files.")
	journalFailing = desc("batholith_journal_failing", "1 if the disk refuses the journal, so that finished outcomes are in memory only.")
	diskFull       = desc("batholith_data_disk_full", "1 if the disk of the data directory is full.")
)

// gauges collects the gauges of the process.
type gauges struct{ from *atomic.Pointer[Sources] }

func newGauges(from *atomic.Pointer[Sources]) gauges { return gauges{from} }

// Describe implements prometheus.Collector.
func (gauges) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{backendUp, backendPaused, backendOwn, backendInFlight, backendBusy, backendCalls, backendWaiting, queueJobs, queueReady, waitingJobs,
		backendDrained, backendLimit, backendRunning, backendQueued, lateJobs, memoryUsed, memorySize, outcomesHeld, outcomesBound, outcomesJobs, journalBytes, journalFailing, diskFull} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (g gauges) Collect(to chan<- prometheus.Metric) {
	s := g.from.Load()
	if s == nil {
		return
	}
	set := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	if s.Dispatch != nil {
		dispatched(s.Dispatch(), set)
	}
	if s.Outcomes != nil {
		if o, ok := s.Outcomes(); ok {
			set(outcomesHeld, float64(o.Pending))
			set(outcomesBound, float64(o.PendingBound))
			set(outcomesJobs, float64(o.Jobs))
			set(journalBytes, float64(o.Journal))
			set(journalFailing, bit(o.Failing))
		}
	}
	if s.Waiting != nil {
		for reason, jobs := range s.Waiting() {
			set(waitingJobs, float64(jobs), reason)
		}
	}
	if s.Memory != nil {
		if used, size := s.Memory(); size > 0 {
			set(memoryUsed, float64(used))
			set(memorySize, float64(size))
		}
	}
	if s.DiskFull != nil {
		set(diskFull, bit(s.DiskFull()))
	}
}

// bit is 1 or 0.
func bit(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// dispatched collects what is sent. Two servers that look alike, such as one address with two keys, become one.
func dispatched(s dispatch.State, set func(*prometheus.Desc, float64, ...string)) {
	type name struct{ model, backend string }
	servers := map[name]dispatch.ServerState{}
	for _, one := range s.Servers {
		at := name{one.Model, one.Backend}
		if all, ok := servers[at]; ok {
			one.Usable, one.Drained = one.Usable || all.Usable, one.Drained || all.Drained
			one.Paused += all.Paused
			one.Calls += all.Calls
			one.WaitingCalls += all.WaitingCalls
			one.Sample.Limit += all.Sample.Limit
			one.Sample.Own += all.Sample.Own
			one.Sample.InFlight += all.Sample.InFlight
		}
		servers[at] = one
	}
	for at, one := range servers {
		labels := []string{at.model, at.backend}
		set(backendUp, bit(one.Usable), labels...)
		set(backendDrained, bit(one.Drained), labels...)
		set(backendPaused, float64(one.Paused), labels...)
		set(backendOwn, float64(one.Sample.Own), labels...)
		set(backendInFlight, float64(one.Sample.InFlight), labels...)
		set(backendBusy, float64(one.Sample.InFlight)/float64(max(one.Sample.Own, 1)), labels...)
		set(backendCalls, float64(one.Calls), labels...)
		set(backendWaiting, float64(one.WaitingCalls), labels...)
		set(backendLimit, float64(one.Sample.Limit), at.model, at.backend, one.Sample.Source)
		set(backendRunning, float64(one.Sample.Gauges.Running), labels...)
		set(backendQueued, float64(one.Sample.Gauges.Waiting), labels...)
	}
	for _, q := range s.Queues {
		set(queueJobs, float64(q.Jobs), q.Model)
		set(queueReady, float64(q.Ready), q.Model)
		set(lateJobs, float64(q.Late), q.Model)
	}
}
