package simlm

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Model is the id of the simulated model.
const Model = "batholith.simulated-v1"

const (
	defaultOutputTokens = 32
	maxRequest          = 64 << 20 // bytes
)

// Options say how the model behaves. The zero value answers at once, always, and everybody.
type Options struct {
	Model        string        // "" is [Model]
	Latency      time.Duration // of every request
	PerToken     time.Duration // of every output token, besides
	OutputTokens int           // 0: 32. A request's max_tokens bounds it
	Slots        int           // requests worked on at once, others wait; 0: no bound
	Seed         uint64        // changes every text and every choice of who fails
	Failures     Failures
}

// Failures are the shares of prompts that fail, from 0 to 1, one kind each. Whether a prompt does depends on it and the seed.
type Failures struct {
	RateLimit   float64 // 429
	Internal    float64 // 500
	Unavailable float64 // 503
	BadRequest  float64 // 400
	Reset       float64 // the connection breaks
	Nonsense    float64 // 200 with a page instead of JSON
	// Times is how often such a prompt fails before it is served; 0: always.
	Times int
}

// Server answers as the simulated model. It is safe for concurrent use.
type Server struct {
	o     Options
	slots chan struct{} // one for each request being worked on; nil: no bound

	mu     sync.Mutex
	failed map[uint64]int // how often a prompt has failed so far; only those that will be served in the end
}

// New returns a server. It starts nothing.
func New(o Options) *Server {
	o.Model = cmp.Or(o.Model, Model)
	o.OutputTokens = cmp.Or(o.OutputTokens, defaultOutputTokens)
	s := &Server{o: o, failed: map[uint64]int{}}
	if o.Slots > 0 {
		s.slots = make(chan struct{}, o.Slots)
	}
	return s
}

// ServeHTTP routes by path alone: a multiplexer would cost more than an answer.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/v1/chat/completions":
		s.post(w, r, s.chat)
	case "/v1/completions":
		s.post(w, r, s.complete)
	case "/v1/embeddings":
		s.post(w, r, s.embed)
	case "/v1/models":
		reply(w, `{"object":"list","data":[{"id":`+strconv.Quote(s.o.Model)+`,"object":"model","created":0,"owned_by":"batholith"}]}`)
	case "/props":
		reply(w, `{"total_slots":`+strconv.Itoa(s.o.Slots)+`}`)
	case "/health":
		reply(w, `{"status":"ok"}`)
	default:
		refuse(w, http.StatusNotFound, "not_found_error", "no such path: "+r.URL.Path)
	}
}

// post reads a request and leads it through its failure, its slot and its time to its answer.
func (s *Server) post(w http.ResponseWriter, r *http.Request, answer func(request) []byte) {
	if r.Method != http.MethodPost {
		refuse(w, http.StatusMethodNotAllowed, "invalid_request_error", "use POST")
		return
	}
	body, err := readBody(r)
	if err != nil {
		refuse(w, http.StatusBadRequest, "invalid_request_error", "the body cannot be read")
		return
	}
	q, err := s.read(body)
	if errors.Is(err, errModel) {
		refuse(w, http.StatusNotFound, "model_not_found", err.Error())
		return
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, "invalid_request_error", err.Error())
		return
	}
	if s.fail(w, q.hash) {
		return
	}
	if !s.work(r.Context(), q) {
		return // the client is gone
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(answer(q))
}

// work is the one place where time passes. Batching, prefill and a prefix cache would go here: it knows the request's
// size in both directions before it is answered.
func (s *Server) work(ctx context.Context, q request) bool {
	if s.slots != nil {
		select {
		case s.slots <- struct{}{}:
			defer func() { <-s.slots }()
		case <-ctx.Done():
			return false
		}
	}
	d := s.o.Latency + time.Duration(q.output)*s.o.PerToken
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func readBody(r *http.Request) ([]byte, error) {
	if n := r.ContentLength; n >= 0 && n <= maxRequest {
		body := make([]byte, n)
		_, err := io.ReadFull(r.Body, body)
		return body, err
	}
	return io.ReadAll(io.LimitReader(r.Body, maxRequest))
}

func reply(w http.ResponseWriter, body string) {
	w.Header().Set("Content-Type", "application/json")
	io.WriteString(w, body)
}
