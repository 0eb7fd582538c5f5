package dispatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/dialect"
	"github.com/batholith/batholith/internal/simlm"
	"github.com/batholith/batholith/internal/upstream"
)

// rig is a lane that never runs out of records, and a simulated server behind it: the limiter and its watcher without the rest of dispatch.
type rig struct {
	t      *testing.T
	server *simlm.Server
	lane   *lane
	trace  []Sample
}

// transit is how long a request and its answer are on their ways, together.
const transit = 4 * time.Millisecond

func newRig(t *testing.T, o simlm.Options, memory Memory) *rig {
	o.OutputTokens, o.OutputTokensMax = 20, 120
	o.Step, o.Prefill, o.Chunk = 20*time.Millisecond, 5*time.Microsecond, 8192
	o.Model = "m"
	r := &rig{t: t, server: simlm.New(o)}
	b, err := upstream.New(upstream.Options{URL: "http://sim/v1", Model: "m", Transport: upstream.InProcess(r.server)})
	if err != nil {
		t.Fatal(err)
	}
	d := New(Options{Log: slog.New(slog.DiscardHandler), Memory: memory, Trace: func(s Sample) { r.trace = append(r.trace, s) }})
	r.lane = newLane(&queue{d: d}, b)
	return r
}

// run keeps the server as full as the limiter wants until the time is over; then everything ends.
func (r *rig) run(d time.Duration) {
	ctx, cancel := context.WithTimeout(r.t.Context(), d)
	defer cancel()
	var all sync.WaitGroup
	defer all.Wait()
	r.lane.learn(ctx)
	all.Go(func() { r.lane.watch(ctx) })
	all.Go(func() { r.server.Run(ctx) })
	for n := 0; r.lane.limit.acquire(ctx) == nil; n++ {
		all.Go(func() {
			defer r.lane.limit.release()
			r.ask(ctx, n)
		})
	}
}

func (r *rig) ask(ctx context.Context, n int) {
	l := r.lane.limit
	f := l.begin()
	time.Sleep(transit / 2)
	body, err := r.lane.backend.Do(ctx, batholith.Call{Path: "/chat/completions",
		Body: fmt.Appendf(nil, `{"messages":[{"role":"user","content":"%d %0900d"}]}`, n, n)})
	time.Sleep(transit / 2)
	l.land(&f)
	var bad *batholith.Failure
	switch {
	case err == nil:
		l.succeeded(f, float64(dialect.Usage(body).Output))
	case errors.As(err, &bad) && bad.Kind == batholith.FailureBackPressure:
		l.refused(f, bad.RetryAfter)
	case ctx.Err() == nil:
		r.t.Errorf("the server: %v", err)
	}
}

// picture is how full the server was.
type picture struct {
	saturated time.Duration // from the start until 0.98 of the slots were busy for a second
	busy      float64       // share of the slots' time, from the time at which it should be full
	inFlight  float64       // the most in flight for each slot, from settled on
	peak      float64       // and from the start
	waiting   float64       // mean, for each slot, from settled on
}

func (r *rig) picture(full, settled, until time.Duration) picture {
	s := r.server.Stats().Series
	var p picture
	var busy, offered, waiting, slots float64
	run := 0
	for i := range s.Running {
		at := time.Duration(float64(i) * s.Interval * float64(time.Second))
		if at > until {
			break
		}
		have := float64(s.Slots[i])
		if float64(s.Running[i]) >= 0.98*have {
			run++
		} else {
			run = 0
		}
		if p.saturated == 0 && run == int(1/s.Interval) {
			p.saturated = at - time.Second
		}
		flying := float64(s.Running[i]+s.Waiting[i]) / have
		p.peak = max(p.peak, flying)
		if at >= full {
			busy += float64(s.Running[i])
			offered += have
		}
		if at >= settled {
			p.inFlight = max(p.inFlight, flying)
			waiting += float64(s.Waiting[i])
			slots += have
		}
	}
	p.busy, p.waiting = busy/offered, waiting/slots
	if p.saturated == 0 {
		p.saturated = until
	}
	if name := os.Getenv("TRACE"); name != "" {
		f, _ := os.Create(fmt.Sprintf("%s-%d.csv", name, time.Now().UnixNano()))
		defer f.Close()
		for _, s := range r.trace {
			fmt.Fprintf(f, "%d,%s,%d,%d,%d,%d,%.1f\n", s.At.UnixMilli(), s.Source, s.Limit, s.InFlight, s.Gauges.Running, s.Gauges.Waiting, s.Goodput)
		}
	}
	return p
}

