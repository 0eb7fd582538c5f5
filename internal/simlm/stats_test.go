package simlm

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// get asks for a side path.
func get(s *Server, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	return w
}

// several sends so many requests at once.
func several(t *testing.T, s *Server, n int, all *sync.WaitGroup) {
	for i := range n {
		all.Go(func() { took(t, s, chatBody(fmt.Sprint(i))) })
	}
}

func TestTheAccountAddsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{Latency: 10 * time.Second, Slots: 4, Series: 5 * time.Second, OutputTokens: 7})
		var all sync.WaitGroup
		several(t, s, 2, &all)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		several(t, s, 6, &all)
		all.Wait()
		time.Sleep(10 * time.Second)
		st := s.Stats() // 2 ran, then 4 while 2 waited, then 2, then none; 10 s each
		want := Stats{Seconds: 40, Slots: 4, Busy: 0.5, Idle: 0.5, Loaded: Loaded{Seconds: 30, Busy: 80. / 120, RunningMean: 80. / 30, WaitingMean: 20. / 30}, Work: Work{Seconds: 30, Answered: 8},
			RunningMean: 2, RunningMax: 4, WaitingMean: 0.5, WaitingMax: 2, InFlightMean: 2.5, InFlightMax: 6,
			Totals: Totals{Requests: 8, Answered: 8, PromptTokens: st.PromptTokens, PrefilledTokens: st.PromptTokens, GeneratedTokens: 56},
			Wait:   Waits{P50: 0, P95: 10, Max: 10},
			Series: &Series{Interval: 5, Running: []int{2, 2, 4, 4, 2, 2, 0, 0}, Waiting: []int{0, 0, 2, 2, 0, 0, 0, 0}, Slots: []int{4, 4, 4, 4, 4, 4, 4, 4}}}
		if !reflect.DeepEqual(st, want) || st.PromptTokens == 0 {
			t.Errorf("got  %+v %+v\nwant %+v %+v", st, st.Series, want, want.Series)
		}
	})
}

func TestThoseFromWhomASlotIsTakenStillTakeOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{Latency: 10 * time.Second, Schedule: []Slots{{0, 4}, {5 * time.Second, 1}}})
		var all sync.WaitGroup
		several(t, s, 4, &all)
		all.Wait()
		if st := s.Stats(); st.Busy != 1 || st.Slots != 1 {
			t.Errorf("%+v", st)
		}
	})
}

func TestAResetBeginsTheAccountAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{Step: time.Second, Schedule: []Slots{{0, 2}, {20 * time.Second, 1}}, OutputTokens: 10, Series: time.Second})
		var all sync.WaitGroup
		several(t, s, 3, &all)
		time.Sleep(5500 * time.Millisecond)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest("POST", "/simulated/reset", nil))
		if w.Code != http.StatusNoContent {
			t.Fatalf("%d: %s", w.Code, w.Body)
		}
		if st := s.Stats(); st.Requests != 0 || st.Steps != 0 || st.Seconds != 0 || st.Running != 2 || st.Waiting != 1 || st.RunningMax != 2 {
			t.Errorf("after the reset: %+v", st)
		}
		all.Wait()
		time.Sleep(19*time.Second - time.Duration(s.Stats().Seconds*float64(time.Second)))
		if st := s.Stats(); st.Answered != 3 || st.Slots != 2 || len(st.Series.Running) != 19 {
			t.Errorf("19 s after it: %+v", st)
		}
		if total := get(s, "/metrics").Body.String(); !strings.Contains(total, "llamacpp:tokens_predicted_total 30\n") {
			t.Errorf("the counters should go on: %s", total)
		}
		time.Sleep(time.Second)
		if st := s.Stats(); st.Slots != 1 {
			t.Errorf("the schedule should count from the reset: %+v", st)
		}
	})
}

func TestALongSeriesKeepsItsWholeTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{Latency: time.Hour, Series: 100 * time.Millisecond})
		took(t, s, chatBody("x"))
		time.Sleep(time.Hour + time.Second)
		m := s.Stats().Series
		ran := 0
		for _, n := range m.Running {
			ran += n
		}
		if m.Interval != 0.4 || float64(len(m.Running))*m.Interval < 7200 || float64(ran)*m.Interval != 3600 {
			t.Errorf("every %v s: %d moments, %d of them with one running", m.Interval, len(m.Running), ran)
		}
	})
}

