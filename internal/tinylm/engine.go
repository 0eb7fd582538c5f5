package tinylm

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
)

// Options are bounds of the engine. Zero values mean the defaults.
type Options struct {
	Workers int // goroutines that compute; default: one per core, at most 8
	Slots   int // sequences that a worker computes together; default 8
	Queue   int // requests that may wait for a slot; default: the number of slots
}

const (
	defaultMaxWorkers = 8 // with more workers, other parts of a job are slower than this small model
	defaultSlots      = 8
)

var (
	// ErrBusy: all slots are taken and the queue is full. The caller may retry later.
	ErrBusy = errors.New("all slots are taken and the queue is full")
	// ErrStopped: the engine's Run has returned, so the request will not be answered.
	ErrStopped = errors.New("the engine has stopped")
)

// LengthError says that a prompt leaves no room for an answer.
type LengthError struct{ Tokens, Context int }

// Error has the length of the prompt and the bound, in tokens.
func (e *LengthError) Error() string {
	return fmt.Sprintf("the prompt has %d tokens (bytes, and a few for the turns); the model's context of %d holds at most %d and an answer", e.Tokens, e.Context, e.Context-1)
}

// Request asks for the continuation of a prompt.
type Request struct {
	Prompt    []int    // made by Encode
	MaxTokens int      // 0: as many as there is room for
	Stop      []string // the answer ends before the first of these
	Sampling
}

// Result is an answer. Tokens counts the sampled ones, without the one that ends an answer.
type Result struct {
	Text   string
	Tokens int
	Reason string // ReasonStop or ReasonLength
}

// Why an answer ended: the model or a stop sequence ended it, or its room did.
const (
	ReasonStop   = "stop"
	ReasonLength = "length"
)

// Engine answers requests, many at a time. It is made by NewEngine and does nothing until Run is called.
type Engine struct {
	model   *Model
	opts    Options
	queue   chan *job     // never closed
	stopped chan struct{} // closed by Run as it returns
	mux     *http.ServeMux
	served  atomic.Uint64 // answers given, for their ids
}

// job is a request in the queue or in a slot. The worker that takes it sends exactly one outcome, unless ctx ends first.
type job struct {
	ctx  context.Context
	req  Request
	pool bool         // the caller wants an embedding and no continuation
	out  chan outcome // 1-buffered, so that a worker never waits for a caller
	// pieces gets the text while it is computed; nil: the caller wants it whole. It has room for all pieces, and is never closed.
	pieces chan string
}

// outcome is the answer to a job: a result, or a vector for an embedding.
type outcome struct {
	result Result
	vector []float32
}

// NewEngine makes an engine. No goroutine starts before Run.
func NewEngine(m *Model, o Options) *Engine {
	if o.Workers <= 0 {
		o.Workers = min(runtime.GOMAXPROCS(0), defaultMaxWorkers)
	}
	if o.Slots <= 0 {
		o.Slots = defaultSlots
	}
	if o.Queue <= 0 {
		o.Queue = o.Workers * o.Slots
	}
	e := &Engine{model: m, opts: o, queue: make(chan *job, o.Queue), stopped: make(chan struct{})}
	e.mux = e.routes()
	return e
}

// Slots is the number of requests that are computed in parallel.
func (e *Engine) Slots() int { return e.opts.Workers * e.opts.Slots }

// Run answers requests until ctx ends, and returns its cause. Requests that are then unanswered get ErrStopped. It can be called once.
func (e *Engine) Run(ctx context.Context) error {
	defer close(e.stopped)
	var wg sync.WaitGroup
	for range e.opts.Workers {
		w := &worker{model: e.model, slots: e.opts.Slots, queue: e.queue}
		wg.Go(func() { w.run(ctx) })
	}
	wg.Wait()
	return context.Cause(ctx)
}

// Complete answers one request. Its error is ErrBusy at once when there is no room, a *LengthError, the cause of ctx when that ends
// first (the request then gives up its slot), or ErrStopped.
func (e *Engine) Complete(ctx context.Context, r Request) (Result, error) {
	out, err := e.submit(&job{ctx: ctx, req: r})
	return out.result, err
}

// Embed returns the mean of the rows that the model's last layer gives for a text, scaled to length 1. The model was not trained
// for it: texts of alike words lie close together, and no more is promised. Errors are those of Complete.
func (e *Engine) Embed(ctx context.Context, text string) ([]float32, error) {
	out, err := e.submit(&job{ctx: ctx, req: Request{Prompt: append([]int{Begin}, textTokens(text)...)}, pool: true})
	return out.vector, err
}

// submit queues a job and waits for its outcome.
func (e *Engine) submit(j *job) (outcome, error) { return e.submitted(j, nil) }

// submitted is submit that calls told with the pieces of the text.
func (e *Engine) submitted(j *job, told func(string)) (outcome, error) {
	if n := len(j.req.Prompt); n == 0 || n >= e.model.context {
		return outcome{}, &LengthError{n, e.model.context}
	}
	j.out = make(chan outcome, 1)
	select {
	case e.queue <- j:
	default:
		return outcome{}, ErrBusy
	}
	for {
		select {
		case piece := <-j.pieces:
			told(piece)
		case o := <-j.out:
			return o, nil
		case <-j.ctx.Done():
			return outcome{}, context.Cause(j.ctx)
		case <-e.stopped:
			return outcome{}, ErrStopped
		}
	}
}
