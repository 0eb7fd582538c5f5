package upstream

import (
	"net/http"
	"net/http/httptest"
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
		"SGLang":    {"sglang:num_running_reqs{model_name=\"m\"} 5.0\nsglang:num_queue_reqs{model_name=\"m\"} 1.0", batholith.Gauges{Running: 5, Waiting: 1}, true},
		"llama.cpp": {"llamacpp:requests_processing 4\nllamacpp:requests_deferred 2 1700000000000\n", batholith.Gauges{Running: 4, Waiting: 2}, true},
		"SGLang since 0.5.4, two data-parallel ranks": {`sglang_num_running_reqs{dp_rank="0",engine_type="unified",model_name="m",moe_ep_rank="0",pp_rank="0",tp_rank="0"} 5.0
sglang_num_running_reqs{dp_rank="1",engine_type="unified",model_name="m",moe_ep_rank="0",pp_rank="0",tp_rank="0"} 6.0
sglang_num_queue_reqs{dp_rank="0",model_name="m",tp_rank="0"} 1.0
sglang_num_queue_reqs{dp_rank="1",model_name="m",tp_rank="0"} 2.0
sglang_num_grammar_queue_reqs{model_name="m"} 50.0
`, batholith.Gauges{Running: 11, Waiting: 3}, true},
		"SGLang with the metrics of every rank": {`sglang:num_running_reqs{model_name="m",tp_rank="0"} 5.0
sglang:num_running_reqs{model_name="m",tp_rank="1"} 4.0
sglang:num_queue_reqs{model_name="m",tp_rank="0"} 2.0
sglang:num_queue_reqs{model_name="m",tp_rank="1"} 2.0
`, batholith.Gauges{Running: 5, Waiting: 2}, true},
		"SGLang with priorities": {`sglang:num_running_reqs{model_name="m",priority="",tp_rank="0"} 7.0
sglang:num_running_reqs{model_name="m",priority="-9",tp_rank="0"} 4.0
sglang:num_running_reqs{model_name="m",priority="0",tp_rank="0"} 3.0
sglang:num_queue_reqs{model_name="m",priority="",tp_rank="0"} 2.0
sglang:num_queue_reqs{model_name="m",priority="-9",tp_rank="0"} 2.0
`, batholith.Gauges{Running: 7, Waiting: 2}, true},
		"SGLang's loads as metrics": {"sglang_num_running_reqs{dp_rank=\"0\"} 5\nsglang_num_waiting_reqs{dp_rank=\"0\"} 1\n", batholith.Gauges{Running: 5, Waiting: 1}, true},
		"both names of SGLang":      {"sglang:num_running_reqs 5\nsglang:num_queue_reqs 1\n", batholith.Gauges{Running: 5, Waiting: 1}, true},
		"LMDeploy, two engines": {`lmdeploy:num_api_requests_routed{engine="0",model_name="m"} 30.0
lmdeploy:num_api_requests_waiting{engine="0",model_name="m"} 4.0
lmdeploy:num_requests_running{engine="0",model_name="m"} 12.0
lmdeploy:num_requests_running{engine="1",model_name="m"} 8.0
lmdeploy:num_requests_waiting{engine="0",model_name="m"} 3.0
lmdeploy:num_requests_waiting{engine="1",model_name="m"} 1.0
`, batholith.Gauges{Running: 20, Waiting: 8}, true},
		"TensorRT-LLM": {`trtllm_num_requests_running{engine_type="undefined",model_name="m"} 3.0
trtllm_num_requests_waiting{engine_type="undefined",model_name="m"} 2.0
trtllm_num_requests_completed_total{engine_type="undefined",model_name="m"} 900.0
`, batholith.Gauges{Running: 3, Waiting: 2}, true},
		"Dynamo":                {"trtllm:num_requests_running 3\ntrtllm:num_requests_waiting 2\n", batholith.Gauges{Running: 3, Waiting: 2}, true},
		"TGI":                   {"tgi_batch_current_size 6\ntgi_queue_size 2\ntgi_request_count{method=\"generate\"} 70\n", batholith.Gauges{Running: 6, Waiting: 2}, true},
		"Aphrodite":             {"aphrodite:num_requests_running{model_name=\"m\"} 6\naphrodite:num_requests_waiting{model_name=\"m\"} 2\n", batholith.Gauges{Running: 6, Waiting: 2}, true},
		"MAX":                   {"maxserve_num_requests_running 6\nmaxserve_num_requests_queued 2\nmaxserve_num_requests_awaiting_admission 1\n", batholith.Gauges{Running: 6, Waiting: 3}, true},
		"NIM":                   {"num_requests_running{model_name=\"m\"} 6\nnum_requests_waiting{model_name=\"m\"} 2\nnum_request_max{model_name=\"m\"} 2048\n", batholith.Gauges{Running: 6, Waiting: 2}, true},
		"one engine twice":      {"num_requests_running 6\nnum_requests_waiting 2\nvllm:num_requests_running 6\nvllm:num_requests_waiting 2\n", batholith.Gauges{Running: 6, Waiting: 2}, true},
		"llama.cpp's router":    {"llamacpp_router:model_up{model=\"m\"} 1\nllamacpp:requests_processing{model=\"m\"} 4\nllamacpp:requests_deferred{model=\"m\"} 2\nllamacpp:requests_processing{model=\"n\"} 9\nllamacpp:requests_deferred{model=\"n\"} 9\n", batholith.Gauges{Running: 4, Waiting: 2}, true},
		"the first served name": {"vllm:num_requests_running{model_name=\"org/m-awq\"} 4\nvllm:num_requests_waiting{model_name=\"org/m-awq\"} 2\n", batholith.Gauges{Running: 4, Waiting: 2}, true},
		"only other models": {`vllm:num_requests_running{model_name="a"} 4
vllm:num_requests_running{model_name="b"} 4
vllm:num_requests_waiting{model_name="a"} 2
vllm:num_requests_waiting{model_name="b"} 2
`, batholith.Gauges{}, false},
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

// Servers report their load under different paths. The one that answers is remembered, since a
// reading comes four times a second.
func TestGaugesAreFoundWhereverTheServerHasThem(t *testing.T) {
	const metrics = "llamacpp:requests_processing 4\nllamacpp:requests_deferred 2\n"
	for name, c := range map[string]struct {
		pages map[string]string // by path with its query
		want  batholith.Gauges
	}{
		"trtllm-serve": {map[string]string{"/metrics": `[{"iter":1,"numActiveRequests":3}]`,
			"/prometheus/metrics": "trtllm_num_requests_running 3\ntrtllm_num_requests_waiting 1\n"}, batholith.Gauges{Running: 3, Waiting: 1}},
		"NIM":              {map[string]string{"/v1/metrics": "num_requests_running 3\nnum_requests_waiting 1\n"}, batholith.Gauges{Running: 3, Waiting: 1}},
		"llama.cpp router": {map[string]string{"/metrics?autoload=false&model=a%2Fm": metrics}, batholith.Gauges{Running: 4, Waiting: 2}},
		"SGLang without metrics": {map[string]string{"/v1/loads": `{"version":"0.5.9","loads":[{"dp_rank":0,"num_running_reqs":5,"num_waiting_reqs":1,"token_usage":0.1},
			{"dp_rank":1,"num_running_reqs":6,"num_waiting_reqs":0}]}`}, batholith.Gauges{Running: 11, Waiting: 1}},
		"no loads":           {map[string]string{"/v1/loads": `{"loads":[]}`}, batholith.Gauges{}},
		"other loads":        {map[string]string{"/v1/loads": `{"loads":[{"weight":12}]}`}, batholith.Gauges{}},
		"loads below nought": {map[string]string{"/v1/loads": `{"loads":[{"num_running_reqs":-5,"num_waiting_reqs":1}]}`}, batholith.Gauges{}},
		"nothing":            {nil, batholith.Gauges{}},
	} {
		var asked []string
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked = append(asked, r.URL.RequestURI())
			body, ok := c.pages[r.URL.RequestURI()]
			if !ok {
				w.WriteHeader(http.StatusNotFound)
			}
			w.Write([]byte(body))
		}))
		b, err := New(Options{URL: s.URL + "/v1", Model: "a/m"})
		if err != nil {
			t.Fatal(err)
		}
		wanted := c.want != batholith.Gauges{}
		for range 2 {
			if g, ok := b.Gauges(t.Context()); ok != wanted || g != c.want {
				t.Errorf("%s: %+v, %v, asked %v", name, g, ok, asked)
			}
		}
		if n := len(asked); wanted && asked[n-1] != asked[n-2] {
			t.Errorf("%s: the second reading asked again: %v", name, asked)
		}
		s.Close()
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