func TestTheGaugesAreWhatRunsAndWaits(t *testing.T) {
	for engine, names := range map[Engine][4]string{
		EngineVLLM:     {"vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:generation_tokens_total", "vllm:kv_cache_usage_perc"},
		EngineSGLang:   {"sglang:num_running_reqs", "sglang:num_queue_reqs", "sglang:generation_tokens_total", "sglang:token_usage"},
		EngineLlamaCPP: {"llamacpp:requests_processing", "llamacpp:requests_deferred", "llamacpp:tokens_predicted_total", ""},
		EngineLMDeploy: {"lmdeploy:num_requests_running", "lmdeploy:num_requests_waiting", "lmdeploy:generation_tokens_total", "lmdeploy:gpu_cache_usage_perc"},
		EngineTRTLLM:   {"trtllm_num_requests_running", "trtllm_num_requests_waiting", "trtllm_generation_tokens_total", "trtllm_kv_cache_utilization"},
	} {
		t.Run(string(engine), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := New(Options{Engine: engine, Step: time.Second, Slots: 3, OutputTokens: 10, Cache: 1000})
				var all sync.WaitGroup
				several(t, s, 5, &all)
				time.Sleep(4500 * time.Millisecond) // the first has 4 tokens, the two that joined it 3
				prompt := s.Stats().PromptTokens
				for name, want := range map[string]string{names[0]: "3", names[1]: "2", names[2]: "10", names[3]: fmt.Sprint(float64(prompt+10) / 1000)} {
					if name != "" {
						gauge(t, s, name, want)
					}
				}
				all.Wait()
				gauge(t, s, names[0], "0")
				gauge(t, s, names[1], "0")
				gauge(t, s, names[2], "50")
				if names[3] != "" {
					gauge(t, s, names[3], "0")
				}
			})
		})
	}
}

// gauge checks one line of /metrics, and that it is announced.
func gauge(t *testing.T, s *Server, name, want string) {
	t.Helper()
	text := get(s, s.metricsPath()).Body.String()
	m := regexp.MustCompile(`(?m)^` + name + `(?:\{[^}]*\})? (\S+)$`).FindStringSubmatch(text)
	if m == nil || m[1] != want || !strings.Contains(text, "# TYPE "+name+" ") {
		t.Errorf("%s is %v, want %s in:\n%s", name, m, want, text)
	}
}

func TestCacheHitsAreCounted(t *testing.T) {
	body := chatBody(strings.Repeat("x", 1000))
	for engine, names := range map[Engine][2]string{EngineVLLM: {"vllm:prefix_cache_hits_total", "240"}, EngineSGLang: {"sglang:cache_hit_rate", ""}} {
		s := New(Options{Engine: engine, Cache: 1 << 16})
		prompt := read[usageOf](t, ask(s, chat, body)).Usage.Prompt
		if cached := read[usageOf](t, ask(s, chat, body)).Usage.Details.Cached; cached != 240 {
			t.Fatalf("%d tokens of %d from the cache, want 15 blocks", cached, prompt)
		}
		want := names[1]
		if want == "" {
			want = fmt.Sprint(240 / float64(2*prompt))
		}
		gauge(t, s, names[0], want)
	}
}

