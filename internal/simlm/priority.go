package simlm

import (
	"cmp"
	"container/list"
	"math"
	"net/http"
	"strconv"
)

// Priorities is how the server orders the requests that wait.
type Priorities string

// The orders. Between requests of one priority the older is first. A request without a priority has 0.
const (
	PrioritiesIgnored Priorities = ""           // by age; the member priority has no effect (llama.cpp, and SGLang by default)
	PrioritiesRefused Priorities = "refused"    // vLLM without --scheduling-policy priority: 400
	PrioritiesAborted Priorities = "aborted"    // SGLang with --abort-on-priority-when-disabled: 503
	PrioritiesLow     Priorities = "low first"  // vLLM; SGLang with --schedule-low-priority-values-first
	PrioritiesHigh    Priorities = "high first" // SGLang with --enable-priority-scheduling --default-priority-value 0
)

// errPriority refuses a request because of its priority. The text is vLLM's.
type errPriority int64

// Error implements error.
func (e errPriority) Error() string {
	return "Got priority " + strconv.FormatInt(int64(e), 10) + " but Priority scheduling is not enabled."
}

// refusePriority answers a request with a priority on a server without an order.
func (s *Server) refusePriority(w http.ResponseWriter, err error) {
	if s.o.Priorities == PrioritiesAborted {
		refuse(w, http.StatusServiceUnavailable, "ServiceUnavailable", "Using priority is disabled for this server. Please send a new request without a priority.")
		return
	}
	refuse(w, http.StatusBadRequest, "BadRequestError", err.Error())
}

// rank is a request's place in the queue: lower ones are served first.
func (p Priorities) rank(priority *int64) int64 {
	switch {
	case priority == nil, p == PrioritiesIgnored:
		return 0
	case p == PrioritiesHigh:
		return -max(*priority, -math.MaxInt64) // the lowest number has no opposite
	}
	return *priority
}

// queue puts a request behind all that are served before it.
func (b *batch) queue(s *sequence) {
	at := b.waiting.Back()
	for ; at != nil && cmp.Less(s.rank, at.Value.(*sequence).rank); at = at.Prev() {
	}
	s.place = insertAfter(&b.waiting, s, at)
}

// insertAfter puts s behind an element, or at the front if there is none.
func insertAfter(l *list.List, s *sequence, at *list.Element) *list.Element {
	if at == nil {
		return l.PushFront(s)
	}
	return l.InsertAfter(s, at)
}

// serverInfo is SGLang's /server_info, which repeats how it was started.
func (s *Server) serverInfo() string {
	enabled := s.o.Priorities == PrioritiesLow || s.o.Priorities == PrioritiesHigh
	return `{"served_model_name":` + strconv.Quote(s.o.Model) + `,"enable_priority_scheduling":` + strconv.FormatBool(enabled) +
		`,"schedule_low_priority_values_first":` + strconv.FormatBool(s.o.Priorities == PrioritiesLow) +
		`,"abort_on_priority_when_disabled":` + strconv.FormatBool(s.o.Priorities == PrioritiesAborted) + `,"default_priority_value":0}`
}

// owner is the member owned_by in the list of models, by which vLLM and SGLang name themselves.
func (e Engine) owner() string {
	switch e {
	case EngineVLLM:
		return "vllm"
	case EngineSGLang, EngineSGLangLoads:
		return "sglang"
	}
	return "batholith"
}
