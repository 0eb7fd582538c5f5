package telemetry

import (
	"context"
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/bedrock"
	"github.com/batholith/batholith/internal/dispatch"
	"github.com/batholith/batholith/internal/events"
	"github.com/batholith/batholith/internal/limit"
	"github.com/batholith/batholith/internal/results"
	"github.com/batholith/batholith/internal/runtime"
)

// full returns metrics in which every metric has a sample.
func full() *Telemetry {
	t := New(Build{Version: "v1.2.3", Revision: "abc", Go: "go1"})
	l := t.Listener()
	at := batholith.Attempt{Job: "abcdefghijkl", Model: "m", Backend: "h:1", Path: "/chat/completions", Protocol: "openai", Took: time.Second}
	l.Answered(at, batholith.Tokens{Input: 10, Output: 5})
	l.Refused(at, &batholith.Failure{Kind: batholith.FailureBackPressure})
	l.Failed(at, &batholith.Failure{Kind: batholith.FailureRetry})
	l.Failed(at, nil)
	l.Paused(batholith.Paused{Model: "m", Backend: "h:1", Class: "/chat/completions", Kind: batholith.FailureRetry})
	l.Committed(batholith.Committed{Job: at.Job, Model: "m", Counts: batholith.Counts{Processed: 3, Succeeded: 1, Errored: 2}, Tokens: batholith.Tokens{Input: 10, Output: 5},
		Ledger: batholith.Ledger{Repeats: 1, Outcomes: batholith.Outcomes{Refused: 2}}, Segment: batholith.Segment{Bytes: 100}, Took: time.Second})
	l.Merged(batholith.Merged{Took: time.Second})
	l.Published(batholith.Published{Final: true, Bytes: 100, Took: time.Second})
	l.Moved(batholith.Moved{Job: at.Job, Model: "m", From: batholith.StatusInProgress, To: batholith.StatusCompleted, Submitted: time.Unix(0, 0), At: time.Unix(60, 0)})
	l.Capped(batholith.Capped{Job: at.Job, Model: "m", Cap: batholith.Cap{Principal: "p", Monthly: true}})
	l.Sampled(batholith.Sampled{Job: at.Job, Model: "m", Records: 10})
	for _, how := range []batholith.PostOutcome{batholith.PostDelivered, batholith.PostFailed, batholith.PostGivenUp} {
		l.Posted(batholith.Posted{Receiver: "hook", Outcome: how})
	}
	t.Answered(bedrock.Observation{Operation: "CreateModelInvocationJob", Took: time.Second})
	t.Called(runtime.Observation{Operation: "ConverseStream", Model: "m", First: time.Second, Took: 2 * time.Second})
	t.Used("m", batholith.Tokens{Input: 1, Output: 1})
	t.Stored("write", time.Second, nil)
	t.depots.timed("get")(nil)
	t.depots.written(10, nil)
	t.Watch(Sources{
		Census: func(context.Context) (batholith.Census, error) {
			return batholith.Census{Jobs: []batholith.JobGroup{
				{Model: "m", Status: batholith.StatusInProgress, Jobs: 2, Oldest: time.Unix(1, 0), Deadline: time.Unix(1000, 0), Records: 100, Processed: 40, Tokens: 400},
				{Model: "m", Status: batholith.StatusScheduled, Jobs: 1, Oldest: time.Unix(2, 0), Deadline: time.Unix(500, 0), Records: 40},
				{Model: "n", Status: batholith.StatusValidating, Jobs: 1, Oldest: time.Unix(3, 0), Deadline: time.Unix(900, 0)},
			}, Living: 2, Lost: 1, Events: []batholith.Backlog{
				{Receiver: "hook", Status: batholith.StatusCompleted, Waiting: 2, Oldest: time.Unix(20, 0)},
				{Receiver: "hook", Status: batholith.StatusFailed, Waiting: 3, Oldest: time.Unix(10, 0)},
				{Receiver: "hook", Status: batholith.StatusValidating, Waiting: 5, Oldest: time.Unix(5, 0)}, // not wanted
				{Receiver: "removed", Status: batholith.StatusFailed, Waiting: 7, Oldest: time.Unix(1, 0)},
			}}, nil
		},
		Dispatch: func() dispatch.State {
			return dispatch.State{Servers: []dispatch.ServerState{
				{Backend: "h:1", Model: "m", Usable: true, Drained: true, Paused: 1, Sample: limit.Sample{Limit: 16, Own: 8, InFlight: 4, Source: "slots"}},
				{Backend: "h:1", Model: "m", Sample: limit.Sample{Limit: 4, Own: 4, InFlight: 2, Source: "slots"}}, // the same address with another key
			}, Queues: []dispatch.QueueState{{Model: "m", Jobs: 3, Late: 1, Ready: 9}}}
		},
		Outcomes:  func() (results.State, bool) { return results.State{Pending: 5, PendingBound: 10}, true },
		Waiting:   func() map[string]int { return map[string]int{"store": 1, "read": 0} },
		Memory:    func() (int64, int64) { return 1, 2 },
		DiskFull:  func() bool { return true },
		Receivers: []events.Receiver{{Name: "hook", Statuses: []batholith.Status{batholith.StatusCompleted, batholith.StatusFailed}}, {Name: "https://hooks.example/secret/path"}},
		Models:    func() []string { return []string{"m", "n", "idle"} },
	})
	return t
}

