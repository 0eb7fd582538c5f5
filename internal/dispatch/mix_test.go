package dispatch

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/dialect"
	"github.com/batholith/batholith/internal/memory"
	"github.com/batholith/batholith/internal/raced"
	"github.com/batholith/batholith/internal/simlm"
	"github.com/batholith/batholith/internal/upstream"
)

// family is a kind of records. Each of its groups has a system prompt. Sizes are in tokens.
type family struct {
	name                    string
	records, groups         int
	system, prompt          int
	leastAnswer, mostAnswer int
}

// bodies are the records of some families, by chance. In prompt order the families come in the order in which they are named here.
func bodies(families ...family) (all []string) {
	r := rand.New(rand.NewPCG(1, 1))
	for i, f := range families {
		for n := range f.records {
			group := n % f.groups
			system := fmt.Sprintf("%c%s %d. %s", 'a'+i, f.name, group, strings.Repeat(fmt.Sprintf("%04d", group), f.system-5))
			user := fmt.Sprintf("%016x%s", r.Uint64(), strings.Repeat(fmt.Sprintf("%04d", r.IntN(10000)), f.prompt-4))
			all = append(all, fmt.Sprintf(`{"messages":[{"role":"system","content":"%s"},{"role":"user","content":"%s"}],"max_tokens":%d}`,
				system, user, f.leastAnswer+r.IntN(f.mostAnswer-f.leastAnswer+1)))
		}
	}
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// asIs sends a body unchanged, and notes the first letters of the system prompts in the order in which they are sent.
type asIs struct {
	mu   *sync.Mutex
	sent *[]byte
}

func (a asIs) Request(input []byte, _ string) (batholith.Call, error) {
	_, system, _ := strings.Cut(string(input), `"system","content":"`)
	a.mu.Lock()
	defer a.mu.Unlock()
	*a.sent = append(*a.sent, system[0])
	return batholith.Call{Path: "/chat/completions", Body: input}, nil
}

func (asIs) Answer(_ []byte, _ batholith.Call, body []byte) (batholith.Answer, error) {
	return batholith.Answer{Output: body, Tokens: dialect.Usage(dialect.ProtocolOpenAI, body)}, nil
}

// trip is a job on a simulated server.
type trip struct {
	took     time.Duration
	cached   float64 // share of the prompts' tokens
	switches int     // times that the family of a record was not that of the one before
}

// travel sends records as one job. inFlight is the configured limit; 0: it is found.
func travel(t *testing.T, o simlm.Options, inFlight int, mixing bool, all []string) (out trip) {
	synctest.Test(t, func(t *testing.T) {
		o.Model, o.Engine = "m", cmp.Or(o.Engine, simlm.EngineVLLM)
		o.OutputTokens = 1 << 20 // so that max_tokens is the length of an answer
		s := simlm.New(o)
		b, err := upstream.New(upstream.Options{URL: "http://sim/v1", Model: "m", MaxInFlight: inFlight, NoMixing: !mixing, Transport: upstream.InProcess(s)})
		if err != nil {
			t.Fatal(err)
		}
		w := newWorld(t)
		d := w.dispatcher(Options{}, b)
		var sent []byte
		serving, note := d.o.Serving, asIs{new(sync.Mutex), &sent}
		d.o.Serving = func(j batholith.Job) (Serving, error) {
			s, err := serving(j)
			s.Dialect = always(note)
			return s, err
		}
		d.Enqueue(w.jobOf("a", len(all), 64, func(n int) string { return all[n] }))
		defer w.start(d)()
		w.await(len(all), "a")
		st := s.Stats()
		out = trip{took: time.Duration(st.Work.Seconds * float64(time.Second)), cached: float64(st.CachedTokens) / float64(st.PromptTokens)}
		for i := range len(sent) - 1 {
			if sent[i] != sent[i+1] {
				out.switches++
			}
		}
	})
	return out
}

// gpu is a server with the costs of an H100 with a model of 8 billion parameters.
func gpu(slots, chunk int, overlap float64) simlm.Options {
	o := simlm.Options{Slots: slots, Chunk: chunk, Cache: 30_000, Step: time.Millisecond, Roofline: simlm.Accelerators["h100-8b"]}
	o.Roofline.Overlap = overlap
	return o
}

// The two families of most tests: one writes long answers, the other reads long prompts.
var (
	writers = family{"write", 240, 2, 100, 20, 100, 300}
	readers = family{"read", 240, 2, 100, 700, 4, 4}
)

// A law of the whole: on a server whose steps are shared by prompts and answers, a job of both takes a tenth less time than in prompt order
// alone, and still as many tokens come from the cache.
func TestAMixtureOfLengthsIsFasterThanPromptOrderAlone(t *testing.T) {
	for i, c := range []struct {
		name     string
		o        simlm.Options
		inFlight int
		families []family
	}{
		{"pieces of 256 tokens", gpu(32, 256, 0), 36, []family{writers, readers}},
		{"pieces of 256 tokens, prompts first", gpu(32, 256, 0), 36, []family{readers, writers}},
		{"computes while it reads", gpu(32, 384, 1), 36, []family{writers, readers}},
		{"the limit is found", gpu(32, 256, 0), 0, []family{readers, writers}},
	} {
		if raced.On && i > 0 {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			all := bodies(c.families...)
			alone, mixed := travel(t, c.o, c.inFlight, false, all), travel(t, c.o, c.inFlight, true, all)
			gain := alone.took.Seconds() / mixed.took.Seconds()
			t.Logf("alone %+v, mixed %+v: gain %.3f", alone, mixed, gain)
			if gain < 1.1 || mixed.cached < alone.cached-0.02 || mixed.switches < len(all)/8 {
				t.Errorf("alone %+v, mixed %+v: gain %.3f, want 1.1 at least", alone, mixed, gain)
			}
		})
	}
}

