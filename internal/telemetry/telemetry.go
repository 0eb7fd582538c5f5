package telemetry

import (
	"context"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/dispatch"
	"github.com/batholith/batholith/internal/events"
	"github.com/batholith/batholith/internal/results"
)

// Labels that OpenTelemetry's conventions name.
const (
	labelModel     = "gen_ai_request_model" // catalogue id
	labelOperation = "gen_ai_operation_name"
	labelProvider  = "gen_ai_provider_name"
	labelTokens    = "gen_ai_token_type"
	labelError     = "error_type"
	labelBackend   = "backend"  // host and port of a model server
	labelReceiver  = "receiver" // name or host of a receiver of events
)

// Build is what batholith_build_info says.
type Build struct{ Version, Revision, Go string }

// Sources are where gauges come from. Each func may be nil, and must return at once, but for Census.
type Sources struct {
	Census   func(context.Context) (batholith.Census, error)
	Dispatch func() dispatch.State
	Outcomes func() (results.State, bool)
	Waiting  func() map[string]int // jobs that wait, by the kind of the wait
	Memory   func() (used, size int64)
	Models   func() []string // catalogue ids: what is pending for them is told also if it is nothing
	DiskFull func() bool     // the disk of the data directory is full

	Receivers []events.Receiver // of events
}

// Telemetry holds the metrics of a process. It is safe for concurrent use.
type Telemetry struct {
	registry *prometheus.Registry
	sources  atomic.Pointer[Sources]

	attempts  *attempts
	outcomes  *outcomes
	calls     *calls
	depots    *depots
	decisions *decisions
}

// New makes the metrics. Gauges appear after Watch.
func New(b Build) *Telemetry {
	t := &Telemetry{registry: prometheus.NewRegistry()}
	t.attempts, t.outcomes, t.calls, t.depots = newAttempts(t.registry), newOutcomes(t.registry), newCalls(t.registry), newDepots(t.registry)
	t.decisions = newDecisions(t.registry)
	info := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "batholith_build_info", Help: "1, with the version, the revision of the source and the version of Go of this program."},
		[]string{"version", "revision", "goversion"})
	info.WithLabelValues(b.Version, b.Revision, b.Go).Set(1)
	t.registry.MustRegister(info, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		newGauges(&t.sources), newService(&t.sources, t.outcomes.mean))
	return t
}

// Watch sets where gauges come from. The counters of its models begin at 0 now, so that the first event is an increase.
func (t *Telemetry) Watch(s Sources) {
	if s.Models != nil {
		for _, model := range s.Models() {
			t.outcomes.begin(model)
			t.decisions.beginModel(model)
		}
	}
	for i := range s.Receivers {
		t.decisions.begin(s.Receivers[i].Label())
	}
	t.sources.Store(&s)
}

// Gatherer is what a handler of /metrics serves.
func (t *Telemetry) Gatherer() prometheus.Gatherer { return t.registry }

// Listener counts the events of an engine.
func (t *Telemetry) Listener() batholith.Listener {
	return batholith.Listener{
		Answered: t.attempts.answered, Refused: t.attempts.failed, Failed: t.attempts.failed, Paused: t.attempts.paused,
		Committed: t.outcomes.committed, Merged: t.outcomes.merged, Published: t.outcomes.published, Moved: t.outcomes.moved,
		Capped: t.decisions.capped, Sampled: t.decisions.sampled, Posted: t.decisions.posted,
	}
}