// gathered returns the metrics of a process by name.
func gathered(t *testing.T, from *Telemetry) map[string]*dto.MetricFamily {
	t.Helper()
	families, err := from.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]*dto.MetricFamily{}
	for _, f := range families {
		all[f.GetName()] = f
	}
	return all
}

// value is a sample of a gauge or a counter; pairs are names and values of its labels, of which it may have more.
func value(t *testing.T, from *Telemetry, name string, pairs ...string) float64 {
	t.Helper()
	for _, m := range gathered(t, from)[name].GetMetric() {
		labels := map[string]string{}
		for _, l := range m.GetLabel() {
			labels[l.GetName()] = l.GetValue()
		}
		match := true
		for i := 0; i < len(pairs); i += 2 {
			match = match && labels[pairs[i]] == pairs[i+1]
		}
		if match {
			return m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	t.Errorf("there is no %s with %v", name, pairs)
	return -1
}

func TestNamesFollowPrometheusConventions(t *testing.T) {
	problems, err := testutil.GatherAndLint(full().Gatherer())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// A label with many values costs memory here and in Prometheus for as long as it keeps samples. These have few.
func TestLabelsHaveFewValues(t *testing.T) {
	few := []string{labelModel, labelOperation, labelProvider, labelTokens, labelError, labelBackend, "server_address", "server_port", "outcome", "operation", "direction",
		"status", "state", "source", "reason", "final", labelReceiver, "cap", "version", "revision", "goversion"}
	for name, f := range gathered(t, full()) {
		if strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_") {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if !slices.Contains(few, l.GetName()) {
					t.Errorf("%s has the label %s", name, l.GetName())
				}
				if l.GetValue() == "abcdefghijkl" {
					t.Errorf("%s has the id of a job in the label %s", name, l.GetName())
				}
			}
		}
	}
}

func TestEveryMetricIsInTheDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_0-9]+)` \\|").FindAllStringSubmatch(string(text), -1) {
		documented[m[1]] = true
	}
	there := gathered(t, full())
	for name := range there {
		if own := strings.HasPrefix(name, "batholith_") || strings.HasPrefix(name, "gen_ai_"); own && !documented[name] {
			t.Errorf("docs/metrics.md does not describe %s", name)
		}
	}
	for name := range documented {
		if there[name] == nil {
			t.Errorf("docs/metrics.md describes %s, which is not there", name)
		}
	}
}

func TestPendingWorkIsSummedByModel(t *testing.T) {
	m := full()
	for _, tt := range []struct {
		name  string
		want  float64
		pairs []string
	}{
		{"batholith_service_jobs", 2, []string{labelModel, "m", "status", "InProgress"}},
		{"batholith_service_pending_records", 100, []string{labelModel, "m"}},
		{"batholith_service_pending_tokens", 1000, []string{labelModel, "m"}},
		{"batholith_service_pending_records", 0, []string{labelModel, "n"}},
		{"batholith_service_pending_records", 0, []string{labelModel, "idle"}},
		{"batholith_service_next_deadline_timestamp_seconds", 500, []string{labelModel, "m"}},
		{"batholith_service_workers", 1, []string{"state", "lost"}},
		{"batholith_store_up", 1, nil},
		{"batholith_service_backend_limit_requests", 20, []string{labelBackend, "h:1"}},
		{"batholith_backend_in_flight_requests", 6, []string{labelBackend, "h:1"}},
		{"batholith_backend_busy_ratio", 0.5, []string{labelBackend, "h:1"}},
		{"batholith_backend_up", 1, []string{labelBackend, "h:1"}},
		{"batholith_backend_requests_total", 1, []string{"outcome", "back_pressure"}},
		{"batholith_backend_requests_total", 1, []string{"outcome", "cancelled"}},
		{"batholith_backend_requests_total", 0, []string{"outcome", "unreachable"}},
		{"batholith_records_total", 2, []string{labelModel, "m", "outcome", "refused"}},
		{"batholith_record_tokens_total", 5, []string{labelModel, "m", labelTokens, "output"}},
		{"batholith_data_disk_full", 1, nil},
		{"batholith_service_backend_drained", 1, []string{labelBackend, "h:1"}},
		{"batholith_service_waiting_events", 5, []string{labelReceiver, "hook"}},
		{"batholith_service_waiting_events", 0, []string{labelReceiver, "hooks.example"}},
		{"batholith_service_oldest_waiting_event_timestamp_seconds", 10, []string{labelReceiver, "hook"}},
		{"batholith_event_posts_total", 1, []string{labelReceiver, "hook", "outcome", "failed"}},
		{"batholith_events_given_up_total", 1, []string{labelReceiver, "hook"}},
		{"batholith_caps_reached_total", 1, []string{labelModel, "m", "cap", "principal_month"}},
		{"batholith_caps_reached_total", 0, []string{labelModel, "n", "cap", "job"}},
		{"batholith_samples_total", 1, []string{labelModel, "m", "outcome", "failed"}},
	} {
		if got := value(t, m, tt.name, tt.pairs...); got != tt.want {
			t.Errorf("%s %v is %v, want %v", tt.name, tt.pairs, got, tt.want)
		}
	}
}

// The mean tokens of a model's records are remembered, for the jobs that follow when no job is left.
func TestTheMeanOfAModelOutlivesItsJobs(t *testing.T) {
	m, census := New(Build{}), batholith.Census{}
	m.Watch(Sources{Census: func(context.Context) (batholith.Census, error) { return census, nil }})
	census.Jobs = []batholith.JobGroup{{Model: "m", Status: batholith.StatusScheduled, Records: 10}}
	if gathered(t, m)["batholith_service_pending_tokens"] != nil {
		t.Error("pending tokens are told although no record was processed")
	}
	m.Listener().Committed(batholith.Committed{Model: "m", Counts: batholith.Counts{Processed: 2}, Tokens: batholith.Tokens{Input: 15, Output: 5}})
	if got := value(t, m, "batholith_service_pending_tokens"); got != 100 {
		t.Errorf("%v tokens are pending, want 100: the mean of what this process has stored", got)
	}
	census.Jobs = []batholith.JobGroup{{Model: "m", Status: batholith.StatusInProgress, Records: 10, Processed: 5, Tokens: 35}}
	gathered(t, m)
	census.Jobs = []batholith.JobGroup{{Model: "m", Status: batholith.StatusScheduled, Records: 100}}
	if got := value(t, m, "batholith_service_pending_tokens"); got != 700 {
		t.Errorf("%v tokens are pending, want 700", got)
	}
}

// A scrape answers in bounded time while the database hangs, does not pile up reads, and has the gauges again afterwards.
func TestAScrapeDoesNotWaitForADeadDatabase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, reads, back := New(Build{}), atomic.Int32{}, make(chan struct{})
		m.Watch(Sources{
			Census: func(ctx context.Context) (batholith.Census, error) {
				reads.Add(1)
				select {
				case <-back:
					return batholith.Census{Living: 1}, nil
				case <-ctx.Done():
					return batholith.Census{}, context.Cause(ctx)
				}
			},
			DiskFull: func() bool { return false },
		})
		began := time.Now()
		for range 3 {
			all := gathered(t, m)
			if all["batholith_service_workers"] != nil || all["batholith_data_disk_full"] == nil {
				t.Fatal("without a database, gauges of the service are told, or those of the process are not")
			}
		}
		if up := value(t, m, "batholith_store_up"); up != 0 {
			t.Errorf("store up: %v", up)
		}
		if took := time.Since(began); took != 4*censusTime || reads.Load() != 1 {
			t.Errorf("four scrapes took %s with %d reads, want %s with one", took, reads.Load(), 4*censusTime)
		}
		time.Sleep(censusLimit)
		close(back)
		if up := value(t, m, "batholith_store_up"); up != 1 {
			t.Errorf("store up after the outage: %v", up)
		}
	})
}

func TestAnAnswerOfADepotIsNoFault(t *testing.T) {
	for err, want := range map[error]string{
		nil: "ok", batholith.ErrMoved: "refused", errors.Join(batholith.ErrNoObject): "refused", &batholith.StaleError{}: "refused",
		context.Canceled: "cancelled", context.DeadlineExceeded: "error", errors.New("connection refused"): "error",
	} {
		if got := outcomeOf(err); got != want {
			t.Errorf("%v is %s, want %s", err, got, want)
		}
	}
}

func BenchmarkAnswered(b *testing.B) {
	l := New(Build{}).Listener()
	at := batholith.Attempt{Job: "abcdefghijkl", Model: "m", Backend: "h:1", Path: "/chat/completions", Protocol: "openai", Took: time.Second}
	for b.Loop() {
		l.Answered(at, batholith.Tokens{Input: 10, Output: 5})
	}
}