// A law of the whole: where a mixture gains nothing, it costs nothing. The figures vary by 1 % from run to run.
func TestAMixtureOfLengthsCostsNothingWhereItGainsNothing(t *testing.T) {
	for i, c := range []struct {
		name string
		o    simlm.Options
	}{
		{"vLLM's pieces of 8,192 tokens", gpu(32, 8192, 0)},
		{"prompts in steps of their own", func() simlm.Options {
			o := gpu(32, 8192, 0)
			o.Roofline.Apart = true
			return o
		}()},
		{"costs that add up", simlm.Options{Slots: 32, Step: 20 * time.Millisecond, Decode: 40 * time.Microsecond, Prefill: 60 * time.Microsecond, Cache: 30_000}},
	} {
		if raced.On && i > 0 {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			all := bodies(writers, family{"summarise", 240, 2, 100, 600, 40, 40})
			alone, mixed := travel(t, c.o, 36, false, all), travel(t, c.o, 36, true, all)
			gain := alone.took.Seconds() / mixed.took.Seconds()
			t.Logf("alone %+v, mixed %+v: gain %.3f", alone, mixed, gain)
			if gain < 0.97 || mixed.cached < alone.cached-0.02 {
				t.Errorf("alone %+v, mixed %+v: gain %.3f", alone, mixed, gain)
			}
		})
	}
}

func TestPromptOrderStaysWhereAMixtureIsOfNoUse(t *testing.T) {
	linear := simlm.Options{Step: 5 * time.Millisecond, Prefill: 20 * time.Microsecond, Cache: 30_000}
	with := func(slots int, e simlm.Engine) simlm.Options {
		o := linear
		o.Slots, o.Engine = slots, e
		return o
	}
	for i, c := range []struct {
		name     string
		o        simlm.Options
		mixing   bool
		families []family
		most     int // switches: one for each turn of the walk, and two for each leader
	}{
		{"a short job", with(40, ""), true, []family{{"write", 70, 1, 100, 20, 50, 50}, {"read", 70, 1, 100, 300, 2, 2}}, 40},
		{"one slot", with(1, ""), true, []family{{"write", 100, 2, 100, 20, 30, 30}, {"read", 100, 2, 100, 300, 2, 2}}, 8},
		{"few slots", with(16, ""), true, []family{writers, readers}, 8},
		{"a cache for each slot, as in llama.cpp", with(32, simlm.EngineLlamaCPP), true, []family{writers, readers}, 8},
		{"the setting no_mixing", with(32, ""), false, []family{writers, readers}, 8},
		{"lengths that are alike", with(32, ""), true, []family{{"one", 240, 2, 100, 50, 40, 60}, {"two", 240, 2, 100, 50, 40, 60}}, 24},
	} {
		if raced.On && i > 0 {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			if out := travel(t, c.o, c.o.Slots+max(1, c.o.Slots/8), c.mixing, bodies(c.families...)); out.switches > c.most {
				t.Errorf("%+v, want %d switches at most", out, c.most)
			}
		})
	}
}

// Answers are not announced here: no record sets max_tokens, and all prompts have one length.
func TestWhatAGroupsAnswersTakeIsLearntFromThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := perToken(40, time.Millisecond)
		s.limit = 40
		var mu sync.Mutex
		var sent []byte
		answer := s.do
		s.do = func(ctx context.Context, body string, nth int) ([]byte, error) {
			_, system, _ := strings.Cut(body, `"system":"`)
			mu.Lock()
			sent = append(sent, system[0])
			mu.Unlock()
			return answer(ctx, body, nth)
		}
		d := w.dispatcher(Options{}, s)
		const records = 2000
		d.Enqueue(w.jobOf("a", records, 256, func(n int) string {
			group, tokens := "a", 200
			if n%2 == 0 {
				group, tokens = "b", 2
			}
			return fmt.Sprintf(`{"system":"%s","messages":[{"n":"%s"}],"tokens":%d}`, strings.Repeat(group, 800), strings.Repeat(fmt.Sprintf("%06d", n), 60), tokens)
		}))
		defer w.start(d)()
		w.await(records, "a")
		switches := 0
		for i := range len(sent) - 1 {
			if sent[i] != sent[i+1] {
				switches++
			}
		}
		t.Logf("%d switches", switches)
		if switches < records/4 {
			t.Errorf("%d switches between two groups in %d records", switches, records)
		}
	})
}

