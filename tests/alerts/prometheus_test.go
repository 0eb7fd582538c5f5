// Package alerts breaks what the alert rules of deploy/prometheus watch, in real processes, and evaluates the rules with Prometheus' own engine
// on what the processes answer at /metrics. The time of the rules is virtual: each round of scrapes is half a minute.
package alerts

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"math"
	"net/http"
	"os"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/batholith/batholith/tests/harness"
)

// rulesFile is what users give to Prometheus.
const rulesFile = "../../deploy/prometheus/alerts.yml"

// interval is the virtual time between two rounds of scrapes.
const interval = 30 * time.Second

// patience bounds the real time of a wait for an alert.
const patience = 2 * time.Minute

// watcher is a Prometheus in virtual time: it scrapes servers, keeps their samples, and evaluates the rules after each round.
type watcher struct {
	t       *testing.T
	now     time.Time
	servers []*harness.Server
	engine  *promql.Engine
	rules   []rulefmt.Rule
	series  map[string]*series
	since   map[string]time.Time // when an alert became active, by its name and labels
}

// series is the samples of one series.
type series struct {
	labels  labels.Labels
	samples []chunks.Sample
	seen    time.Time
}

// number is a sample: Unix milliseconds and a value. It implements chunks.Sample.
type number struct {
	at int64
	v  float64
}

func (n number) T() int64                    { return n.at }
func (number) ST() int64                     { return 0 }
func (n number) F() float64                  { return n.v }
func (number) H() *histogram.Histogram       { return nil }
func (number) FH() *histogram.FloatHistogram { return nil }
func (number) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (n number) Copy() chunks.Sample         { return n }

// set is some series. It implements storage.SeriesSet.
type set struct {
	all []storage.Series
	at  int
}

func (s *set) Next() bool                        { s.at++; return s.at < len(s.all) }
func (s *set) At() storage.Series                { return s.all[s.at] }
func (s *set) Err() error                        { return nil }
func (s *set) Warnings() annotations.Annotations { return nil }

// watch returns a watcher of servers. It fails the test if the rules are not valid.
func watch(t *testing.T, servers ...*harness.Server) *watcher {
	t.Helper()
	text, err := os.ReadFile(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	p := parser.NewParser(parser.Options{})
	groups, errs := rulefmt.Parse(text, false, model.UTF8Validation, p, slog.New(slog.DiscardHandler))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	w := &watcher{t: t, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), servers: servers, series: map[string]*series{}, since: map[string]time.Time{},
		engine: promql.NewEngine(promql.EngineOpts{MaxSamples: 1e6, Timeout: time.Minute, Parser: p})}
	for _, g := range groups.Groups {
		w.rules = append(w.rules, g.Rules...)
	}
	return w
}

// round scrapes every server once, half a minute after the last round, and returns the names of the alerts that fire.
func (w *watcher) round() (firing []string) {
	w.t.Helper()
	w.now = w.now.Add(interval)
	for _, s := range w.servers {
		instance := []string{"job", "batholith", "instance", s.Data}
		samples, err := scrape(w.t.Context(), s)
		w.add(labels.FromStrings(append(instance, labels.MetricName, "up")...), bit(err == nil))
		for _, one := range samples {
			if name := string(one.Metric[model.MetricNameLabel]); !strings.HasPrefix(name, "batholith_") || strings.HasSuffix(name, "_bucket") {
				continue // no rule reads it, and there are many
			}
			b := labels.NewBuilder(labels.FromStrings(instance...))
			for name, v := range one.Metric {
				b.Set(string(name), string(v))
			}
			w.add(b.Labels(), float64(one.Value))
		}
	}
	for _, one := range w.series { // what was not in this round has ended
		if !one.seen.Equal(w.now) && len(one.samples) > 0 && !value.IsStaleNaN(one.samples[len(one.samples)-1].F()) {
			one.samples = append(one.samples, number{w.now.UnixMilli(), math.Float64frombits(value.StaleNaN)})
		}
	}
	return w.evaluate()
}

