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

// TestAListOfModelsIsADoubtAndNoVerdict: servers answer to names that they do not list, and many have no list.
func TestAListOfModelsIsADoubtAndNoVerdict(t *testing.T) {
	for _, c := range []struct{ model, models, doubt string }{
		{"b", `{"data":[{"id":"a"},{"id":"b"}]}`, ""},
		{"", `{"data":[{"id":"a"}]}`, ""},
		{"c", `{"object":"list","data":[{"id":"a"},{"id":"b"}]}`, `does not list the model "c"; it lists: a, b`},
		{"c", `{"data":[]}`, "it lists: nothing"},
		{"llama3.2", `{"data":[{"id":"llama3.2:latest"}]}`, ""},
		{"llama3.2:latest", `{"data":[{"id":"llama3.2"}]}`, ""},
		{"llama3.2:3b", `{"data":[{"id":"llama3.2:latest"}]}`, "it lists: llama3.2:latest"},
		{"gemini-2.0-flash", `{"data":[{"id":"models/gemini-2.0-flash"}]}`, ""},
		{"openai/gpt-4o", `{"data":[{"id":"openai/*"}]}`, ""},
		{"azure/gpt-4o", `{"data":[{"id":"openai/*"}]}`, "does not list"},
		{"qwen", `{"data":[{"id":"/models/qwen2.5-7b-q4.gguf","aliases":["qwen"]}]}`, ""},
		{"qwen", `{"data":[{"id":"/models/qwen2.5-7b-q4.gguf"}]}`, "it lists: /models/qwen2.5-7b-q4.gguf"},
		{"c", `{"data":null}`, ""},
		{"c", `<html>`, ""},
		{"c", `{"models":[]}`, ""},
		{"c", `{"error":"Unexpected endpoint or method. (GET /v1/models)"}`, ""},
	} {
		b := serving(t, c.model, map[string]string{"/v1/models": c.models})
		err := b.Probe(t.Context())
		f, ok := errors.AsType[*batholith.Failure](err)
		switch {
		case c.doubt == "" && err != nil:
			t.Errorf("%q in %s: got %v", c.model, c.models, err)
		case c.doubt != "" && (!ok || f.Kind != misconfigured || !strings.Contains(f.Public, c.doubt)):
			t.Errorf("%q in %s: got %v, want %q", c.model, c.models, err, c.doubt)
		}
	}
}

// TestEveryAnswerMeansThatTheServerIsThere: a list that cannot be had says nothing, whatever the answer is.
func TestEveryAnswerMeansThatTheServerIsThere(t *testing.T) {
	for status := 200; status < 600; status++ {
		if err := probed(t, says(status, "no")); err != nil {
			t.Errorf("%d: %v", status, err)
		}
	}
	for name, h := range map[string]http.HandlerFunc{
		"torn":    hijacked("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"),
		"encoded": hijacked("HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 2\r\n\r\n{}"),
		"endless": hijacked("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n{"),
	} {
		if err := probed(t, h); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAServerThatDoesNotAnswerHTTPIsUnreachable: nothing of a record is sent to it.
func TestAServerThatDoesNotAnswerHTTPIsUnreachable(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{"closed": hijacked(""), "not HTTP": hijacked("220 mail ready\r\n"), "reset": resetting} {
		err := probed(t, h)
		if f, ok := errors.AsType[*batholith.Failure](err); !ok || f.Kind != batholith.FailureUnreachable {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func probed(t *testing.T, h http.HandlerFunc) error {
	t.Helper()
	s := httptest.NewServer(h)
	defer s.Close()
	b, err := New(Options{URL: s.URL + "/v1", Model: "m"})
	if err != nil {
		t.Fatal(err)
	}
	return b.Probe(t.Context())
}

func TestSlotsAreThoseThatTheServerPublishes(t *testing.T) {
	for props, want := range map[string]int{`{"total_slots":4,"chat_template":"x"}`: 4, `{"total_slots":0}`: 0, `{}`: 0, `x`: 0} {
		n, ok := serving(t, "m", map[string]string{"/props": props}).Slots(t.Context())
		if n != want || ok != (want > 0) {
			t.Errorf("%s: got %d, %v", props, n, ok)
		}
	}
	router := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.RequestURI() {
		case "/props":
			w.Write([]byte(`{"role":"router","max_instances":4}`))
		case "/props?autoload=false&model=m":
			w.Write([]byte(`{"total_slots":6}`))
		}
	}))
	defer router.Close()
	b, err := New(Options{URL: router.URL + "/v1", Model: "m"})
	if err != nil {
		t.Fatal(err)
	}
	if n, ok := b.Slots(t.Context()); n != 6 || !ok {
		t.Errorf("llama.cpp's router: %d slots of the model, %v", n, ok)
	}
	if n, ok := serving(t, "m", nil).Slots(t.Context()); ok {
		t.Errorf("a server without /props has %d slots", n)
	}
}
