package simlm

import "strconv"

// metric is one line of /metrics.
type metric struct {
	name, kind, help string
	value            float64
}

// metrics are the gauges and counters in the text format of Prometheus, under the engine's names.
func (s *Server) metrics() []byte {
	labels, all := s.o.named(s.measure())
	var b []byte
	for _, m := range all {
		b = append(b, "# HELP "+m.name+" "+m.help+"\n# TYPE "+m.name+" "+m.kind+"\n"+m.name+labels+" "...)
		b = append(strconv.AppendFloat(b, m.value, 'f', -1, 64), '\n')
	}
	return b
}

// measures are the values of the metrics at one moment.
type measures struct {
	running, waiting  float64 // requests
	usage             float64 // share of the cache that is held, 0 to 1
	cached, queried   float64 // tokens of prompts, found in the cache and looked for there
	prompt, generated float64 // tokens
	prefilled, steps  float64 // tokens of prompts that were computed; steps of the batch
}

// measure reads the values of now.
func (s *Server) measure() measures {
	s.batch.mu.Lock()
	defer s.batch.mu.Unlock()
	a := s.accountNow()
	t := a.total
	m := measures{running: float64(a.running), waiting: float64(a.waiting), cached: float64(t.CachedTokens), prompt: float64(t.PromptTokens),
		generated: float64(t.GeneratedTokens), prefilled: float64(t.PrefilledTokens), steps: float64(t.Steps)}
	if s.o.Cache > 0 {
		m.usage = min(1, float64(a.held)/float64(s.o.Cache))
		m.queried = m.prompt
	}
	return m
}

// named returns the metrics under the names of the engine, and the labels of all.
func (o *Options) named(m measures) (labels string, all []metric) {
	name := strconv.Quote(o.Model)
	labels = `{model_name=` + name + `}`
	switch o.Engine {
	case EngineVLLM: // vllm/v1/metrics/loggers.py
		labels = `{engine="0",model_name=` + name + `}`
		all = []metric{
			{"vllm:num_requests_running", "gauge", "Number of requests in model execution batches.", m.running},
			{"vllm:num_requests_waiting", "gauge", "Number of requests waiting to be processed.", m.waiting},
			{"vllm:kv_cache_usage_perc", "gauge", "KV-cache usage. 1 means 100 percent usage.", m.usage},
			{"vllm:gpu_cache_usage_perc", "gauge", "GPU KV-cache usage. 1 means 100 percent usage.", m.usage}, // its name before 0.10
			{"vllm:prefix_cache_queries_total", "counter", "Prefix cache queries, in terms of number of queried tokens.", m.queried},
			{"vllm:prefix_cache_hits_total", "counter", "Prefix cache hits, in terms of number of cached tokens.", m.cached},
			{"vllm:prompt_tokens_total", "counter", "Number of prefill tokens processed.", m.prompt},
			{"vllm:generation_tokens_total", "counter", "Number of generation tokens processed.", m.generated},
		}
	case EngineSGLang: // sglang/srt/metrics/collector.py
		all = []metric{
			{"sglang:num_running_reqs", "gauge", "The number of running requests.", m.running},
			{"sglang:num_queue_reqs", "gauge", "The number of requests in the waiting queue.", m.waiting},
			{"sglang:token_usage", "gauge", "The token usage.", m.usage},
			{"sglang:cache_hit_rate", "gauge", "The prefix cache hit rate.", ratio(m.cached, m.queried)},
			{"sglang:prompt_tokens_total", "counter", "Number of prefill tokens processed.", m.prompt},
			{"sglang:generation_tokens_total", "counter", "Number of generation tokens processed.", m.generated},
		}
	case EngineLMDeploy: // lmdeploy/metrics/loggers.py
		labels = `{engine="0",model_name=` + name + `}`
		all = []metric{
			{"lmdeploy:num_api_requests_waiting", "gauge", "Number of requests waiting for free request handles.", 0},
			{"lmdeploy:num_requests_running", "gauge", "Number of requests in model execution batches.", m.running},
			{"lmdeploy:num_requests_waiting", "gauge", "Number of requests waiting to be processed.", m.waiting},
			{"lmdeploy:gpu_cache_usage_perc", "gauge", "GPU KV-cache usage. 1 means 100 percent usage.", m.usage},
			{"lmdeploy:prompt_tokens_total", "counter", "Number of prefill tokens processed.", m.prompt},
			{"lmdeploy:generation_tokens_total", "counter", "Number of generation tokens processed.", m.generated},
		}
	case EngineTRTLLM: // tensorrt_llm/metrics/collector.py
		labels = `{engine_type="undefined",model_name=` + name + `}`
		all = []metric{
			{"trtllm_num_requests_running", "gauge", "Number of active requests", m.running},
			{"trtllm_num_requests_waiting", "gauge", "Number of queued requests", m.waiting},
			{"trtllm_kv_cache_utilization", "gauge", "KV cache utilization", m.usage},
			{"trtllm_prompt_tokens_total", "counter", "Cumulative number of prompt (input) tokens processed.", m.prompt},
			{"trtllm_generation_tokens_total", "counter", "Cumulative number of generation (output) tokens produced.", m.generated},
		}
	case EngineTGI: // text-generation-inference, docs/source/reference/metrics.md
		labels = ""
		all = []metric{
			{"tgi_batch_current_size", "gauge", "Current batch size", m.running},
			{"tgi_queue_size", "gauge", "Current queue size", m.waiting},
		}
	case EngineLlamaCPP, EngineRouter: // tools/server/server-context.cpp
		labels = ""
		all = []metric{
			{"llamacpp:prompt_tokens_total", "counter", "Number of prompt tokens processed.", m.prefilled},
			{"llamacpp:tokens_predicted_total", "counter", "Number of generation tokens processed.", m.generated},
			{"llamacpp:n_decode_total", "counter", "Total number of llama_decode() calls", m.steps},
			{"llamacpp:requests_processing", "gauge", "Number of requests processing", m.running},
			{"llamacpp:requests_deferred", "gauge", "Number of requests deferred", m.waiting},
		}
	}
	return labels, all
}