func bit(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// add appends a sample at the present time.
func (w *watcher) add(l labels.Labels, v float64) {
	key := l.String()
	one := w.series[key]
	if one == nil {
		one = &series{labels: l}
		w.series[key] = one
	}
	one.seen = w.now
	one.samples = append(one.samples, number{w.now.UnixMilli(), v})
}

// scrape reads /metrics of a server.
func scrape(ctx context.Context, s *harness.Server) (model.Vector, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.At.Bedrock+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	p := expfmt.NewTextParser(model.UTF8Validation)
	families, err := p.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	var all model.Vector
	for _, f := range families {
		samples, err := expfmt.ExtractSamples(&expfmt.DecodeOptions{Timestamp: model.Now()}, f)
		if err != nil {
			return nil, err
		}
		all = append(all, samples...)
	}
	return all, nil
}

// evaluate computes every rule at the present time. An alert fires when its expression has had the same labels for the rule's time.
func (w *watcher) evaluate() (firing []string) {
	w.t.Helper()
	active := map[string]bool{}
	for _, rule := range w.rules {
		q, err := w.engine.NewInstantQuery(w.t.Context(), w, nil, rule.Expr, w.now)
		if err != nil {
			w.t.Fatalf("%s: %v", rule.Alert, err)
		}
		r := q.Exec(w.t.Context())
		found, err := r.Vector()
		if err != nil {
			w.t.Fatalf("%s: %v", rule.Alert, err)
		}
		for _, one := range found {
			key := rule.Alert + one.Metric.String()
			active[key] = true
			if _, ok := w.since[key]; !ok {
				w.since[key] = w.now
			}
			if w.now.Sub(w.since[key]) >= time.Duration(rule.For) {
				firing = append(firing, rule.Alert)
			}
		}
		q.Close()
	}
	for key := range w.since {
		if !active[key] {
			delete(w.since, key)
		}
	}
	slices.Sort(firing)
	return slices.Compact(firing)
}

// quiet scrapes for twenty virtual minutes and fails the test if an alert fires.
func (w *watcher) quiet() {
	w.t.Helper()
	for range 40 {
		if firing := w.round(); len(firing) > 0 {
			w.t.Fatalf("without a fault, %v fire", firing)
		}
	}
}

// fires scrapes until an alert fires.
func (w *watcher) fires(alert string) {
	w.t.Helper()
	late, began := time.After(patience), time.Now()
	defer func() { w.t.Logf("%s fires after %s", alert, time.Since(began)) }()
	for firing := w.round(); !slices.Contains(firing, alert); firing = w.round() {
		select {
		case <-late:
			w.t.Fatalf("%s does not fire; others: %v\n%s", alert, firing, w.dump())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// ends scrapes until an alert fires no more.
func (w *watcher) ends(alert string) {
	w.t.Helper()
	late, began := time.After(patience), time.Now()
	defer func() { w.t.Logf("%s ends after %s", alert, time.Since(began)) }()
	for firing := w.round(); slices.Contains(firing, alert); firing = w.round() {
		select {
		case <-late:
			w.t.Fatalf("%s goes on firing\n%s", alert, w.dump())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// dump is the latest samples of Batholith's gauges and counters, for a test that fails.
func (w *watcher) dump() string {
	var lines []string
	for key, one := range w.series {
		if last := one.samples[len(one.samples)-1]; strings.Contains(key, "batholith_") && last.F() != 0 && !value.IsStaleNaN(last.F()) &&
			!strings.Contains(key, "_bucket") && !strings.Contains(key, "duration_seconds") && !strings.Contains(key, "_bytes") {
			lines = append(lines, key+" "+model.SampleValue(last.F()).String())
		}
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}

// Querier implements storage.Queryable.
func (w *watcher) Querier(_, _ int64) (storage.Querier, error) {
	return &storage.MockQuerier{SelectMockFunction: func(_ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
		found := &set{at: -1}
		for _, one := range w.series {
			if matches(one.labels, matchers) {
				found.all = append(found.all, storage.NewListSeries(one.labels, one.samples))
			}
		}
		slices.SortFunc(found.all, func(a, b storage.Series) int { return labels.Compare(a.Labels(), b.Labels()) })
		return found
	}}, nil
}

func matches(l labels.Labels, all []*labels.Matcher) bool {
	return !slices.ContainsFunc(all, func(m *labels.Matcher) bool { return !m.Matches(l.Get(m.Name)) })
}
