package simlm

import (
	"io"
	"math"
	"net/http"

	"github.com/go-json-experiment/json/jsontext"
)

// fail answers with the failure that befalls this prompt, if one does.
func (s *Server) fail(w http.ResponseWriter, prompt uint64) bool {
	f := s.o.Failures
	u := float64(mix(prompt^s.o.Seed)>>11) / (math.MaxUint64 >> 11) // from 0 to 1
	for _, kind := range []struct {
		share float64
		do    func(http.ResponseWriter)
	}{
		{f.RateLimit, func(w http.ResponseWriter) {
			w.Header().Set("Retry-After", "1")
			refuse(w, http.StatusTooManyRequests, "rate_limit_error", "simulated: too many requests")
		}},
		{f.Internal, func(w http.ResponseWriter) {
			refuse(w, http.StatusInternalServerError, "server_error", "simulated: internal error")
		}},
		{f.Unavailable, func(w http.ResponseWriter) {
			refuse(w, http.StatusServiceUnavailable, "unavailable_error", "simulated: unavailable")
		}},
		{f.BadRequest, func(w http.ResponseWriter) {
			refuse(w, http.StatusBadRequest, "invalid_request_error", "simulated: bad request")
		}},
		{f.Reset, func(http.ResponseWriter) { panic(http.ErrAbortHandler) }},
		{f.Nonsense, func(w http.ResponseWriter) { io.WriteString(w, "<html>simulated: no JSON</html>") }},
	} {
		if u < kind.share {
			if s.recovered(prompt) {
				return false
			}
			s.quick.failed.Add(1)
			kind.do(w)
			return true
		}
		u -= kind.share
	}
	return false
}

// recovered counts a failure, and tells when the prompt has had as many as it should.
func (s *Server) recovered(prompt uint64) bool {
	if s.o.Failures.Times == 0 {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed[prompt] >= s.o.Failures.Times {
		delete(s.failed, prompt)
		return true
	}
	s.failed[prompt]++
	return false
}

// refuse answers with an OpenAI error object.
func refuse(w http.ResponseWriter, status int, typ, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	b := append([]byte(nil), `{"error":{"message":`...)
	b, _ = jsontext.AppendQuote(b, message)
	b = append(b, `,"type":"`+typ+`"}}`...)
	w.Write(b)
}
