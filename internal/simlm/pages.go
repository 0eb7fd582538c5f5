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