// weighable makes a window whose groups read or write, with so many records in each.
func weighable(r *rand.Rand, groups, records int) (walk, []*item) {
	f := &feed{queue: &queue{}}
	w := newWalk(memory.NewBudget(1 << 30))
	var all []*item
	for n := range groups * records {
		it := &item{feed: f, key: batholith.RecordKey{Record: int64(n)}}
		g := n % groups
		it.prompt.System = fmt.Appendf(nil, "%03d%s", g, strings.Repeat("s", 400))
		it.prompt.Turns = fmt.Appendf(nil, "%09d", r.IntN(1<<29))
		it.prompt.MaxTokens = 500
		if g/4%2 == 1 { // four groups of one kind, then four of the other
			it.prompt.Turns = append(it.prompt.Turns, strings.Repeat("t", 4000)...)
			it.prompt.MaxTokens = 5
		}
		all = append(all, it)
	}
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return w, all
}

func TestEachPartOfAWindowIsInPromptOrderAndEachGroupInOnePart(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	w, all := weighable(r, 16, 40)
	for chunk := range slices.Chunk(all, 100) {
		w.add(chunk)
		w.weigh(32)
	}
	w.weigh(32)
	if !w.mixed || w.writers != len(all)/2 {
		t.Fatalf("mixed %v, %d of %d write", w.mixed, w.writers, len(all))
	}
	of := map[string]part{}
	for p := range parts {
		from, to := w.bounds(p)
		if !slices.IsSortedFunc(w.items[from:to], comparePrompts) {
			t.Errorf("part %d is not in prompt order", p)
		}
		for _, it := range w.items[from:to] {
			group := string(it.prompt.System)
			if was, ok := of[group]; ok && was != p {
				t.Errorf("group %.3s is in both parts", group)
			}
			if of[group] = p; (p == writing) != (it.prompt.MaxTokens > 100) {
				t.Errorf("a record with at most %d tokens of an answer is in part %d", it.prompt.MaxTokens, p)
			}
		}
	}
	w.unite()
	if w.writers != 0 || !slices.IsSortedFunc(w.items, comparePrompts) {
		t.Errorf("after its end, %d write, or the window is not in prompt order", w.writers)
	}
}

func TestAMixedWalkVisitsEveryRecordOnceAndBothPartsEvenly(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	w, all := weighable(r, 16, 100)
	l, seen := &lane{}, map[int64]int{}
	chunks := slices.Collect(slices.Chunk(all, 200))
	var order []part
	for len(w.items)+len(chunks) > 0 {
		if len(chunks) > 0 && (len(w.items) < 400 || r.IntN(50) == 0) {
			w.add(chunks[0])
			chunks = chunks[1:]
			w.weigh(32)
			continue
		}
		if r.IntN(97) == 0 {
			w.weigh(1 + r.IntN(64))
		}
		of := w.due(l)
		w.settle(l, of)
		it := w.take(w.next(l.fronts[of], of))
		l.fronts[of] = &it.prompt
		if r.IntN(10) == 0 {
			w.back(it)
			continue
		}
		seen[it.key.Record]++
		if w.mixed && w.writers > 0 && w.writers < len(w.items) {
			order = append(order, of)
		}
	}
	if len(seen) != len(all) {
		t.Errorf("%d of %d records came", len(seen), len(all))
	}
	for record, times := range seen {
		if times != 1 {
			t.Errorf("record %d came %d times", record, times)
		}
	}
	for block := range slices.Chunk(order[:len(order)/2], 100) { // later the parts are small
		n := 0
		for _, of := range block {
			n += int(of)
		}
		if len(block) == 100 && (n < 25 || n > 75) {
			t.Errorf("of 100 records in a row %d write, where half of all do", n)
		}
	}
}

func TestALongAnswerTakesASlotForLongerThanALongPrompt(t *testing.T) {
	f := &feed{queue: &queue{}}
	w := newWalk(memory.NewBudget(1 << 20))
	for n, answer := range []int64{10, 500, 20} {
		it := &item{feed: f, input: make([]byte, 100)}
		if n != 1 {
			it.input = make([]byte, 20_000)
		}
		it.prompt.MaxTokens = answer
		w.items = append(w.items, it)
	}
	if at := w.longest(); at != 1 {
		t.Errorf("the longest record is number %d: an answer of at most %d tokens", at, w.items[at].prompt.MaxTokens)
	}
}
