package upstream

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/batholith/batholith"
)

func serving(t *testing.T, model string, paths map[string]string) *Backend {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, ok := paths[r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
		}
		w.Write([]byte(body))
	}))
	t.Cleanup(s.Close)
	b, err := New(Options{URL: s.URL + "/v1", Model: model})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestProbeSaysWhatIsServedInstead(t *testing.T) {
	for _, c := range []struct{ model, models, want string }{
		{"b", `{"data":[{"id":"a"},{"id":"b"}]}`, ""},
		{"c", `{"object":"list","data":[{"id":"a"},{"id":"b"}]}`, `does not serve the model "c"; it serves: a, b`},
		{"c", `{"data":[]}`, "it serves: nothing"},
		{"c", `<html>`, "does not list its models"},
		{"c", `{"models":[]}`, "does not list its models"},
	} {
		err := serving(t, c.model, map[string]string{"/v1/models": c.models}).Probe(t.Context())
		if c.want == "" && err == nil {
			continue
		}
		f, ok := errors.AsType[*batholith.Failure](err)
		if !ok || f.Kind != misconfigured || !strings.Contains(f.Message, c.want) {
			t.Errorf("%s in %s: got %v, want %q", c.model, c.models, err, c.want)
		}
	}
}

func TestProbeSaysWhatIsWrongWithTheURL(t *testing.T) {
	err := serving(t, "m", nil).Probe(t.Context())
	if f, ok := errors.AsType[*batholith.Failure](err); !ok || f.Kind != misconfigured || !strings.Contains(f.Message, "ends in /v1") {
		t.Errorf("got %v", err)
	}
}

func TestSlotsAreThoseThatTheServerPublishes(t *testing.T) {
	for props, want := range map[string]int{`{"total_slots":4,"chat_template":"x"}`: 4, `{"total_slots":0}`: 0, `{}`: 0, `x`: 0} {
		n, ok := serving(t, "m", map[string]string{"/props": props}).Slots(t.Context())
		if n != want || ok != (want > 0) {
			t.Errorf("%s: got %d, %v", props, n, ok)
		}
	}
	if n, ok := serving(t, "m", nil).Slots(t.Context()); ok {
		t.Errorf("a server without /props has %d slots", n)
	}
}
