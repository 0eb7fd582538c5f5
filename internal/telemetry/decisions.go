package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/batholith/batholith"
)

// decisions are the metrics of what Batholith decides about whole jobs, and of what it tells others about them.
type decisions struct{ caps, samples, posts, givenUp *prometheus.CounterVec }

func newDecisions(r prometheus.Registerer) *decisions {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		r.MustRegister(v)
		return v
	}
	return &decisions{
		caps:    counter("batholith_caps_reached_total", "Jobs that this process paused because a cap was reached: of the job, or of its principal for a day or a month.", labelModel, "cap"),
		samples: counter("batholith_samples_total", "Samples of jobs that were sent: passed, or failed, which pauses the job.", labelModel, "outcome"),
		posts:   counter("batholith_event_posts_total", "Requests to receivers of events: delivered or failed.", labelReceiver, "outcome"),
		givenUp: counter("batholith_events_given_up_total", "Events that are not sent again to the receiver.", labelReceiver),
	}
}

// begin makes the counters of a receiver, and beginModel those of a model.
func (d *decisions) begin(receiver string) {
	for _, how := range []batholith.PostOutcome{batholith.PostDelivered, batholith.PostFailed} {
		d.posts.WithLabelValues(receiver, string(how))
	}
	d.givenUp.WithLabelValues(receiver)
}

func (d *decisions) beginModel(model string) {
	for _, c := range []batholith.Cap{{}, {Principal: "p"}, {Principal: "p", Monthly: true}} {
		d.caps.WithLabelValues(model, kindOf(c))
	}
	for _, passed := range []bool{true, false} {
		d.samples.WithLabelValues(model, passedOrFailed(passed))
	}
}

// kindOf says whose cap it is.
func kindOf(c batholith.Cap) string {
	switch {
	case c.Principal == "":
		return "job"
	case c.Monthly:
		return "principal_month"
	}
	return "principal_day"
}

func passedOrFailed(passed bool) string {
	if passed {
		return "passed"
	}
	return "failed"
}

func (d *decisions) capped(c batholith.Capped) { d.caps.WithLabelValues(c.Model, kindOf(c.Cap)).Inc() }

func (d *decisions) sampled(s batholith.Sampled) {
	d.samples.WithLabelValues(s.Model, passedOrFailed(s.Passed)).Inc()
}

func (d *decisions) posted(p batholith.Posted) {
	if p.Outcome == batholith.PostGivenUp {
		d.givenUp.WithLabelValues(p.Receiver).Inc()
		return
	}
	d.posts.WithLabelValues(p.Receiver, string(p.Outcome)).Inc()
}
