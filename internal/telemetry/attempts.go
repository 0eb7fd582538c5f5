package telemetry

import (
	"maps"
	"net"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/batholith/batholith"
)

// The ends of an attempt, as label outcome of batholith_backend_requests_total. The last one is an attempt that was called off, because its
// job was halted or its lease was lost.
var ends = []string{"answered", "back_pressure", "retry", "bad_record", "misconfigured", "unreachable", "cancelled"}

// endOf is the name of a failure.
func endOf(f *batholith.Failure) string {
	switch {
	case f == nil:
		return "cancelled"
	case f.Kind < batholith.FailureBackPressure || f.Kind > batholith.FailureUnreachable:
		return "retry"
	}
	return ends[f.Kind]
}

// attempts are the metrics of requests for records. A request costs one look-up in a map that is not locked.
type attempts struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	usage    *prometheus.HistogramVec
	pauses   *prometheus.CounterVec

	known atomic.Pointer[map[lane]*series]
	mu    sync.Mutex // held while a lane is added
}

// lane is a backend as the labels name it.
type lane struct{ model, backend, path, protocol string }

// series are the metrics of one lane.
type series struct {
	ends          map[string]prometheus.Counter
	took          prometheus.Observer                  // of answered requests
	failed        func(end string) prometheus.Observer // of others
	input, output prometheus.Observer                  // tokens
}

func newAttempts(r prometheus.Registerer) *attempts {
	a := &attempts{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "batholith_backend_requests_total",
			Help: "Requests for records of jobs that have ended, by backend and how they ended: answered, back_pressure (429, 503, 529), retry (other failures), bad_record, misconfigured, unreachable, cancelled."},
			[]string{labelModel, labelBackend, "outcome"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "gen_ai_client_operation_duration_seconds",
			Help: "Time from sending a request for a record to its end, by model server; the label error_type is empty for an answer.", Buckets: operationBuckets},
			[]string{labelModel, labelOperation, labelProvider, "server_address", "server_port", labelError}),
		usage: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "gen_ai_client_token_usage",
			Help: "Tokens of each answered request for a record, as the model server counts them.", Buckets: tokenBuckets},
			[]string{labelModel, labelOperation, labelProvider, "server_address", "server_port", labelTokens}),
		pauses: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "batholith_backend_class_pauses_total",
			Help: "Pauses of a class of requests (path, features, size) that the backend fails on, by the kind of the failure."},
			[]string{labelModel, labelBackend, labelError}),
	}
	a.known.Store(&map[lane]*series{})
	r.MustRegister(a.requests, a.duration, a.usage, a.pauses)
	return a
}

// Buckets that the conventions recommend; an answer of a batch may take longer.
var (
	operationBuckets = []float64{0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84, 327.68, 655.36}
	tokenBuckets     = []float64{1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864}
	firstBuckets     = []float64{0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40}
)

// of returns the metrics of the attempt's lane.
func (a *attempts) of(at *batholith.Attempt) *series {
	key := lane{at.Model, at.Backend, at.Path, at.Protocol}
	if s := (*a.known.Load())[key]; s != nil {
		return s
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := (*a.known.Load())[key]; s != nil {
		return s
	}
	host, port := split(key.backend)
	labels := []string{key.model, Operation(key.path), Provider(key.protocol), host, port}
	with := func(v *prometheus.HistogramVec, last string) prometheus.Observer {
		return v.WithLabelValues(append(labels[:len(labels):len(labels)], last)...)
	}
	s := &series{ends: map[string]prometheus.Counter{}, failed: func(end string) prometheus.Observer { return with(a.duration, end) },
		took: with(a.duration, ""), input: with(a.usage, "input"), output: with(a.usage, "output")}
	for _, end := range ends { // all of them from the start, so that rates begin at 0
		s.ends[end] = a.requests.WithLabelValues(key.model, key.backend, end)
	}
	next := maps.Clone(*a.known.Load())
	next[key] = s
	a.known.Store(&next)
	return s
}

// split returns the host and the port of a backend.
func split(backend string) (host, port string) {
	if host, port, err := net.SplitHostPort(backend); err == nil {
		return host, port
	}
	return backend, ""
}

// Operation is the convention's name of what a path does.
func Operation(path string) string {
	switch {
	case strings.Contains(path, "embed"):
		return "embeddings"
	case strings.HasSuffix(path, "/completions") && !strings.Contains(path, "chat"):
		return "text_completion"
	}
	return "chat"
}

// Provider is the convention's name of a protocol.
func Provider(protocol string) string {
	if protocol == "bedrock" {
		return "aws.bedrock"
	}
	return protocol
}

func (a *attempts) answered(at batholith.Attempt, t batholith.Tokens) {
	s := a.of(&at)
	s.ends["answered"].Inc()
	s.took.Observe(at.Took.Seconds())
	s.input.Observe(float64(t.Input))
	s.output.Observe(float64(t.Output))
}

func (a *attempts) failed(at batholith.Attempt, f *batholith.Failure) {
	s, end := a.of(&at), endOf(f)
	s.ends[end].Inc()
	s.failed(end).Observe(at.Took.Seconds())
}

func (a *attempts) paused(p batholith.Paused) {
	a.pauses.WithLabelValues(p.Model, p.Backend, endOf(&batholith.Failure{Kind: p.Kind})).Inc()
}
