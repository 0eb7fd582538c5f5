package simlm

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// FaultKind is what a request gets in place of its answer: one of the kinds below, or an HTTP status from 400 to 599.
type FaultKind string

// The kinds of fault other than a status.
const (
	FaultReset    FaultKind = "reset"    // the connection breaks, before an answer
	FaultTorn     FaultKind = "torn"     // the answer breaks off in its middle, after the time that it takes
	FaultNonsense FaultKind = "nonsense" // 200 with a page instead of JSON, after the time that an answer takes
	FaultHang     FaultKind = "hang"     // no answer; the request keeps its slot until its client gives up
	FaultCrash    FaultKind = "crash"    // the server dies: every request in flight breaks, and every new one until it has restarted
)

// FaultKinds lists them.
var FaultKinds = []FaultKind{FaultReset, FaultTorn, FaultNonsense, FaultHang, FaultCrash}

// ParseFaultKind checks a kind: one of [FaultKinds] or a status from 400 to 599.
func ParseFaultKind(text string) (FaultKind, bool) {
	for _, k := range FaultKinds {
		if text == string(k) {
			return k, true
		}
	}
	n, err := strconv.Atoi(text)
	return FaultKind(text), err == nil && n >= 400 && n <= 599 && len(text) == 3
}

// status is the status of an answer, 0 for the other kinds.
func (k FaultKind) status() int {
	n, _ := strconv.Atoi(string(k))
	return n
}

// Fault is a fault of a share of the requests.
type Fault struct {
	Kind  FaultKind
	Share float64 // from 0 to 1
	// Random: chance decides for each request. Otherwise the prompt and the seed decide, so that a prompt fails always, or Failures.Times times.
	Random     bool
	Late       time.Duration // delay of the status or the reset
	RetryAfter time.Duration // the header of a status; 0: none
}

// Failures are the shares of prompts that fail, from 0 to 1, by kind. The prompt and the seed decide which prompts fail.
type Failures struct {
	RateLimit   float64 // 429
	Internal    float64 // 500
	Unavailable float64 // 503
	BadRequest  float64 // 400
	Reset       float64 // the connection breaks
	Nonsense    float64 // 200 with a page instead of JSON
	// Times is how often such a prompt fails before it is answered; 0: always. It applies to Options.Faults too.
	Times int
}

// MostShares is the largest sum of shares: 1, with room for the rounding of decimal fractions in any order.
const MostShares = 1 + 1e-9

// faults returns Failures as faults, followed by Faults.
func (o *Options) faults() []Fault {
	f := o.Failures
	all := []Fault{
		{Kind: "429", Share: f.RateLimit, RetryAfter: time.Second},
		{Kind: "500", Share: f.Internal},
		{Kind: "503", Share: f.Unavailable},
		{Kind: "400", Share: f.BadRequest},
		{Kind: FaultReset, Share: f.Reset},
		{Kind: FaultNonsense, Share: f.Nonsense},
	}
	var some []Fault
	for _, f := range append(all, o.Faults...) {
		if f.Share > 0 {
			some = append(some, f)
		}
	}
	return some
}

// befalls returns the fault of this request, if it has one. A prompt has at most one fault of its own: the one that it names, or one that its
// hash selects. If it has none, the request may have a random one.
func (s *Server) befalls(q *request) (Fault, bool) {
	own, ok := Fault{Kind: q.marked}, q.marked != ""
	if !ok && len(s.faults) == 0 {
		return Fault{}, false
	}
	if !ok {
		own, ok = s.pick(false, unit(q.hash^s.o.Seed))
	}
	if ok && !s.recovered(q.hash) {
		return own, true
	}
	return s.pick(true, unit(s.o.Seed^mix(uint64(s.drawn.Add(1)))))
}

// mark begins the name of a fault in a prompt, if Options.Marks is set: "fail:403", "fail:hang".
const mark = "fail:"

// markOf returns the fault that a prompt names, or "".
func markOf(prompt []byte) FaultKind {
	_, rest, _ := bytes.Cut(prompt, []byte(mark))
	n := 0
	for n < len(rest) && (rest[n] >= 'a' && rest[n] <= 'z' || rest[n] >= '0' && rest[n] <= '9') {
		n++
	}
	kind, ok := ParseFaultKind(string(rest[:n]))
	if !ok {
		return ""
	}
	return kind
}

// pick returns the fault whose share contains u, a number from 0 to 1, among the random faults or among the others.
func (s *Server) pick(random bool, u float64) (Fault, bool) {
	for _, f := range s.faults {
		if f.Random != random {
			continue
		}
		if u < f.Share {
			return f, true
		}
		u -= f.Share
	}
	return Fault{}, false
}

// unit is a pseudo-random number from 0 to 1.
func unit(x uint64) float64 { return float64(mix(x)>>11) / (math.MaxUint64 >> 11) }

// recovered counts a failure of a prompt, and reports whether the prompt had failed Failures.Times times before.
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

// fail answers with a fault that comes before an answer. For a broken connection it panics with http.ErrAbortHandler.
func (s *Server) fail(ctx context.Context, w http.ResponseWriter, q *request, f Fault) {
	s.quick.failed.Add(1)
	if f.Late > 0 && pass(ctx, f.Late) != nil {
		return
	}
	switch f.Kind {
	case FaultReset:
		panic(http.ErrAbortHandler)
	case FaultCrash:
		s.crash()
		panic(http.ErrAbortHandler)
	case FaultHang:
		if s.free {
			<-ctx.Done()
			return
		}
		_ = s.batch.do(ctx, &sequence{prompt: q.prompt, output: 1, blocks: q.blocks, endless: true})
	default:
		s.refuseWith(w, f)
	}
}

// refuseWith answers with the status of a fault. 403, 502 and 504 have an HTML body, as from a proxy or firewall.
func (s *Server) refuseWith(w http.ResponseWriter, f Fault) {
	if f.RetryAfter > 0 {
		w.Header().Set("Retry-After", seconds(f.RetryAfter))
	}
	switch status := f.Kind.status(); status {
	case http.StatusForbidden, http.StatusBadGateway, http.StatusGatewayTimeout:
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(status)
		fmt.Fprintf(w, "<html><head><title>%d %s</title></head><body>simulated</body></html>", status, http.StatusText(status))
	case http.StatusBadRequest:
		refuse(w, status, "invalid_request_error", "simulated: bad request")
	case http.StatusTooManyRequests:
		refuse(w, status, "rate_limit_error", "simulated: too many requests")
	case http.StatusInternalServerError:
		refuse(w, status, "server_error", "simulated: internal error")
	case http.StatusServiceUnavailable:
		refuse(w, status, "unavailable_error", "simulated: unavailable")
	default:
		refuse(w, status, "simulated_error", "simulated: "+http.StatusText(status))
	}
}

// spoil answers with a page instead of JSON, or with half of the answer.
func spoil(w http.ResponseWriter, kind FaultKind, answer []byte) {
	if kind == FaultNonsense {
		io.WriteString(w, "<html>simulated: no JSON</html>")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
	w.Write(answer[:len(answer)/2])
	if f, ok := w.(http.Flusher); ok {
		f.Flush()
	}
	panic(http.ErrAbortHandler)
}

// afterwards reports whether a fault comes after the time of an answer.
func (k FaultKind) afterwards() bool { return k == FaultTorn || k == FaultNonsense }

// seconds is a duration in whole seconds, for Retry-After (RFC 9110, 10.2.3).
func seconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
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
