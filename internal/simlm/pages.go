package simlm

import (
	"net/http"
	"strconv"
)

// page answers a request for a page about the engine itself. It returns false if the engine has no such page.
func (s *Server) page(w http.ResponseWriter, r *http.Request) bool {
	e, path := s.o.Engine, r.URL.Path
	of := r.URL.Query().Get("model")
	switch {
	case e == EngineRouter && (path == "/props" || path == "/metrics") && of != s.o.Model:
		s.unrouted(w, path, of)
	case path == "/props" && (e == EngineLlamaCPP || e == EngineRouter):
		reply(w, `{"total_slots":`+strconv.Itoa(max(s.slots(), 0))+`}`)
	case path == "/info" && (e == EngineTEI || e == EngineTGI):
		reply(w, `{"model_id":`+strconv.Quote(s.o.Model)+`,"max_concurrent_requests":`+strconv.Itoa(s.concurrent())+`}`)
	case path == "/metrics" && e == EngineTRTLLM: // statistics of the latest steps, which each reader takes from the others
		reply(w, "[]")
	case path == s.metricsPath():
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		w.Write(s.metrics())
	case path == "/v1/loads" && (e == EngineSGLang || e == EngineSGLangLoads):
		reply(w, s.loads())
	case path == "/server_info" && (e == EngineSGLang || e == EngineSGLangLoads):
		reply(w, s.serverInfo())
	default:
		return false
	}
	return true
}

// metricsPath is the path of the metrics for Prometheus; "": the engine has none.
func (s *Server) metricsPath() string {
	switch s.o.Engine {
	case EngineTRTLLM:
		return "/prometheus/metrics"
	case EngineTEI, EngineSGLangLoads:
		return ""
	}
	return "/metrics"
}

// unrouted answers what llama.cpp's router answers itself, without one of its models (tools/server/server-models.cpp).
func (s *Server) unrouted(w http.ResponseWriter, path, model string) {
	switch {
	case model != "":
		refuse(w, http.StatusBadRequest, "invalid_request_error", "model '"+model+"' not found")
	case path == "/props":
		reply(w, `{"role":"router","max_instances":4,"model_alias":"llama-server","model_path":"none"}`)
	default:
		refuse(w, http.StatusBadRequest, "invalid_request_error", "model name is missing from the request")
	}
}

// loads is SGLang's /v1/loads (srt/entrypoints/v1_loads.py), with one data-parallel rank.
func (s *Server) loads() string {
	s.batch.mu.Lock()
	defer s.batch.mu.Unlock()
	a := s.accountNow()
	return `{"version":"0.5.9","loads":[{"dp_rank":0,"num_running_reqs":` + strconv.Itoa(a.running) + `,"num_waiting_reqs":` + strconv.Itoa(a.waiting) + `}]}`
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
	name := strconv.Quote(s.o.Model)
	labels := `{model_name=` + name + `}`
	var all []metric
	switch s.o.Engine {
	case EngineVLLM: // vllm/v1/metrics/loggers.py
		labels = `{engine="0",model_name=` + name + `}`
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
	case EngineLMDeploy: // lmdeploy/metrics/loggers.py
		labels = `{engine="0",model_name=` + name + `}`
		all = []metric{
			{"lmdeploy:num_api_requests_waiting", "gauge", "Number of requests waiting for free request handles.", 0},
			{"lmdeploy:num_requests_running", "gauge", "Number of requests in model execution batches.", running},
			{"lmdeploy:num_requests_waiting", "gauge", "Number of requests waiting to be processed.", waiting},
			{"lmdeploy:gpu_cache_usage_perc", "gauge", "GPU KV-cache usage. 1 means 100 percent usage.", usage},
			{"lmdeploy:prompt_tokens_total", "counter", "Number of prefill tokens processed.", prompt},
			{"lmdeploy:generation_tokens_total", "counter", "Number of generation tokens processed.", generated},
		}
	case EngineTRTLLM: // tensorrt_llm/metrics/collector.py
		labels = `{engine_type="undefined",model_name=` + name + `}`
		all = []metric{
			{"trtllm_num_requests_running", "gauge", "Number of active requests", running},
			{"trtllm_num_requests_waiting", "gauge", "Number of queued requests", waiting},
			{"trtllm_kv_cache_utilization", "gauge", "KV cache utilization", usage},
			{"trtllm_prompt_tokens_total", "counter", "Cumulative number of prompt (input) tokens processed.", prompt},
			{"trtllm_generation_tokens_total", "counter", "Cumulative number of generation (output) tokens produced.", generated},
		}
	case EngineTGI: // text-generation-inference, docs/source/reference/metrics.md
		labels = ""
		all = []metric{
			{"tgi_batch_current_size", "gauge", "Current batch size", running},
			{"tgi_queue_size", "gauge", "Current queue size", waiting},
		}
	case EngineLlamaCPP, EngineRouter: // tools/server/server-context.cpp
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
