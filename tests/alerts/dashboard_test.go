package alerts

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// known are the metrics of docs/metrics.md, which has exactly those of the program (telemetry: TestEveryMetricIsInTheDocs).
func known(t *testing.T) map[string]bool {
	t.Helper()
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]bool{"up": true, "process_resident_memory_bytes": true, "process_cpu_seconds_total": true}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_0-9]+)` \\| [^|]* \\| (histogram)?").FindAllStringSubmatch(string(text), -1) {
		if m[2] == "" {
			all[m[1]] = true
			continue
		}
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			all[m[1]+suffix] = true
		}
	}
	return all
}

// selectors returns the names of the metrics of an expression, and fails the test if it is not valid.
func selectors(t *testing.T, expr string) (names []string) {
	t.Helper()
	e, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	if err != nil {
		t.Errorf("%s: %v", expr, err)
		return nil
	}
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		if s, ok := n.(*parser.VectorSelector); ok {
			for _, m := range s.LabelMatchers {
				if m.Name == labels.MetricName {
					names = append(names, m.Value)
				}
			}
		}
		return nil
	})
	return names
}

func TestRulesNameMetricsThatExist(t *testing.T) {
	there := known(t)
	for _, r := range watch(t).rules {
		for _, name := range selectors(t, r.Expr) {
			if !there[name] {
				t.Errorf("%s names %s, which is not there", r.Alert, name)
			}
		}
	}
}

// The variables of Grafana in an expression.
var variables = strings.NewReplacer("$__rate_interval", "5m", "$model", ".*", "$instance", ".*")

func TestTheDashboardNamesMetricsThatExist(t *testing.T) {
	text, err := os.ReadFile("../../deploy/grafana/batholith.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			ID      int
			Title   string
			Type    string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	there, shown, ids := known(t), map[string]bool{}, map[int]bool{}
	for _, p := range board.Panels {
		if ids[p.ID] {
			t.Errorf("two panels have the id %d", p.ID)
		}
		ids[p.ID] = true
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("the panel %s shows nothing", p.Title)
		}
		for _, target := range p.Targets {
			names := selectors(t, variables.Replace(target.Expr))
			for _, name := range names {
				if shown[name] = true; !there[name] {
					t.Errorf("the panel %s names %s, which is not there", p.Title, name)
				}
			}
			for _, name := range names { // a sum over processes would count what is of the service several times
				if of := regexp.MustCompile(`(sum|avg) by \([^)]*\) \(` + name + `\{`); strings.HasPrefix(name, "batholith_service_") && of.MatchString(target.Expr) {
					t.Errorf("the panel %s sums %s over processes", p.Title, name)
				}
			}
		}
	}
	for _, name := range []string{"batholith_service_jobs", "batholith_records_total", "batholith_service_pending_tokens", "batholith_service_backend_limit_requests", "batholith_backend_requests_total",
		"batholith_segment_commit_duration_seconds_bucket", "gen_ai_server_time_to_first_token_seconds_bucket"} {
		if !shown[name] {
			t.Errorf("no panel shows %s", name)
		}
	}
}
