package simlm

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
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
	Model  string // "" is [Model]
	Engine Engine // whose gauges and side paths are there; "" is EngineLlamaCPP
	Seed   uint64 // changes every text and every choice of who fails

	Latency  time.Duration // of every request
	PerToken time.Duration // of every output token, besides; with a cost of steps both pass outside the slot
	// Step, Decode and Prefill are the cost of continuous batching. Time passes in steps, in each of which every running sequence
	// gains a token: a step takes Step, and Decode for each sequence in it, and Prefill for each prompt token that is computed in it.
	Step    time.Duration
	Decode  time.Duration
	Prefill time.Duration
	Chunk   int // most prompt tokens that a step computes; 0: no bound

	OutputTokens    int // 0: 32. A request's max_tokens bounds it
	OutputTokensMax int // above OutputTokens: an answer's length lies between the two, as prompt and seed have it

	Slots    int     // requests worked on at once, others wait; 0: no bound
	Schedule []Slots // changes of Slots, in the order of their times
	// Queue is how many may wait besides; 0: any number, below 0: none. One more is refused with RefuseStatus (0: 429), and told to
	// come back after RetryAfter (0: not told).
	Queue        int
	RefuseStatus int
	RetryAfter   time.Duration

	Cache    int // tokens of prompts that the prefix cache holds; 0: there is none
	Others   Background
	Series   time.Duration // how often [Stats.Series] notes what runs and waits; 0: never
	Failures Failures
}

// Free tells whether nothing is set that takes time, slots or notes: every request is answered at once.
func (o *Options) Free() bool {
	return o.own(1) <= 0 && !o.steps() && o.Slots <= 0 && len(o.Schedule) == 0 && o.Cache <= 0 && o.Others.Rate <= 0 && o.Series <= 0
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
	batch *batch
	// free says that requests pass the batch by: they cost no time, and all that is known of them is their sums.
	free  bool
	quick struct{ requests, prompt, generated, failed atomic.Int64 }

	large sync.Mutex // held while a large request is decoded

	mu     sync.Mutex
	failed map[uint64]int // how often a prompt has failed so far; only those that will be served in the end
}

// New returns a server. It starts nothing; see [Server.Run] for the background's requests.
func New(o Options) *Server {
	o.Model = cmp.Or(o.Model, Model)
	o.Engine = cmp.Or(o.Engine, EngineLlamaCPP)
	o.OutputTokens = cmp.Or(o.OutputTokens, defaultOutputTokens)
	o.RefuseStatus = cmp.Or(o.RefuseStatus, http.StatusTooManyRequests)
	s := &Server{o: o, free: o.Free(), failed: map[uint64]int{}}
	s.batch = newBatch(&s.o)
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
	default:
		if s.aside(w, r) {
			return
		}
		refuse(w, http.StatusNotFound, "not_found_error", "no such path: "+r.URL.Path)
	}
}

// post reads a request and leads it through its failure, its slot and its time to its answer.
func (s *Server) post(w http.ResponseWriter, r *http.Request, answer func(request) []byte) {
	if r.Method != http.MethodPost {
		refuse(w, http.StatusMethodNotAllowed, "invalid_request_error", "use POST")
		return
	}
	q, err := s.take(r)
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
	switch err := s.work(r.Context(), &q); {
	case errors.Is(err, errFull):
		s.turnAway(w)
		return
	case err != nil:
		return // the client is gone
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(answer(q))
}

// work is the one place where time passes.
func (s *Server) work(ctx context.Context, q *request) error {
	output := q.output
	if len(q.stop) > 0 { // what follows a stop is not generated
		text, _, _ := q.text()
		output = min(output, countWords(text)+1)
	}
	if s.free {
		s.quick.requests.Add(1)
		s.quick.prompt.Add(int64(q.prompt))
		s.quick.generated.Add(int64(output))
		return ctx.Err()
	}
	seq := &sequence{prompt: q.prompt, output: output, blocks: q.blocks}
	if err := s.batch.do(ctx, seq); err != nil {
		return err
	}
	q.cached = seq.cached // it is finished: nobody writes it any more
	return nil
}

// turnAway refuses a request for which there is no place in the queue.
func (s *Server) turnAway(w http.ResponseWriter) {
	if d := s.o.RetryAfter; d > 0 {
		w.Header().Set("Retry-After", strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)) // RFC 9110, 10.2.3: whole seconds
	}
	kind := "rate_limit_error"
	if s.o.RefuseStatus >= http.StatusInternalServerError {
		kind = "unavailable_error"
	}
	refuse(w, s.o.RefuseStatus, kind, "simulated: the queue is full")
}

// largeBody is a body worth being decoded alone: it is decoded in a few times its own memory, of which nothing is left afterwards.
const largeBody = 4 << 20

// take reads a request.
func (s *Server) take(r *http.Request) (request, error) {
	body, err := readBody(r)
	if err != nil {
		return request{}, errors.New("the body cannot be read")
	}
	if len(body) >= largeBody {
		s.large.Lock()
		defer s.large.Unlock()
	}
	return s.read(body)
}

// readBody reads a body, or looks at the one that a caller in this process has.
func readBody(r *http.Request) ([]byte, error) {
	if m, ok := r.Body.(interface{ Bytes() []byte }); ok {
		return m.Bytes(), nil
	}
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
