package dispatch

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/dialect"
	"github.com/batholith/batholith/internal/simlm"
	"github.com/batholith/batholith/internal/upstream"
)

// logged keeps what a dispatcher logs.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logged) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), s)
}

// Records carry the server's lowest priority where the server has priorities. A server that refuses them gets the same records without, which
// costs no attempt, and the log says so once.
func TestBatchRequestsHaveTheLowestPriorityOfTheirServer(t *testing.T) {
	for name, c := range map[string]struct {
		server   simlm.Options
		priority string
		sent     string // in the requests that are answered
		refused  bool   // some requests are refused first
		log      string
	}{
		"vLLM":                       {simlm.Options{Engine: simlm.EngineVLLM, Priorities: simlm.PrioritiesLow}, "lowest", `"priority":2147483647`, false, ""},
		"vLLM without the flag":      {simlm.Options{Engine: simlm.EngineVLLM, Priorities: simlm.PrioritiesRefused}, "lowest", "", true, "backend refuses priorities"},
		"SGLang":                     {simlm.Options{Engine: simlm.EngineSGLang, Priorities: simlm.PrioritiesHigh}, "lowest", `"priority":-9223372036854775808`, false, ""},
		"SGLang the other way":       {simlm.Options{Engine: simlm.EngineSGLang, Priorities: simlm.PrioritiesLow}, "lowest", `"priority":9223372036854775807`, false, ""},
		"SGLang without the flag":    {simlm.Options{Engine: simlm.EngineSGLang, Priorities: simlm.PrioritiesAborted}, "lowest", "", false, "without --enable-priority-scheduling"},
		"SGLang, a number":           {simlm.Options{Engine: simlm.EngineSGLang, Priorities: simlm.PrioritiesAborted}, "-5", "", true, "backend refuses priorities"},
		"a number":                   {simlm.Options{Engine: simlm.EngineVLLM, Priorities: simlm.PrioritiesLow}, "7", `"priority":7`, false, ""},
		"a server that does not say": {simlm.Options{Engine: simlm.EngineNone}, "lowest", `"priority":2147483647`, false, "taken for one that serves higher numbers later"},
		"unset":                      {simlm.Options{Engine: simlm.EngineVLLM, Priorities: simlm.PrioritiesLow}, "", "", false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, log := newWorld(t), &logged{}
				server := simlm.New(c.server)
				b, err := upstream.New(upstream.Options{URL: "http://sim/v1", Model: simlm.Model, Priority: c.priority, Transport: upstream.InProcess(server)})
				if err != nil {
					t.Fatal(err)
				}
				watched := &overheard{Backend: b}
				d := w.dispatcher(Options{Log: slog.New(slog.NewTextHandler(log, nil)), Canary: noCanary}, watched)
				d.o.Serving = func(j batholith.Job) (Serving, error) {
					made, err := dialect.For("openai", dialect.ProtocolOpenAI, batholith.InvokeModel, dialect.Options{})
					return Serving{Model: j.ModelID, Backends: []Backend{watched}, Dialect: always(made)}, err
				}
				d.Enqueue(w.jobOf("job", 40, 8, func(int) string { return `{"messages":[{"role":"user","content":"x"}]}` }))
				stop := w.start(d)
				w.await(40, "job")
				stop()
				for key, o := range w.outcomes["job"] {
					if o.Errored || o.Attempts != 1 {
						t.Errorf("record %d: %d attempts, %s", key.Record, o.Attempts, o.Line)
					}
				}
				for _, body := range watched.answered {
					if strings.Contains(body, "priority") != (c.sent != "") || !strings.Contains(body, c.sent) {
						t.Errorf("answered was %s, want %q in it", body, c.sent)
					}
				}
				if (watched.refused > 0) != c.refused {
					t.Errorf("%d requests were refused", watched.refused)
				}
				if n := log.count("priorit"); (n > 0) != (c.log != "") || c.log != "" && log.count(c.log) != 1 {
					t.Errorf("the log: %s", log.text.String())
				}
			})
		})
	}
}

// overheard is a backend that keeps the bodies of its answered requests.
type overheard struct {
	*upstream.Backend
	mu       sync.Mutex
	answered []string
	refused  int
}

// Do implements Backend.
func (o *overheard) Do(ctx context.Context, call batholith.Call) ([]byte, error) {
	body, err := o.Backend.Do(ctx, call)
	o.mu.Lock()
	defer o.mu.Unlock()
	if err != nil {
		o.refused++
		return body, err
	}
	o.answered = append(o.answered, string(call.Body))
	return body, nil
}

// The load of every simulated engine is read from the page that it has, and the first limit from the slots that it publishes.
func TestTheLoadOfEveryEngineIsReadFromItsOwnPage(t *testing.T) {
	for _, engine := range simlm.Engines {
		synctest.Test(t, func(t *testing.T) {
			server := simlm.New(simlm.Options{Engine: engine, Model: "m", Slots: 3, Queue: 7, Latency: time.Second})
			b, err := upstream.New(upstream.Options{URL: "http://sim/v1", Model: "m", Transport: upstream.InProcess(server)})
			if err != nil {
				t.Fatal(err)
			}
			var all sync.WaitGroup
			for range 5 {
				all.Go(func() {
					if _, err := b.Do(t.Context(), batholith.Call{Path: "/chat/completions", Body: []byte(`{"messages":[{"role":"user","content":"x"}]}`)}); err != nil {
						t.Error(err)
					}
				})
			}
			synctest.Wait()
			g, ok := b.Gauges(t.Context())
			if has := engine != simlm.EngineTEI && engine != simlm.EngineNone; ok != has || has && g != (batholith.Gauges{Running: 3, Waiting: 2}) {
				t.Errorf("%s: %+v, %v", engine, g, ok)
			}
			want := map[simlm.Engine]int{simlm.EngineLlamaCPP: 3, simlm.EngineRouter: 3, simlm.EngineTEI: 8, simlm.EngineTGI: 8}[engine]
			if n, ok := b.Slots(t.Context()); n != want || ok != (want > 0) {
				t.Errorf("%s: %d slots, %v, want %d", engine, n, ok, want)
			}
			all.Wait()
		})
	}
}
