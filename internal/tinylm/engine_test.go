package tinylm

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
)

// start runs an engine until the test ends.
func start(t testing.TB, m *Model, o Options) *Engine {
	t.Helper()
	e := NewEngine(m, o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run returned %v", err)
		}
	})
	return e
}

// all sends requests at once and returns their results in order.
func all(t testing.TB, e *Engine, reqs []Request) []Result {
	t.Helper()
	out := make([]Result, len(reqs))
	var wg sync.WaitGroup
	for i, r := range reqs {
		wg.Go(func() {
			var err error
			if out[i], err = e.Complete(context.Background(), r); err != nil {
				t.Errorf("request %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	return out
}

func TestAnswersAreThoseOfPyTorchAloneOrAmongOthers(t *testing.T) {
	m, gs := load(t), goldens(t)
	var reqs []Request
	for range 3 {
		for _, g := range gs {
			reqs = append(reqs, Request{Prompt: g.IDs, MaxTokens: 160})
		}
	}
	for _, o := range []Options{{Workers: 1, Slots: 1}, {Workers: 1, Slots: 5}, {Workers: 3, Slots: 16}} {
		o.Queue = len(reqs)
		for i, r := range all(t, start(t, m, o), reqs) {
			if want := gs[i%len(gs)].Answer; r.Text != want || r.Tokens != len(want) || r.Reason != ReasonStop {
				t.Errorf("%+v, prompt %d: %+v, want %q", o, i%len(gs), r, want)
			}
		}
	}
}

func conversation(t testing.TB, user string) []int {
	t.Helper()
	ids, err := Encode([]Message{{"user", user}})
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func TestSampledAnswerDependsOnItsSeedOnly(t *testing.T) {
	m := load(t)
	var reqs []Request
	for i := range 8 {
		reqs = append(reqs, Request{Prompt: conversation(t, "Write a poem about the sea."), MaxTokens: 40, Sampling: Sampling{Temperature: 2, TopP: .95, TopK: 100, Seed: uint64(i / 2)}})
	}
	alone := all(t, start(t, m, Options{Workers: 1, Slots: 1, Queue: 8}), reqs)
	among := all(t, start(t, m, Options{Workers: 2, Slots: 4, Queue: 8}), reqs)
	for i := range reqs {
		if alone[i] != among[i] {
			t.Errorf("request %d: %q alone, %q among others", i, alone[i].Text, among[i].Text)
		}
	}
	if alone[0] != alone[1] || alone[0] == alone[2] {
		t.Errorf("seeds 0, 0 and 1 gave %q, %q and %q", alone[0].Text, alone[1].Text, alone[2].Text)
	}
}

func TestChooseKeepsToItsBounds(t *testing.T) {
	logits := []float32{0, 3, 2.9, -4, 1}
	for seed := range uint64(200) {
		s := Sampling{Temperature: 5, TopK: 2, Seed: seed}
		if got := s.choose(logits, s.source()); got != 1 && got != 2 {
			t.Fatalf("top_k 2 chose token %d", got)
		}
		s = Sampling{Temperature: 1, TopP: .3, Seed: seed}
		if got := s.choose(logits, s.source()); got != 1 {
			t.Fatalf("top_p 0.3 chose token %d", got)
		}
	}
	if got := (Sampling{}).choose(logits, nil); got != 1 {
		t.Errorf("greedy chose token %d", got)
	}
}

func TestAnswerEndsBeforeAStopSequenceAndAtItsLength(t *testing.T) {
	m, g := load(t), goldens(t)[0]
	e := start(t, m, Options{Workers: 1})
	got := all(t, e, []Request{{Prompt: g.IDs, MaxTokens: 3}, {Prompt: g.IDs, Stop: []string{"#", g.Answer[2:4]}}})
	if r := got[0]; r != (Result{g.Answer[:3], 3, ReasonLength}) {
		t.Errorf("with three tokens of room: %+v", r)
	}
	if r := got[1]; r.Text != g.Answer[:2] || r.Reason != ReasonStop {
		t.Errorf("with a stop sequence: %+v, of %q", r, g.Answer)
	}
}

func TestPromptWithoutRoomForAnAnswerIsRefused(t *testing.T) {
	m := load(t)
	e := NewEngine(m, Options{})
	for _, n := range []int{0, m.Context(), m.Context() + 1} {
		var le *LengthError
		if _, err := e.Complete(context.Background(), Request{Prompt: make([]int, n)}); !errors.As(err, &le) || le.Tokens != n {
			t.Errorf("a prompt of %d tokens: %v", n, err)
		}
	}
}

func TestAnswerEndsWhereTheContextDoes(t *testing.T) {
	m := load(t)
	e := start(t, m, Options{Workers: 1})
	prompt := conversation(t, strings.Repeat("a ", (m.Context()-8)/2))
	r := all(t, e, []Request{{Prompt: prompt, MaxTokens: 1000, Sampling: Sampling{Temperature: 2}}})[0]
	if len(prompt)+r.Tokens > m.Context() || r.Reason == ReasonLength && len(prompt)+r.Tokens != m.Context() {
		t.Errorf("%d tokens of prompt, %d of answer, ended by %s", len(prompt), r.Tokens, r.Reason)
	}
}

// The engine does not run yet, so that what waits stays where it is.
func TestFullQueueRefusesAndStoppedEngineAnswersNothing(t *testing.T) {
	e := NewEngine(load(t), Options{Workers: 1, Slots: 1, Queue: 2})
	req := Request{Prompt: conversation(t, "hello")}
	errs := make(chan error, 3)
	for range 3 {
		go func() {
			_, err := e.Complete(context.Background(), req)
			errs <- err
		}()
	}
	if err := <-errs; !errors.Is(err, ErrBusy) { // two wait in the queue, whichever they are
		t.Fatalf("the third of three requests: %v", err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	cause := errors.New("enough")
	cancel(cause)
	if err := e.Run(ctx); err != cause {
		t.Errorf("Run returned %v", err)
	}
	for range 2 {
		if err := <-errs; !errors.Is(err, ErrStopped) {
			t.Errorf("a waiting request got %v", err)
		}
	}
}

// One slot, and a request in it that would take long: the next is answered only when the first has given the slot up.
func TestCancelledRequestGivesUpItsSlot(t *testing.T) {
	m := load(t)
	w := &worker{model: m, slots: 1, queue: make(chan *job)}
	ctx, cancel := context.WithCancel(context.Background())
	long := &job{ctx: ctx, req: Request{Prompt: conversation(t, "hello")}, out: make(chan outcome, 1)}
	w.take(long)
	w.step()
	if len(w.live) != 1 {
		t.Fatal("the request left its slot before it was cancelled")
	}
	cancel()
	w.step()
	if len(w.live) != 0 || len(long.out) != 0 {
		t.Errorf("%d requests in slots, %d outcomes", len(w.live), len(long.out))
	}
	w.take(long)
	if len(w.live) != 0 {
		t.Error("a request whose caller has gone was given a slot")
	}
}

func TestCompleteReturnsTheCauseOfItsContext(t *testing.T) {
	e := NewEngine(load(t), Options{})
	ctx, cancel := context.WithCancelCause(context.Background())
	cause := errors.New("the job was stopped")
	cancel(cause)
	if _, err := e.Complete(ctx, Request{Prompt: conversation(t, "hello")}); err != cause {
		t.Errorf("got %v", err)
	}
}

func TestSharedBeginningsAreComputedOnce(t *testing.T) {
	m := load(t)
	w := &worker{model: m, slots: 8, queue: make(chan *job)}
	system, prompt := strings.Repeat("Answer with one word. ", 10), 0
	for i := range 8 {
		ids, err := Encode([]Message{{"system", system}, {"user", fmt.Sprint(i)}})
		if err != nil {
			t.Fatal(err)
		}
		prompt = len(ids)
		w.take(&job{ctx: context.Background(), req: Request{Prompt: ids, MaxTokens: 1}, out: make(chan outcome, 1)})
	}
	slots := append([]*slot(nil), w.live...)
	for len(w.live) > 0 {
		w.step()
	}
	computed := 0 // the second prompt begins before all of the first is there to be copied
	for _, l := range slots {
		computed += prompt - l.adopted
	}
	if limit := prompt + prompt/2 + 7*minAdopted; computed > limit {
		t.Errorf("%d prompt tokens went through the model, of %d in all; at most %d had to", computed, 8*prompt, limit)
	}
	if len(w.recent) != 1 {
		t.Errorf("%d sequences are kept for one beginning", len(w.recent))
	}
}

func TestEmbeddingsOfTheSameTextAreTheSame(t *testing.T) {
	m := load(t)
	e := start(t, m, Options{Workers: 1})
	vs := make([][]float32, 4)
	var wg sync.WaitGroup
	for i, text := range []string{"the parcel is late", "the parcel is late", "the parcel came late", "una notte di pioggia"} {
		wg.Go(func() {
			var err error
			if vs[i], err = e.Embed(context.Background(), text); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	dot := func(a, b []float32) (s float64) {
		for i := range a {
			s += float64(a[i]) * float64(b[i])
		}
		return s
	}
	if len(vs[0]) != m.Dim() || dot(vs[0], vs[1]) < .999999 {
		t.Fatalf("length %d, product of equal texts %v", len(vs[0]), dot(vs[0], vs[1]))
	}
	if alike, other := dot(vs[0], vs[2]), dot(vs[0], vs[3]); alike <= other {
		t.Errorf("a text of like words is not nearer (%v) than another (%v)", alike, other)
	}
}

// BenchmarkRecords answers prompts that share their instruction, as a job's records do.
func BenchmarkRecords(b *testing.B) {
	m := load(b)
	e := start(b, m, Options{Queue: 1000})
	var reqs []Request
	for i := range 64 {
		ids, _ := Encode([]Message{{"system", "Route the customer's support ticket to one of these teams: billing, shipping, technical, account, other. Answer with one word."}, {"user", fmt.Sprintf("I was charged twice for order %d, please send me my money back.", i)}})
		reqs = append(reqs, Request{Prompt: ids})
	}
	tokens := 0
	for b.Loop() {
		for i, r := range all(b, e, reqs) {
			tokens += len(reqs[i].Prompt) + r.Tokens
		}
	}
	b.ReportMetric(float64(tokens)/b.Elapsed().Seconds(), "tokens/s")
	b.ReportMetric(float64(64*b.N)/b.Elapsed().Seconds(), "records/s")
}
