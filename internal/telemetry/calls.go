package telemetry

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/bedrock"
	"github.com/batholith/batholith/internal/runtime"
)

// calls are the metrics of requests to the API and of interactive calls.
type calls struct {
	api      *prometheus.HistogramVec
	duration *prometheus.HistogramVec
	first    *prometheus.HistogramVec
	tokens   *prometheus.CounterVec
}

// provider is the label gen_ai_provider_name of calls: this service answers them.
const provider = "batholith"

func newCalls(r prometheus.Registerer) *calls {
	labels := []string{labelModel, labelOperation, labelProvider, labelError}
	c := &calls{
		api: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "batholith_api_request_duration_seconds",
			Help: "Time to answer a request to the Bedrock API, by operation and error code (empty: it succeeded).", Buckets: workBuckets}, []string{"operation", labelError}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "gen_ai_server_request_duration_seconds",
			Help: "Time from an interactive call to the end of its answer, by model and error code (empty: the answer is whole).", Buckets: operationBuckets}, labels),
		first: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "gen_ai_server_time_to_first_token_seconds",
			Help: "Time from an interactive call to the first event of its stream.", Buckets: firstBuckets}, labels[:3]),
		tokens: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "batholith_call_tokens_total", Help: "Tokens of the answers to interactive calls."},
			[]string{labelModel, labelTokens}),
	}
	r.MustRegister(c.api, c.duration, c.first, c.tokens)
	return c
}

// Answered counts a request to the API.
func (t *Telemetry) Answered(o bedrock.Observation) {
	t.calls.api.WithLabelValues(o.Operation, o.Code).Observe(o.Took.Seconds())
}

// Called counts a request to the runtime.
func (t *Telemetry) Called(o runtime.Observation) {
	t.calls.api.WithLabelValues(o.Operation, o.Code).Observe(o.Took.Seconds())
	if o.Model == "" {
		return
	}
	labels := []string{o.Model, operationOf(o.Operation), provider}
	if o.First > 0 {
		t.calls.first.WithLabelValues(labels...).Observe(o.First.Seconds())
	}
	t.calls.duration.WithLabelValues(append(labels, o.Code)...).Observe(o.Took.Seconds())
}

// operationOf is the convention's name of an operation of the runtime.
func operationOf(name string) string {
	if strings.HasPrefix(name, "Count") {
		return "count_tokens"
	}
	return "chat"
}

// Used counts the tokens of a call.
func (t *Telemetry) Used(model string, tokens batholith.Tokens) {
	for kind, n := range map[string]int64{"input": tokens.Input, "output": tokens.Output, "cache_read": tokens.CacheRead, "cache_write": tokens.CacheWrite} {
		t.calls.tokens.WithLabelValues(model, kind).Add(float64(max(n, 0)))
	}
}

// Stored observes an operation of the database: see store.Observe.
func (t *Telemetry) Stored(operation string, took time.Duration, err error) {
	t.depots.store.WithLabelValues(operation, outcomeOf(err)).Observe(took.Seconds())
}
