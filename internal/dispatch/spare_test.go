package dispatch

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/dialect"
)

// A server that refuses a member which a record can do without is asked again without it, once: from then on it is remembered, and every request is counted.
func TestAMemberThatAServerRefusesIsLeftOutFromThenOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var mu sync.Mutex
		asked, refused := 0, 0
		s := &server{limit: 1, do: func(_ context.Context, body string, _ int) ([]byte, error) {
			mu.Lock()
			defer mu.Unlock()
			if asked++; strings.Contains(body, `"dimensions"`) {
				refused++
				return nil, &batholith.Failure{Kind: batholith.FailureBadRecord, Status: 400, Message: "Model does not support matryoshka representation", Sent: true}
			}
			return []byte(`{"model":"bge-m3","data":[{"index":0,"embedding":[1,0,0]}],"usage":{"prompt_tokens":2}}`), nil
		}}
		d := w.dispatcher(Options{Canary: noCanary, Sourced: true}, s)
		d.o.Serving = func(j batholith.Job) (Serving, error) {
			made, err := dialect.For("titan-embed", dialect.ProtocolOpenAI, batholith.InvokeModel, dialect.Options{})
			return Serving{Model: j.ModelID, Backends: []Backend{s}, Dialect: always(made)}, err
		}
		d.Enqueue(w.jobOf("job", 12, 4, func(n int) string {
			return `{"inputText":"x","dimensions":` + map[bool]string{true: "3", false: "4"}[n%2 == 0] + `}`
		}))
		stop := w.start(d)
		w.await(12, "job")
		stop()
		if refused != 1 || asked != 13 {
			t.Errorf("the server refused %d of %d requests; want 1 of 13", refused, asked)
		}
		attempts, errors := 0, 0
		for key, o := range w.outcomes["job"] {
			attempts += o.Attempts
			if o.Errored {
				errors++
				if !strings.Contains(string(o.Line), "vectors of 3 dimensions, not of 4") {
					t.Errorf("record %d ends with %s", key.Record, o.Line)
				}
			} else if o.Source == nil || o.Source.Model != "bge-m3" || !strings.HasSuffix(string(o.Line), `,"batholith":{"backend":"http://fake","model":"bge-m3"}}`+"\n") {
				t.Errorf("record %d came from %+v, and its line is %s", key.Record, o.Source, o.Line)
			}
		}
		if attempts != 13 || errors != 6 {
			t.Errorf("%d attempts are counted, and %d errors; want 13 and 6", attempts, errors)
		}
	})
}

// A bad answer of the model is retried, except with temperature 0 or a seed: the same request would get the same answer.
func TestABadAnswerIsNotRetriedIfSamplingIsFixed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := &server{limit: 1, do: func(_ context.Context, body string, _ int) ([]byte, error) {
			if strings.Contains(body, "well") || isCanary(body) {
				return []byte(`{"choices":[{"message":{"content":"x"},"finish_reason":"stop"}]}`), nil
			}
			return []byte(`{"choices":[{"message":{"tool_calls":[{"function":{"name":"w","arguments":"{city"}}]},"finish_reason":"tool_calls"}]}`), nil
		}}
		d := w.dispatcher(Options{Attempts: 3}, s)
		d.o.Serving = func(j batholith.Job) (Serving, error) {
			made, err := dialect.For("anthropic", dialect.ProtocolOpenAI, batholith.InvokeModel, dialect.Options{})
			return Serving{Model: j.ModelID, Backends: []Backend{s}, Dialect: always(made)}, err
		}
		d.Enqueue(w.jobOf("job", 60, 6, func(n int) string {
			return `{"anthropic_version":"bedrock-2023-05-31","max_tokens":9,"temperature":` + map[bool]string{true: "0", false: "1"}[n == 0] + `,"messages":[{"role":"user","content":"` + map[bool]string{true: "bad", false: "well"}[n < 2] + `"}]}`
		}))
		stop := w.start(d)
		w.await(60, "job")
		stop()
		for key, o := range w.outcomes["job"] {
			if key.Record > 1 {
				continue
			}
			want := map[bool]int{true: 1, false: 3}[key.Record == 0]
			if o.Attempts != want || !o.Errored || !strings.Contains(string(o.Line), "not a JSON object") {
				t.Errorf("record %d took %d attempts, want %d: %s", key.Record, o.Attempts, want, o.Line)
			}
		}
	})
}
