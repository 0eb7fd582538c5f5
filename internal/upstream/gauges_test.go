package upstream

import (
	"strings"
	"testing"
	"testing/iotest"

	"github.com/batholith/batholith"
)

func TestGaugesAreThoseOfEveryServerThatHasThem(t *testing.T) {
	for name, c := range map[string]struct {
		metrics string
		want    batholith.Gauges
		ok      bool
	}{
		"vLLM, two engines, another model": {`# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 12.0
vllm:num_requests_running{engine="1",model_name="m"} 8.0
vllm:num_requests_running{engine="0",model_name="other"} 100.0
vllm:num_requests_waiting{engine="0",model_name="m"} 3.0
vllm:num_requests_waiting{engine="1",model_name="m"} 0.0
vllm:num_requests_waiting_by_reason{engine="1",model_name="m",reason="capacity"} 77.0
`, batholith.Gauges{Running: 20, Waiting: 3}, true},
		"SGLang":                    {"sglang:num_running_reqs{model_name=\"m\"} 5.0\nsglang:num_queue_reqs{model_name=\"m\"} 1.0", batholith.Gauges{Running: 5, Waiting: 1}, true},
		"llama.cpp":                 {"llamacpp:requests_processing 4\nllamacpp:requests_deferred 2 1700000000000\n", batholith.Gauges{Running: 4, Waiting: 2}, true},
		"labels that hold anything": {`vllm:num_requests_running{a="x}, model_name=\"z\" ",model_name="m"} 1` + "\n" + `vllm:num_requests_waiting{path="C:\\"} 2`, batholith.Gauges{Running: 1, Waiting: 2}, true},
		"one of two":                {"vllm:num_requests_running 4\n", batholith.Gauges{}, false},
		"no number":                 {"llamacpp:requests_processing NaN\nllamacpp:requests_deferred 2\n", batholith.Gauges{}, false},
		"cut short":                 {"vllm:num_requests_running{engine=\"0", batholith.Gauges{}, false},
		"a page":                    {"<html>", batholith.Gauges{}, false},
		"a long line between":       {"llamacpp:requests_processing 4\n" + strings.Repeat("x", 100_000) + "\nllamacpp:requests_deferred 2\n", batholith.Gauges{Running: 4, Waiting: 2}, true},
	} {
		g, ok := serving(t, "m", map[string]string{"/metrics": c.metrics}).Gauges(t.Context())
		if ok != c.ok || ok && g != c.want {
			t.Errorf("%s: %+v, %v", name, g, ok)
		}
	}
	if _, ok := serving(t, "m", nil).Gauges(t.Context()); ok {
		t.Error("a server without metrics has gauges")
	}
}

func TestHalfOfTheMetricsIsNoReading(t *testing.T) {
	r := iotest.TimeoutReader(strings.NewReader("llamacpp:requests_processing 4\nllamacpp:requests_deferred 2\n" + strings.Repeat("#\n", 10_000)))
	if g, ok := readGauges(r, "m"); ok {
		t.Errorf("read %+v of metrics that broke off", g)
	}
}

func TestTheBoundOfTEIIsNotExceededByAQuarterMoreThanItsSlots(t *testing.T) {
	for info, most := range map[string]int{`{"model_id":"m","max_concurrent_requests":512}`: 512, `{"max_concurrent_requests":1}`: 1} {
		n, ok := serving(t, "m", map[string]string{"/info": info}).Slots(t.Context())
		if ok && n+(n+3)/4 > most {
			t.Errorf("%s: %d slots and a quarter more are too many", info, n)
		}
		if !ok && most > 1 {
			t.Errorf("%s was not read", info)
		}
	}
}

func FuzzGauges(f *testing.F) {
	f.Add("vllm:num_requests_running{a=\"b\",model_name=\"m\"} 1\n", "m")
	f.Fuzz(func(t *testing.T, metrics, model string) {
		if g, ok := readGauges(strings.NewReader(metrics), model); ok && (g.Running < 0 || g.Waiting < 0) {
			t.Errorf("%+v", g)
		}
	})
}