func TestAnEngineHasItsOwnSidePathsOnly(t *testing.T) {
	for engine, paths := range map[Engine]string{
		EngineVLLM: "/health /metrics", EngineSGLang: "/health /metrics /v1/loads /server_info", EngineLlamaCPP: "/health /metrics /props", EngineTEI: "/health /info", EngineNone: "",
		EngineTGI: "/health /info /metrics", EngineLMDeploy: "/health /metrics", EngineTRTLLM: "/health /metrics /prometheus/metrics", EngineSGLangLoads: "/health /v1/loads /server_info",
		EngineRouter: "/health /props",
	} {
		s := New(Options{Engine: engine, Slots: 4, Queue: 6})
		for _, path := range []string{"/health", "/metrics", "/props", "/info", "/v1/loads", "/server_info", "/prometheus/metrics"} {
			want := http.StatusNotFound
			if slices.Contains(strings.Fields(paths), path) {
				want = http.StatusOK
			} else if engine == EngineRouter && path == "/metrics" { // without a model
				want = http.StatusBadRequest
			}
			if w := get(s, path); w.Code != want {
				t.Errorf("%s: %s is answered %d, want %d", engine, path, w.Code, want)
			}
		}
		if engine == EngineTEI && !strings.Contains(get(s, "/info").Body.String(), `"max_concurrent_requests":10`) {
			t.Errorf("%s: %s", engine, get(s, "/info").Body)
		}
		if w := get(s, "/simulated/stats"); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"in_flight_max":0`) {
			t.Errorf("%s: %d %s", engine, w.Code, w.Body)
		}
	}
}

// A request of the lowest priority waits until nothing else does, and a server without priorities refuses it or takes it as any other.
func TestARequestWaitsByItsPriority(t *testing.T) {
	for _, c := range []struct {
		priorities Priorities
		lowest     string
		status     int
		wait       float64 // of others beside 48 requests of the lowest priority in 16 slots, at most
	}{
		{PrioritiesLow, "2147483647", 200, 0.5}, {PrioritiesHigh, "-9223372036854775808", 200, 0.5}, {PrioritiesIgnored, "9", 200, 9},
		{PrioritiesRefused, "9", 400, 0}, {PrioritiesRefused, "0", 200, 9}, {PrioritiesAborted, "0", 503, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := New(Options{Priorities: c.priorities, Step: 20 * time.Millisecond, Slots: 16, OutputTokens: 50, Others: Background{Rate: 2, PromptTokens: 64, OutputTokens: 20}})
			if w := ask(s, chat, chatBody("x", `,"priority":`+c.lowest)); w.Code != c.status {
				t.Fatalf("%q: priority %s is answered %d %s", c.priorities, c.lowest, w.Code, w.Body)
			}
			if c.status != 200 {
				return
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var all sync.WaitGroup
			defer all.Wait()
			all.Go(func() { s.Run(ctx) })
			for n := range 48 {
				all.Go(func() {
					for ctx.Err() == nil {
						attempt(ctx, s, chat, chatBody(fmt.Sprint(n), `,"priority":`+c.lowest))
					}
				})
			}
			<-ctx.Done()
			wait := s.Stats().Others.Wait
			if held := c.wait < 1; held != (wait.P50 < c.wait && wait.P50 < 0.6) {
				t.Errorf("%q, %s: others wait %v", c.priorities, c.lowest, wait)
			}
		})
	}
}

func TestOthersWaitWhenTheQueueIsOurs(t *testing.T) {
	others := func(clients int) (w Waits) {
		synctest.Test(t, func(t *testing.T) {
			s := New(Options{Step: 20 * time.Millisecond, Slots: 16, OutputTokens: 50, Others: Background{Rate: 2, PromptTokens: 64, OutputTokens: 20}})
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- s.Run(ctx) }()
			load(t, s, clients, 3*time.Minute)
			cancel()
			<-ended
			st := s.Stats()
			if n := st.Others.Requests; n < 310 || n > 410 {
				t.Errorf("%d requests of others in three minutes, want about 360", n)
			}
			w = st.Others.Wait
		})
		return w
	}
	if few := others(8); few.P95 > 0.02 { // the end of the step
		t.Errorf("beside 8 in 16 slots others wait %v", few)
	}
	if many := others(48); many.P50 < 1 { // 32 before them, at 16 a second
		t.Errorf("beside 48 in 16 slots others wait only %v", many)
	}
}

// What the batch costs a process: one step of so many sequences, and a request that passes through the queue.
func BenchmarkStep(b *testing.B) {
	s := New(Options{Step: time.Hour, Slots: 256})
	for range 256 {
		if err := s.batch.enter(&sequence{prompt: 200, output: 1 << 40}); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		s.batch.end()
	}
}

func BenchmarkAnswerThroughTheBatch(b *testing.B) {
	s := New(Options{Slots: 64, Cache: 1 << 16})
	body := chatBody(strings.Repeat("The quick brown fox. ", 50), `,"max_tokens":256,"temperature":0.2`)
	b.ReportAllocs()
	for b.Loop() {
		if w := ask(s, chat, body); w.Code != http.StatusOK {
			b.Fatal(w.Body)
		}
	}
}
