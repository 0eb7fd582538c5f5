package tinylm

import (
	"bytes"
	"context"
	"math"
	"math/rand/v2"
	"slices"
)

const (
	maxRows    = 128 // rows of one step: a long prompt takes several steps, so that other answers are not delayed
	maxRecent  = 6   // finished sequences that are kept for prompts with the same beginning
	minAdopted = 16  // tokens; fewer are faster to compute than to copy
)

// worker computes the sequences in its slots, step by step. All of its fields belong to the goroutine of run.
type worker struct {
	model  *Model
	slots  int
	queue  <-chan *job
	live   []*slot
	recent []*sequence // finished sequences; the one used last is last
	b      scratch
}

// slot is a request that is being computed.
type slot struct {
	job     *job
	s       *sequence
	rng     *rand.Rand
	adopted int       // tokens whose keys and values were copied
	text    []byte    // of the answer so far
	told    int       // bytes of text that were sent
	sum     []float32 // of an embedding's rows so far
	over    bool      // answered or given up: the slot is free
}

// run works until ctx ends. Requests in slots then get no outcome; submit returns ErrStopped to their callers.
func (w *worker) run(ctx context.Context) {
	for w.admit(ctx) {
		w.step()
	}
}

// admit fills free slots from the queue. If no slot is in use it waits for a request. It returns false when ctx has ended.
func (w *worker) admit(ctx context.Context) bool {
	if ctx.Err() != nil {
		return false
	}
	if len(w.live) == 0 {
		select {
		case j := <-w.queue:
			w.take(j)
		case <-ctx.Done():
			return false
		}
	}
	for len(w.live) < w.slots {
		select {
		case j := <-w.queue:
			w.take(j)
		default:
			return true
		}
	}
	return true
}

// take puts a request into a slot.
func (w *worker) take(j *job) {
	if j.ctx.Err() != nil {
		return // its caller has gone while it waited
	}
	more := j.req.MaxTokens
	if more <= 0 {
		more = w.model.context
	}
	if j.pool {
		more = 0
	}
	w.live = append(w.live, &slot{job: j, s: w.model.newSequence(j.req.Prompt, more), rng: j.req.source()})
}

// step runs some rows of each live sequence through the model and ends those that are complete.
func (w *worker) step() {
	w.adopt()
	rows, want, who := w.gather()
	if len(rows) > 0 {
		x := w.model.forward(&w.b, rows)
		w.pool(rows, x)
		for i, l := range w.model.logits(&w.b, x, want) {
			w.extend(who[i], l)
		}
	}
	w.live = slices.DeleteFunc(w.live, func(l *slot) bool { return l.over || l.job.ctx.Err() != nil })
}

// adopt copies the keys and values of the longest shared beginning into sequences of which nothing was computed yet.
func (w *worker) adopt() {
	for _, l := range w.live {
		if l.s.done > l.adopted || l.job.pool {
			continue
		}
		from, n := w.alike(l.s.ids)
		if n = min(n, len(l.s.ids)-1); n < l.adopted+minAdopted { // the last token must go through the model: its row gives the first logits
			continue
		}
		l.s.adopt(w.model, from, n)
		l.adopted = n
	}
}

// alike returns the sequence that shares the most leading tokens with ids, and their number.
func (w *worker) alike(ids []int) (best *sequence, most int) {
	for _, l := range w.live {
		if n := l.s.shared(ids); n > most {
			best, most = l.s, n
		}
	}
	for i, s := range w.recent {
		if n := s.shared(ids); n > most {
			best, most = s, n
			w.recent = append(slices.Delete(w.recent, i, i+1), s)
		}
	}
	return best, most
}

// gather chooses the rows of a step: the tokens of each sequence that are not stored yet, up to maxRows in total. For each sequence that is then
// complete, want has the index of its last row, and who its slot.
func (w *worker) gather() (rows []row, want []int, who []*slot) {
	for _, decoding := range []bool{true, false} { // an answer's next token comes before a new prompt
		for _, l := range w.live {
			left := len(l.s.ids) - l.s.done
			if left == 0 || (left == 1) != decoding || len(rows) == maxRows {
				continue
			}
			for l.s.done < len(l.s.ids) && len(rows) < maxRows {
				rows = append(rows, row{l.s, l.s.done})
				l.s.done++
			}
			if l.s.done == len(l.s.ids) && !l.job.pool {
				want, who = append(want, len(rows)-1), append(who, l)
			}
		}
	}
	return rows, want, who
}

// extend appends the next token to an answer, or ends it.
func (w *worker) extend(l *slot, logits []float32) {
	r := &l.job.req
	t := r.choose(logits, l.rng)
	if t == End {
		w.end(l, ReasonStop)
		return
	}
	l.s.ids = append(l.s.ids, t)
	if t < Begin {
		l.text = append(l.text, byte(t))
	}
	if at := stopAt(l.text, r.Stop); at >= 0 {
		l.text = l.text[:at]
		w.end(l, ReasonStop)
		return
	}
	if n := len(l.s.ids); n-len(r.Prompt) == r.MaxTokens || n >= w.model.context {
		w.end(l, ReasonLength)
		return
	}
	l.tell()
}

// stopAt returns where a stop sequence that the text has just completed begins, or -1.
func stopAt(text []byte, stops []string) int {
	for _, s := range stops {
		if s != "" && bytes.HasSuffix(text, []byte(s)) {
			return len(text) - len(s)
		}
	}
	return -1
}

// end sends a slot's answer, and keeps the sequence for later prompts unless a similar one is kept already.
func (w *worker) end(l *slot, reason string) {
	n := len(l.job.req.Prompt)
	l.over = true
	l.job.out <- outcome{result: Result{Text: string(bytes.ToValidUTF8(l.text, []byte("\uFFFD"))), Tokens: len(l.s.ids) - n, Reason: reason}}
	if l.adopted > n/2 {
		return
	}
	if len(w.recent) == maxRecent {
		w.recent = slices.Delete(w.recent, 0, 1)
	}
	w.recent = append(w.recent, l.s)
}

// pool adds the rows of texts to be embedded to their sums, and ends those that are complete.
func (w *worker) pool(rows []row, x []float32) {
	d := w.model.dim
	o := make([]float32, d)
	for _, l := range w.live {
		if !l.job.pool {
			continue
		}
		if l.sum == nil {
			l.sum = make([]float32, d)
		}
		for i, r := range rows {
			if r.s == l.s {
				norm(o, x[i*d:(i+1)*d], w.model.normOut)
				add(l.sum, o)
			}
		}
		if l.s.done == len(l.s.ids) {
			l.over = true
			l.job.out <- outcome{vector: unit(l.sum)}
		}
	}
}

// unit scales a vector to length 1.
func unit(v []float32) []float32 {
	var s float64
	for _, x := range v {
		s += float64(x) * float64(x)
	}
	f := float32(1 / math.Sqrt(max(s, 1e-30)))
	for i := range v {
		v[i] *= f
	}
	return v
}
