package simlm

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
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
	// Queue is how many may wait besides, by QueueBy; 0: any number, below 0: none. One more is refused with RefuseStatus (0: 429), and told
	// to come back after RetryAfter (0: not told). A refusal comes at once, or RefuseAfter later.
	Queue        int
	QueueBy      QueueBy
	RefuseStatus int
	RetryAfter   time.Duration
	RefuseAfter  time.Duration
	// Quota is how many requests are taken in each minute since the start; 0: any number. The others are refused alike.
	Quota int

	Cache    int // tokens of prompts that the prefix cache holds; 0: there is none
	Others   Background
	Series   time.Duration // how often [Stats.Series] notes what runs and waits; 0: never
	Failures Failures
	Faults   []Fault       // besides Failures
	Marks    bool          // a prompt that holds "fail:KIND", such as fail:403, has that fault
	Outages  []Outage      // counted from the start
	Restart  time.Duration // of a server that crashed; 0: 10 s
	// List is what GET /v1/models has: the model's name when it is empty, these names, or no such path when it is the one name "none".
	List []string
}

// QueueBy says what the bound of the queue counts.
type QueueBy string

// What a queue's bound may count. A server that looks at its queue alone refuses what comes faster than it admits, whatever slots are free.
const (
	QueuePlaces  QueueBy = "places"  // requests that run or wait, beyond the slots; also ""
	QueueWaiting QueueBy = "waiting" // requests that wait
	QueueTokens  QueueBy = "tokens"  // prompt tokens of those that wait
)

// QueueBys lists them.
var QueueBys = []QueueBy{QueuePlaces, QueueWaiting, QueueTokens}

// Free tells whether nothing is set that takes time, slots or notes: every request is answered at once.
func (o *Options) Free() bool {
	return o.own(1) <= 0 && !o.steps() && o.Slots <= 0 && len(o.Schedule) == 0 && o.Cache <= 0 && o.Others.Rate <= 0 && o.Series <= 0 && o.Quota <= 0
}

// Server answers as the simulated model. It is safe for concurrent use.
type Server struct {
	o     Options
	batch *batch
	// free says that requests pass the batch by: they cost no time, and all that is known of them is their sums.
	free  bool
	quick struct{ requests, prompt, generated, failed, turned atomic.Int64 }

	large sync.Mutex // held while a large request is decoded

	faults []Fault
	drawn  atomic.Int64 // faults at random
	born   time.Time
	mortal bool // there are crashes or outages

	mu     sync.Mutex
	failed map[uint64]int // how often a prompt has failed so far; only those that will be served in the end
	health health
	quota  struct {
		minute int64 // since born
		taken  int
	}
}

// New returns a server. It starts nothing; see [Server.Run] for the background's requests.
func New(o Options) *Server {
	o.Model = cmp.Or(o.Model, Model)
	o.Engine = cmp.Or(o.Engine, EngineLlamaCPP)
	o.OutputTokens = cmp.Or(o.OutputTokens, defaultOutputTokens)
	o.RefuseStatus = cmp.Or(o.RefuseStatus, http.StatusTooManyRequests)
	o.Restart = cmp.Or(o.Restart, defaultRestart)
	s := &Server{o: o, free: o.Free(), failed: map[uint64]int{}, faults: o.faults(), born: time.Now(), health: newHealth()}
	s.mortal = o.Marks || len(o.Outages) > 0 || slices.ContainsFunc(s.faults, func(f Fault) bool { return f.Kind == FaultCrash })
	s.batch = newBatch(&s.o)
	return s
}

// ServeHTTP routes by path alone: a multiplexer would cost more than an answer.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.away(w, r) {
		return
	}
	switch r.URL.Path {
	case "/v1/chat/completions":
		s.post(w, r, s.chat)
	case "/v1/completions":
		s.post(w, r, s.complete)
	case "/v1/embeddings":
		s.post(w, r, s.embed)
	case "/v1/models":
		s.list(w)
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
	ctx, check := s.living(r)
	defer check()
	fault, fails := s.befalls(&q)
	if fails && !fault.Kind.afterwards() {
		s.fail(ctx, w, &q, fault)
		return
	}
	switch err := s.work(ctx, &q); {
	case errors.Is(err, errFull):
		s.turnAway(ctx, w)
		return
	case err != nil:
		return // the client is gone
	}
	if fails {
		s.quick.failed.Add(1)
		spoil(w, fault.Kind, answer(q))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(answer(q))
}

// list answers what models there are.
func (s *Server) list(w http.ResponseWriter) {
	names := s.o.List
	if len(names) == 0 {
		names = []string{s.o.Model}
	}
	if len(names) == 1 && names[0] == "none" {
		refuse(w, http.StatusNotFound, "not_found_error", "no such path: /v1/models")
		return
	}
	var items []string
	for _, n := range names {
		items = append(items, `{"id":`+strconv.Quote(n)+`,"object":"model","created":0,"owned_by":"batholith"}`)
	}
	reply(w, `{"object":"list","data":[`+strings.Join(items, ",")+`]}`)
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
	if !s.within(time.Now()) {
		return errFull
	}
	seq := &sequence{prompt: q.prompt, output: output, blocks: q.blocks}
	if err := s.batch.do(ctx, seq); err != nil {
		return err
	}
	q.cached = seq.cached // it is finished: nobody writes it any more
	return nil
}

// within takes a request into the quota of the minute, if there is room in it.
func (s *Server) within(now time.Time) bool {
	if s.o.Quota <= 0 {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q := &s.quota
	if minute := int64(now.Sub(s.born) / time.Minute); minute != q.minute {
		q.minute, q.taken = minute, 0
	}
	if q.taken >= s.o.Quota {
		s.quick.turned.Add(1)
		return false
	}
	q.taken++
	return true
}

// turnAway refuses a request for which there is no place in the queue, or in the quota.
func (s *Server) turnAway(ctx context.Context, w http.ResponseWriter) {
	if s.o.RefuseAfter > 0 && pass(ctx, s.o.RefuseAfter) != nil {
		return
	}
	if d := s.o.RetryAfter; d > 0 {
		w.Header().Set("Retry-After", seconds(d))
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
