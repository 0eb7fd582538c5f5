package simlm

import (
	"net/http"
	"strconv"

	"github.com/go-json-experiment/json"
)

// Engine is the kind of server that is imitated: its metrics and its paths outside the API.
type Engine string

// The engines. EngineNone has only the API, like a server behind a gateway.
const (
	EngineVLLM     Engine = "vllm"
	EngineSGLang   Engine = "sglang"
	EngineLlamaCPP Engine = "llamacpp"
	EngineTEI      Engine = "tei"
	EngineNone     Engine = "none"
)

// Engines lists them.
var Engines = []Engine{EngineVLLM, EngineSGLang, EngineLlamaCPP, EngineTEI, EngineNone}

// aside answers a request for a path outside the API. It returns false if the engine has no such path.
func (s *Server) aside(w http.ResponseWriter, r *http.Request) bool {
	switch path := r.URL.Path; {
	case path == "/simulated/stats" && r.Method == http.MethodGet:
		stats := s.Stats()
		if r.URL.Query().Get("series") == "" {
			stats.Series = nil
		}
		body, err := json.Marshal(stats)
		if err != nil {
			refuse(w, http.StatusInternalServerError, "server_error", err.Error())
			return true
		}
		reply(w, string(body))
	case path == "/simulated/reset" && r.Method == http.MethodPost:
		s.Reset()
		w.WriteHeader(http.StatusNoContent)
	case s.o.Engine == EngineNone:
		return false
	case path == "/health":
		if s.o.Engine == EngineLlamaCPP {
			reply(w, `{"status":"ok"}`)
		}
	case path == "/props" && s.o.Engine == EngineLlamaCPP:
		reply(w, `{"total_slots":`+strconv.Itoa(max(s.slots(), 0))+`}`)
	case path == "/info" && s.o.Engine == EngineTEI:
		reply(w, `{"model_id":`+strconv.Quote(s.o.Model)+`,"max_concurrent_requests":`+strconv.Itoa(s.concurrent())+`}`)
	case path == "/metrics" && s.o.Engine != EngineTEI:
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		w.Write(s.metrics())
	default:
		return false
	}
	return true
}

// slots is the present number of slots; -1: no bound.
func (s *Server) slots() int {
	s.batch.mu.Lock()
	defer s.batch.mu.Unlock()
	return s.accountNow().slots
}

// concurrent is the greatest number of requests that are accepted. TEI always has such a bound, 512 by default
// (https://huggingface.co/docs/text-embeddings-inference/cli_arguments, --max-concurrent-requests).
func (s *Server) concurrent() int {
	if slots := s.slots(); s.o.Queue != 0 && slots >= 0 {
		return slots + max(s.o.Queue, 0)
	}
	return 512
}

// metric is one line of /metrics.
type metric struct {
	name, kind, help string
	value            float64
}

// metrics are the gauges and counters in the text format of Prometheus, under the engine's names.
func (s *Server) metrics() []byte {
	s.batch.mu.Lock()
	a := s.accountNow()
	t, running, waiting := a.total, float64(a.running), float64(a.waiting)
	usage := 0.0
	if s.o.Cache > 0 {
		usage = min(1, float64(a.held)/float64(s.o.Cache))
	}
	s.batch.mu.Unlock()

	prompt, generated := float64(t.PromptTokens), float64(t.GeneratedTokens)
	cached, queried := float64(t.CachedTokens), 0.0
	if s.o.Cache > 0 {
		queried = prompt
	}
	labels := `{model_name=` + strconv.Quote(s.o.Model) + `}`
	var all []metric
	switch s.o.Engine {
	case EngineVLLM: // vllm/v1/metrics/loggers.py
		labels = `{engine="0",model_name=` + strconv.Quote(s.o.Model) + `}`
		all = []metric{
			{"vllm:num_requests_running", "gauge", "Number of requests in model execution batches.", running},
			{"vllm:num_requests_waiting", "gauge", "Number of requests waiting to be processed.", waiting},
			{"vllm:kv_cache_usage_perc", "gauge", "KV-cache usage. 1 means 100 percent usage.", usage},
			{"vllm:gpu_cache_usage_perc", "gauge", "GPU KV-cache usage. 1 means 100 percent usage.", usage}, // its name before 0.10
			{"vllm:prefix_cache_queries_total", "counter", "Prefix cache queries, in terms of number of queried tokens.", queried},
			{"vllm:prefix_cache_hits_total", "counter", "Prefix cache hits, in terms of number of cached tokens.", cached},
			{"vllm:prompt_tokens_total", "counter", "Number of prefill tokens processed.", prompt},
			{"vllm:generation_tokens_total", "counter", "Number of generation tokens processed.", generated},
		}
	case EngineSGLang: // sglang/srt/metrics/collector.py
		all = []metric{
			{"sglang:num_running_reqs", "gauge", "The number of running requests.", running},
			{"sglang:num_queue_reqs", "gauge", "The number of requests in the waiting queue.", waiting},
			{"sglang:token_usage", "gauge", "The token usage.", usage},
			{"sglang:cache_hit_rate", "gauge", "The prefix cache hit rate.", ratio(cached, queried)},
			{"sglang:prompt_tokens_total", "counter", "Number of prefill tokens processed.", prompt},
			{"sglang:generation_tokens_total", "counter", "Number of generation tokens processed.", generated},
		}
	case EngineLlamaCPP: // tools/server/server-context.cpp
		labels = ""
		all = []metric{
			{"llamacpp:prompt_tokens_total", "counter", "Number of prompt tokens processed.", float64(t.PrefilledTokens)},
			{"llamacpp:tokens_predicted_total", "counter", "Number of generation tokens processed.", generated},
			{"llamacpp:n_decode_total", "counter", "Total number of llama_decode() calls", float64(t.Steps)},
			{"llamacpp:requests_processing", "gauge", "Number of requests processing", running},
			{"llamacpp:requests_deferred", "gauge", "Number of requests deferred", waiting},
		}
	}
	var b []byte
	for _, m := range all {
		b = append(b, "# HELP "+m.name+" "+m.help+"\n# TYPE "+m.name+" "+m.kind+"\n"+m.name+labels+" "...)
		b = append(strconv.AppendFloat(b, m.value, 'f', -1, 64), '\n')
	}
	return b
}
