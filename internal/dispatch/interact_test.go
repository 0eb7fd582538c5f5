package dispatch

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/dialect"
	"github.com/batholith/batholith/internal/raced"
	"github.com/batholith/batholith/internal/simlm"
	"github.com/batholith/batholith/internal/upstream"
)

// service is a dispatcher with a job of many records, beside which interactive calls are made, and its simulated server.
type service struct {
	t      *testing.T
	d      *Dispatcher
	w      *world
	server *simlm.Server
	s      Serving
}

// loaded makes a service whose server has steps of 20 ms and more. records is the size of its job; 0: there is none.
func loaded(t *testing.T, o simlm.Options, records int) *service {
	o.OutputTokens, o.OutputTokensMax = 20, 120
	o.Step, o.Decode, o.Prefill, o.Chunk = 20*time.Millisecond, 40*time.Microsecond, 5*time.Microsecond, 8192
	o.Model, o.Series = "m", 50*time.Millisecond
	v := &service{t: t, w: newWorld(t), server: simlm.New(o)}
	b, err := upstream.New(upstream.Options{URL: "http://sim/v1", Model: "m", Transport: upstream.InProcess(v.server)})
	if err != nil {
		t.Fatal(err)
	}
	v.d = v.w.dispatcher(Options{}, b)
	v.s = Serving{Model: "model", Backends: []Backend{b}, Dialect: always(talkative{})}
	v.d.o.Serving = func(batholith.Job) (Serving, error) { return v.s, nil }
	if records > 0 {
		v.d.Enqueue(v.w.job("a", records, 512))
	}
	return v
}

// talkative asks for a record as a chat. A body {"tokens":n} bounds the answer to n tokens.
type talkative struct{}

func (talkative) Request(input []byte, _ string) (batholith.Call, error) {
	most := 1000
	fmt.Sscanf(string(input), `{"tokens":%d`, &most)
	return batholith.Call{Path: "/chat/completions", Body: fmt.Appendf(nil, `{"messages":[{"role":"user","content":%q}],"max_tokens":%d}`, input, most)}, nil
}

func (talkative) Answer(_ []byte, _ batholith.Call, body []byte) (batholith.Answer, error) {
	return batholith.Answer{Output: body, Tokens: dialect.Usage(dialect.ProtocolOpenAI, body)}, nil
}

// call makes a call with so many output tokens and returns the time that it took.
func (v *service) call(tokens int) time.Duration {
	began := time.Now()
	err := v.d.Interact(v.t.Context(), v.s, Request{Body: fmt.Appendf(nil, `{"tokens":%d,"n":%d}`, tokens, began.UnixNano())}, func(ctx context.Context, turn *Turn) error {
		_, err := turn.Ask(ctx)
		return err
	})
	if err != nil {
		v.t.Errorf("call: %v", err)
	}
	return time.Since(began)
}

// traffic makes calls until the time is over.
type traffic struct {
	name string
	run  func(until time.Time, call func())
}

func traffics() []traffic {
	return []traffic{
		{"at random, 3 a second", func(until time.Time, call func()) {
			var all sync.WaitGroup
			defer all.Wait()
			for random := rand.New(rand.NewPCG(1, 2)); time.Now().Before(until); {
				time.Sleep(time.Duration(random.ExpFloat64() * float64(time.Second) / 3))
				all.Go(call)
			}
		}},
		{"four at once, every 4 s", func(until time.Time, call func()) {
			var all sync.WaitGroup
			defer all.Wait()
			for time.Now().Before(until) {
				for range 4 {
					all.Go(call)
				}
				time.Sleep(4 * time.Second)
			}
		}},
		{"one after another", func(until time.Time, call func()) {
			for time.Now().Before(until) {
				call()
				time.Sleep(300 * time.Millisecond)
			}
		}},
	}
}

// Interactive calls go ahead of a batch that would fill the server: at the 95th percentile the first token comes at most two steps of the
// loaded server later than from an idle one. The batch keeps nine tenths of what the calls leave.
func TestInteractiveCallsHardlyWaitBesideABatch(t *testing.T) {
	for i, o := range []simlm.Options{
		{Engine: simlm.EngineVLLM, Slots: 64},
		{Engine: simlm.EngineSGLang, Slots: 256},
		{Engine: simlm.EngineLlamaCPP, Slots: 64},
	} {
		for j, calls := range traffics() {
			if raced.On && (i != 0 || j != 0) {
				continue
			}
			t.Run(fmt.Sprintf("%s, %d slots, %s", o.Engine, o.Slots, calls.name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					idle := time.Duration(0)
					func() {
						v := loaded(t, o, 0)
						defer v.w.start(v.d)()
						v.call(1)
						idle = v.call(1)
					}()
					v := loaded(t, o, 60*o.Slots)
					defer v.w.start(v.d)()
					const alone, warm, measured = 10 * time.Second, 10 * time.Second, 30 * time.Second
					time.Sleep(alone / 2)
					v.server.Reset()
					time.Sleep(alone / 2)
					before := v.server.Stats()
					var mu sync.Mutex
					var first []time.Duration
					var beside time.Duration // of all calls' time in flight
					from := time.Now().Add(warm)
					random := rand.New(rand.NewPCG(3, 4))
					one := func() {
						mu.Lock()
						tokens := 1
						if random.IntN(2) == 0 {
							tokens = 10 + random.IntN(60)
						}
						began := time.Now()
						mu.Unlock()
						took := v.call(tokens)
						mu.Lock()
						defer mu.Unlock()
						if began.Before(from) {
							return
						}
						beside += took
						if tokens == 1 {
							first = append(first, took)
						}
					}
					var measure sync.WaitGroup
					var after simlm.Stats
					measure.Go(func() {
						time.Sleep(warm)
						v.server.Reset()
						time.Sleep(measured)
						after = v.server.Stats()
					})
					calls.run(from.Add(measured), one)
					measure.Wait()
					step := 20*time.Millisecond + time.Duration(o.Slots)*40*time.Microsecond
					slices.Sort(first)
					p95 := first[len(first)*95/100]
					left := 1 - beside.Seconds()/measured.Seconds()/float64(o.Slots)
					kept := (after.RunningMean - beside.Seconds()/measured.Seconds()) / before.RunningMean / left
					t.Logf("%d calls: idle %s, p50 %s, p95 %s, max %s; step %s; batch runs %.1f before, %.1f beside %.1f: keeps %.3f", len(first), idle, first[len(first)/2], p95, first[len(first)-1], step,
						before.RunningMean, after.RunningMean, beside.Seconds()/measured.Seconds(), kept)
					if most := idle + 2*step; p95 > most {
						t.Errorf("p95 of the time to the first token is %s, want at most %s", p95, most)
					}
					if kept < 0.9 {
						t.Errorf("the batch keeps %.3f of what the calls leave, want 0.9", kept)
					}
				})
			})
		}
	}
}
