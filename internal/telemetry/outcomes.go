package telemetry

import (
	"strconv"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/batholith/batholith"
)

// outcomes are the metrics of what was stored: outcomes, output, statuses.
type outcomes struct {
	records, tokens, wasted, repeats, reused, reissued, canaries *prometheus.CounterVec

	commit, merge prometheus.Histogram
	segmentBytes  prometheus.Counter
	publish       *prometheus.HistogramVec
	outputBytes   prometheus.Counter

	statuses *prometheus.CounterVec
	duration *prometheus.HistogramVec

	mu   sync.Mutex
	sums map[string]sum // of this process, by model
}

// sum is the records that were stored and their tokens.
type sum struct{ records, tokens float64 }

// mean is the tokens, input and output, of a record that this process has stored; 0: it has stored none of the model.
func (o *outcomes) mean(model string) float64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	if s := o.sums[model]; s.records > 0 {
		return s.tokens / s.records
	}
	return 0
}

// Buckets of what takes from milliseconds to minutes, and of what takes up to a week, in seconds.
var (
	workBuckets = prometheus.ExponentialBuckets(0.005, 2, 17) // to 327 s
	jobBuckets  = []float64{1, 10, 60, 300, 900, 1800, 3600, 2 * 3600, 4 * 3600, 8 * 3600, 16 * 3600, 24 * 3600, 48 * 3600, 96 * 3600, 168 * 3600}
)

func newOutcomes(r prometheus.Registerer) *outcomes {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, append([]string{labelModel}, labels...))
		r.MustRegister(v)
		return v
	}
	o := &outcomes{
		sums:     map[string]sum{},
		records:  counter("batholith_records_total", "Records whose outcome this process stored: answered, or with an error line (invalid, refused, exhausted).", "outcome"),
		tokens:   counter("batholith_record_tokens_total", "Tokens of the stored answers: input, output, cache_read and cache_write.", labelTokens),
		wasted:   counter("batholith_record_wasted_tokens_total", "Tokens of answers that could not be used: input and output, as far as the servers reported them.", labelTokens),
		repeats:  counter("batholith_record_repeats_total", "Counted requests that were not the first for their record."),
		reused:   counter("batholith_record_reused_total", "Answers that were copied from an identical record, without a request."),
		reissued: counter("batholith_record_reissued_total", "Stored outcomes of chunks that had an earlier owner; some of their records may have been sent twice."),
		canaries: counter("batholith_canaries_total", "Test requests that showed whether a record or its server is at fault."),
		statuses: counter("batholith_job_status_changes_total", "Changes of a job's status that this process made, by the new status.", "status"),
		commit: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "batholith_segment_commit_duration_seconds",
			Help: "Time from the first attempt to upload a segment to its commit.", Buckets: workBuckets}),
		merge: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "batholith_segment_merge_duration_seconds", Help: "Time to merge segments into a run.", Buckets: workBuckets}),
		segmentBytes: prometheus.NewCounter(prometheus.CounterOpts{Name: "batholith_segment_bytes_total",
			Help: "Size of the segments that were committed."}),
		publish: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "batholith_publication_duration_seconds",
			Help: "Time to write a job's output, whole (final true) or partial.", Buckets: workBuckets}, []string{"final"}),
		outputBytes: prometheus.NewCounter(prometheus.CounterOpts{Name: "batholith_publication_bytes_total", Help: "Size of the output objects that were published."}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "batholith_job_duration_seconds",
			Help: "Time from the creation of a job to its end, by its terminal status.", Buckets: jobBuckets}, []string{labelModel, "status"}),
	}
	r.MustRegister(o.commit, o.merge, o.segmentBytes, o.publish, o.outputBytes, o.duration)
	return o
}

// begin makes the counters of a model.
func (o *outcomes) begin(model string) {
	for _, status := range batholith.Statuses() {
		o.statuses.WithLabelValues(model, string(status))
	}
	for _, outcome := range []string{"answered", "invalid", "refused", "exhausted"} {
		o.records.WithLabelValues(model, outcome)
	}
	for _, kind := range []string{"input", "output"} {
		o.tokens.WithLabelValues(model, kind)
	}
}

func (o *outcomes) committed(c batholith.Committed) {
	model, l := c.Model, &c.Ledger
	o.records.WithLabelValues(model, "answered").Add(float64(c.Counts.Succeeded))
	for outcome, n := range map[string]int64{"invalid": l.Outcomes.Invalid, "refused": l.Outcomes.Refused, "exhausted": l.Outcomes.Exhausted} {
		o.records.WithLabelValues(model, outcome).Add(float64(n))
	}
	for kind, n := range map[string]int64{"input": c.Tokens.Input, "output": c.Tokens.Output, "cache_read": c.Tokens.CacheRead, "cache_write": c.Tokens.CacheWrite} {
		o.tokens.WithLabelValues(model, kind).Add(float64(n))
	}
	o.wasted.WithLabelValues(model, "input").Add(float64(l.Wasted.Input))
	o.wasted.WithLabelValues(model, "output").Add(float64(l.Wasted.Output))
	for v, n := range map[*prometheus.CounterVec]int64{o.repeats: max(l.Repeats, 0), o.reused: l.Reused, o.reissued: l.Reissued, o.canaries: l.Canaries} {
		v.WithLabelValues(model).Add(float64(n))
	}
	o.mu.Lock()
	s := o.sums[model]
	o.sums[model] = sum{s.records + float64(c.Counts.Processed), s.tokens + float64(c.Tokens.Input) + float64(c.Tokens.Output)}
	o.mu.Unlock()
	o.commit.Observe(c.Took.Seconds())
	o.segmentBytes.Add(float64(c.Segment.Bytes))
}

func (o *outcomes) merged(m batholith.Merged) { o.merge.Observe(m.Took.Seconds()) }

func (o *outcomes) published(p batholith.Published) {
	o.publish.WithLabelValues(strconv.FormatBool(p.Final)).Observe(p.Took.Seconds())
	o.outputBytes.Add(float64(p.Bytes))
}

func (o *outcomes) moved(m batholith.Moved) {
	o.statuses.WithLabelValues(m.Model, string(m.To)).Inc()
	if m.To.Terminal() && !m.Submitted.IsZero() {
		o.duration.WithLabelValues(m.Model, string(m.To)).Observe(max(m.At.Sub(m.Submitted).Seconds(), 0))
	}
}