func TestYY(t *testing.T) {
	for _, c := range []struct {
		name string
		o    simlm.Options
	}{
		{"vllm others", simlm.Options{Engine: simlm.EngineVLLM, Slots: 64, Others: simlm.Background{Rate: 12}}},
		{"sglang others", simlm.Options{Engine: simlm.EngineSGLang, Slots: 256, Others: simlm.Background{Rate: 30}}},
		{"llama others", simlm.Options{Engine: simlm.EngineLlamaCPP, Slots: 8, Others: simlm.Background{Rate: 2}}},
		{"none others", simlm.Options{Engine: simlm.EngineNone, Slots: 64, Others: simlm.Background{Rate: 12}}},
		{"vllm up", simlm.Options{Engine: simlm.EngineVLLM, Schedule: change(64, 256)}},
		{"vllm down", simlm.Options{Engine: simlm.EngineVLLM, Schedule: change(256, 64)}},
		{"none up", simlm.Options{Engine: simlm.EngineNone, Schedule: change(64, 256)}},
		{"none down", simlm.Options{Engine: simlm.EngineNone, Schedule: change(256, 64)}},
		{"llama up", simlm.Options{Engine: simlm.EngineLlamaCPP, Schedule: change(64, 256)}},
		{"none 503 retry after 1", simlm.Options{Engine: simlm.EngineNone, Slots: 256, Queue: 32, RefuseStatus: 503, RetryAfter: time.Second}},
		{"vllm 503 retry after 1", simlm.Options{Engine: simlm.EngineVLLM, Slots: 256, Queue: 32, RefuseStatus: 503, RetryAfter: time.Second}},
		{"none queue up", simlm.Options{Engine: simlm.EngineNone, Queue: 8, Schedule: change(64, 256)}},
		{"none queue down", simlm.Options{Engine: simlm.EngineNone, Queue: 32, Schedule: change(256, 64)}},
		{"tei", simlm.Options{Engine: simlm.EngineTEI, Slots: 256, Queue: 32}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c.o.Decode, c.o.Series = 20*time.Millisecond/256/2, 50*time.Millisecond
				r := newRig(t, c.o, nil)
				r.run(180 * time.Second)
				st := r.server.Stats()
				p := r.picture(10*time.Second, 30*time.Second, 59*time.Second)
				t.Logf("%v saturated %.1fs busy %.4f inflight %.2f peak %.2f waiting %.3f refused %d of %d others %+v", t.Name(), p.saturated.Seconds(), p.busy, p.inFlight, p.peak, p.waiting, st.Refused, st.Requests, st.Others)
				p = r.picture(100*time.Second, 120*time.Second, 179*time.Second)
				t.Logf("%v saturated %.1fs busy %.4f inflight %.2f peak %.2f waiting %.3f refused %d of %d others %+v", t.Name(), p.saturated.Seconds(), p.busy, p.inFlight, p.peak, p.waiting, st.Refused, st.Requests, st.Others)
			})
		})
	}
}

func TestXX(t *testing.T) {
	for _, slots := range []int{8, 64, 256, 1024} {
		for _, engine := range []simlm.Engine{simlm.EngineVLLM, simlm.EngineLlamaCPP, simlm.EngineNone} {
			for _, queue := range []int{0, -1, slots / 8} {
				t.Run(fmt.Sprint(slots, engine, queue), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						r := newRig(t, simlm.Options{Engine: engine, Slots: slots, Queue: queue, Decode: 20 * time.Millisecond / 256 / 2, Series: 50 * time.Millisecond}, nil)
						r.run(150 * time.Second)
						p := r.picture(10*time.Second, 60*time.Second, 149*time.Second)
						st := r.server.Stats()
						t.Logf("%v saturated %.1fs busy %.4f inflight %.2f peak %.2f waiting %.3f refused %d of %d", t.Name(), p.saturated.Seconds(), p.busy, p.inFlight, p.peak, p.waiting, st.Refused, st.Requests)
					})
				})
			}
		}
	}
}

func change(from, to int) []simlm.Slots {
	return []simlm.Slots{{Count: from}, {From: time.Minute, Count: to}}
}
