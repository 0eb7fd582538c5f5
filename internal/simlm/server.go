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

// Options configures a server. With the zero value it answers every request at once.
type Options struct {
	Model  string // "" is [Model]
	Engine Engine // the engine that is imitated; "": EngineLlamaCPP
	Seed   uint64 // changes all texts, and which prompts fail

	Latency  time.Duration // of every request
	PerToken time.Duration // of every output token, in addition; with a cost of steps both pass before the request takes a slot
	// Step, Decode and Prefill are the cost of continuous batching. In each step every running sequence gains one token. A step takes
	//
	//	Step + running sequences × Decode + prompt tokens computed in it × Prefill
	Step    time.Duration
	Decode  time.Duration
	Prefill time.Duration
	Chunk   int // bound of the prompt tokens that one step computes; 0: no bound
	// Roofline is the cost of an accelerator, in addition; the zero value costs nothing.
	Roofline Roofline

	OutputTokens    int // tokens of an answer; 0: 32. A request's max_tokens bounds it
	OutputTokensMax int // if above OutputTokens, the length of an answer is between the two, depending on prompt and seed

	Slots    int     // requests that run in parallel; others wait; 0: no bound
	Schedule []Slots // changes of Slots, in the order of their times
	// Queue bounds the waiting requests, counted as QueueBy says; 0: no bound, below 0: none may wait. A request beyond it is refused with
	// RefuseStatus (0: 429) and a Retry-After header (RetryAfter; 0: none), after the time RefuseAfter.
	Queue        int
	QueueBy      QueueBy
	RefuseStatus int
	RetryAfter   time.Duration
	RefuseAfter  time.Duration
	// Quota bounds the requests in each minute since the start; 0: no bound. Requests beyond it are refused in the same way.
	Quota int

	Priorities Priorities

	Cache    int // size of the prefix cache, in tokens of prompts; 0: none
	Others   Background
	Series   time.Duration // interval of [Stats.Series]; 0: no series
	Failures Failures
	Faults   []Fault       // in addition to Failures
	Marks    bool          // a prompt with "fail:KIND" in it, such as fail:403, has that fault
	Outages  []Outage      // their times count from the start
	Restart  time.Duration // time of a restart after a crash; 0: 10 s
	// List is the models in GET /v1/models: these names; the model's name if there are none; 404 for the single name "none".
	List []string
}

// QueueBy is what Options.Queue counts.
type QueueBy string

// What Options.Queue may count. A server that counts waiting requests only refuses requests that come faster than it admits them, even if
// slots are free.
const (
	QueuePlaces  QueueBy = "places"  // requests that run or wait, beyond the slots; also ""
	QueueWaiting QueueBy = "waiting" // requests that wait
	QueueTokens  QueueBy = "tokens"  // prompt tokens of those that wait
)

// QueueBys lists them.
var QueueBys = []QueueBy{QueuePlaces, QueueWaiting, QueueTokens}

// Free reports whether no option takes time, bounds requests or collects a series, so that every request is answered at once.
func (o *Options) Free() bool {
	return o.own(1) <= 0 && !o.steps() && o.Slots <= 0 && len(o.Schedule) == 0 && o.Cache <= 0 && o.Others.Rate <= 0 && o.Series <= 0 && o.Quota <= 0
}

// Server answers as the simulated model. It is safe for concurrent use.
type Server struct {
	o     Options
	batch *batch
	// free: requests bypass the batch. They take no time, and only their sums are counted, in quick.
	free  bool
	quick struct{ requests, prompt, generated, failed, turned atomic.Int64 }

	large sync.Mutex // held while a large request is decoded

	faults []Fault
	drawn  atomic.Int64 // number of random faults drawn
	born   time.Time
	mortal bool // crashes or outages are possible

	mu     sync.Mutex
	failed map[uint64]int // failures so far, by prompt hash; only with Failures.Times
	health health
	quota  struct {
		minute int64 // number of the minute since born
		taken  int
	}
}

// New makes a server. It starts no goroutine. [Server.Run] sends the requests of the background.
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

// ServeHTTP routes by path in a switch, since a multiplexer would cost more than an answer.
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

// post reads a request, applies its fault, waits for its slot and its time, and answers.
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
	if _, ok := errors.AsType[errPriority](err); ok {
		s.refusePriority(w, err)
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
	if q.streamed {
		s.stream(ctx, w, r, &q, fault.Kind)
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

// list answers GET /v1/models.
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
		items = append(items, `{"id":`+strconv.Quote(n)+`,"object":"model","created":0,"owned_by":`+strconv.Quote(s.o.Engine.owner())+`}`)
	}
	reply(w, `{"object":"list","data":[`+strings.Join(items, ",")+`]}`)
}

// work processes a request: it waits for slot and time. It returns errFull if the request is refused.
func (s *Server) work(ctx context.Context, q *request) error {
	output := q.output
	if len(q.stop) > 0 { // tokens after a stop sequence are not generated
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
	seq := &sequence{prompt: q.prompt, output: output, blocks: q.blocks, rank: q.rank, told: q.told}
	if err := s.batch.do(ctx, seq); err != nil {
		return err
	}
	q.cached = seq.cached // no goroutine writes it after do
	return nil
}

// within counts a request in the quota of the present minute, and reports whether it is within the quota.
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

// turnAway refuses a request that found the queue full or the quota used up.
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

// largeBody is the size, in bytes, from which bodies are decoded one at a time, since decoding takes a few times their size for a moment.
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

// readBody reads a body, or uses the bytes of a caller in this process without a copy.
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

// reply answers 200 with a JSON body.
func reply(w http.ResponseWriter, body string) {
	w.Header().Set("Content-Type", "application/json")
	io.WriteString(w, body)
}
