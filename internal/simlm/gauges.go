package simlm

import (
	"net/http"

	"github.com/go-json-experiment/json"
)

// Engine is the kind of server that is imitated: its metrics and its paths outside the API.
type Engine string

// The engines. EngineNone has only the API, like a server behind a gateway.
const (
	EngineVLLM        Engine = "vllm"
	EngineSGLang      Engine = "sglang"
	EngineSGLangLoads Engine = "sglang-loads" // SGLang without --enable-metrics: only /v1/loads
	EngineLlamaCPP    Engine = "llamacpp"
	EngineRouter      Engine = "llamacpp-router" // llama.cpp with several models: its pages are those of the model in ?model=
	EngineLMDeploy    Engine = "lmdeploy"
	EngineTRTLLM      Engine = "trtllm"
	EngineTGI         Engine = "tgi"
	EngineTEI         Engine = "tei"
	EngineNone        Engine = "none"
)

// Engines lists them.
var Engines = []Engine{EngineVLLM, EngineSGLang, EngineSGLangLoads, EngineLlamaCPP, EngineRouter, EngineLMDeploy, EngineTRTLLM, EngineTGI, EngineTEI, EngineNone}

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
		if s.o.Engine == EngineLlamaCPP || s.o.Engine == EngineRouter {
			reply(w, `{"status":"ok"}`)
		}
	default:
		return s.page(w, r)
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
