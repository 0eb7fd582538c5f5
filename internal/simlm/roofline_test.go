package simlm

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// length is the size of a request: tokens of its prompt and of its answer.
type length struct{ prompt, answer int }

// driven sends requests in their order, so many at a time, and returns how long that took.
func driven(t *testing.T, o Options, inFlight int, all []length) (d time.Duration, st Stats) {
	synctest.Test(t, func(t *testing.T) {
		s, began := New(o), time.Now()
		var flying sync.WaitGroup
		free := make(chan struct{}, inFlight)
		for _, l := range all {
			free <- struct{}{}
			flying.Go(func() {
				if err := s.batch.do(context.Background(), &sequence{prompt: l.prompt, output: l.answer}); err != nil {
					t.Error(err)
				}
				<-free
			})
			synctest.Wait() // so that they arrive in order
		}
		flying.Wait()
		d, st = time.Since(began), s.Stats()
		if st.Running+st.Waiting != 0 || s.batch.held != 0 {
			t.Errorf("at the end %d run, %d wait, and %d tokens are held", st.Running, st.Waiting, s.batch.held)
		}
	})
	return d, st
}

func TestAStepCostsTheLongerOfReadingWeightsAndComputing(t *testing.T) {
	const ms = time.Millisecond
	plain := Roofline{Weights: 10 * ms, Token: ms, Context: ms / 10}
	for _, c := range []struct {
		name            string
		overlap         float64
		tokens, context int
		want            time.Duration
	}{
		{"few tokens cost the weights", 0, 3, 0, 10 * ms},
		{"many cost their arithmetic", 0, 30, 0, 30 * ms},
		{"context is read besides", 0, 3, 100, 20 * ms},
		{"and with overlap at the same time", 1, 3, 50, 10 * ms},
		{"the longer one counts", 1, 3, 300, 30 * ms},
		{"half of it", 0.5, 30, 100, 35 * ms},
	} {
		r := plain
		r.Overlap = c.overlap
		if d := r.time(c.tokens, c.context); d != c.want {
			t.Errorf("%s: %s, want %s", c.name, d, c.want)
		}
	}
}

func TestAnswersRideOnAPromptsStep(t *testing.T) {
	o := Options{Slots: 2, Chunk: 6, Roofline: Roofline{Weights: 10 * time.Millisecond, Token: 2 * time.Millisecond}}
	together := []length{{1, 4}, {20, 1}}
	// A step for the first prompt, which then has its first token. Then three steps of 1 + 5 tokens, 2 ms each. The last 5 tokens cost the weights.
	if d, st := driven(t, o, 2, together); d != (10+3*12+10)*time.Millisecond || st.Steps != 5 {
		t.Errorf("together %s in %d steps, want 56ms in 5", d, st.Steps)
	}
	o.Roofline.Apart = true
	// The second prompt takes four steps of 6, 6, 6 and 2 tokens, in which the first answer gets none; then it gets three.
	if d, st := driven(t, o, 2, together); d != (10+3*12+10+3*10)*time.Millisecond || st.Steps != 8 {
		t.Errorf("apart %s in %d steps, want 86ms in 8", d, st.Steps)
	}
}

func TestMemoryBoundsWhatRunsAndNothingIsLost(t *testing.T) {
	all := make([]length, 40)
	for i := range all {
		all[i] = length{30 + i%7, 25}
	}
	o := Options{Slots: 16, Chunk: 64, Roofline: Roofline{Weights: time.Millisecond, Memory: 200}}
	_, st := driven(t, o, 20, all)
	if st.Answered != 40 || st.GeneratedTokens != 40*25 {
		t.Errorf("%d answers of %d tokens", st.Answered, st.GeneratedTokens)
	}
	if st.RunningMax > 6 || st.Preempted == 0 || st.PrefilledTokens <= st.PromptTokens {
		t.Errorf("at most %d ran, %d were preempted, %d tokens computed for prompts of %d", st.RunningMax, st.Preempted, st.PrefilledTokens, st.PromptTokens)
	}
	o.Roofline.Memory = 20 // less than any request needs: they run one after the other
	if _, st := driven(t, o, 20, all); st.Answered != 40 || st.RunningMax != 1 || st.Preempted != 0 {
		t.Errorf("%d answers, %d ran at once, %d were preempted", st.Answered, st.RunningMax, st.Preempted)
	}
}

func TestAClientThatLeavesGivesItsMemoryBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{Slots: 8, Chunk: 64, Roofline: Roofline{Weights: time.Millisecond, Memory: 200}})
		var all sync.WaitGroup
		for i := range 20 { // they leave while they run, while they wait, and while they are preempted
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(5+i*3)*time.Millisecond)
			defer cancel()
			all.Go(func() { s.batch.do(ctx, &sequence{prompt: 30, output: 60}) })
		}
		all.Wait()
		time.Sleep(time.Second)
		if st := s.Stats(); s.batch.held != 0 || st.Running+st.Waiting != 0 {
			t.Errorf("%d tokens are held; %d run, %d wait", s.batch.held, st.Running, st.Waiting)
		}
	})
}

// Whether a mixture of long prompts and long answers is faster than one after the other depends on the server: it is where a step has few
// prompt tokens, or reads and computes at the same time, and is not where prompts come in large pieces.
func TestAMixtureIsFasterOnlyWhereReadingAndComputingShareSteps(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var apart []length
	for range 300 { // answers first: the better of the two orders
		apart = append(apart, length{100, 150 + r.IntN(100)})
	}
	for range 300 {
		apart = append(apart, length{1000 + r.IntN(1000), 4})
	}
	mixed := append([]length{}, apart...)
	r.Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
	for _, c := range []struct {
		name        string
		chunk       int
		context     time.Duration
		overlap     float64
		apart       bool
		least, most float64
	}{
		{"vLLM, pieces of 8,192 tokens", 8192, 49, 0, false, 0.95, 1.05},
		{"vLLM, pieces of 256 tokens", 256, 49, 0, false, 1.15, 2},
		{"SGLang", 8192, 49, 0, true, 0.95, 1.05},
		// As many bytes of context as a model with 32 KV heads has, such as Llama 2 7B.
		{"reads after it has computed, pieces of 4,096 tokens", 4096, 1000, 0, false, 0.95, 1.05},
		{"reads while it computes, pieces of 512 tokens", 512, 1000, 1, false, 1.1, 2},
	} {
		o := Options{Slots: 32, Chunk: c.chunk, Roofline: Accelerators["h100-8b"]}
		o.Roofline.Context, o.Roofline.Overlap, o.Roofline.Apart = c.context, c.overlap, c.apart
		a, _ := driven(t, o, 36, apart)
		m, _ := driven(t, o, 36, mixed)
		gain := a.Seconds() / m.Seconds()
		t.Logf("%s: %.1f s apart, %.1f s mixed, gain %.3f", c.name, a.Seconds(), m.Seconds(), gain)
		if gain < c.least || gain > c.most {
			t.Errorf("%s: gain %.3f, want %.2f to %.2f", c.name, gain, c.least, c.most)
		}
	}
}
