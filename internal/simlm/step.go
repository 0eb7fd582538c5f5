package simlm

import (
	"math"
	"slices"
	"time"
)

// maxBehind is how far the steps may lag behind their times before the lag is given up: a process that had no CPU for a moment
// makes up for it, as a GPU would not have noticed; one that was stopped does not.
const maxBehind = time.Second

// begin starts the step that begins at b.due: it computes the prompts of those that came, up to the bound of a step, and takes as
// long as all of its work together.
func (b *batch) begin(now time.Time) {
	budget := b.o.Chunk
	if budget <= 0 {
		budget = math.MaxInt
	}
	tokens := 0
	for _, s := range b.running {
		if s.computed < s.prompt && budget > 0 && !s.gone {
			n := b.compute(s, budget)
			budget -= n
			tokens += n
		}
	}
	d := b.o.Step + time.Duration(len(b.running))*b.o.Decode + time.Duration(tokens)*b.o.Prefill
	if b.due = b.due.Add(d); now.Sub(b.due) > maxBehind {
		b.due = now.Add(d)
	}
	b.account.total.Steps++
	b.stepping = true
	if b.timer == nil {
		b.timer = time.AfterFunc(b.due.Sub(now), b.end)
		return
	}
	b.timer.Reset(b.due.Sub(now))
}

// end is the end of a step: each sequence whose prompt is there has one more token, some are finished, and the next step begins.
func (b *batch) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.account.advance(now)
	b.stepping = false
	b.running = slices.DeleteFunc(b.running, b.advance)
	b.next(now)
}

// advance gives a sequence its token and tells whether it leaves the batch.
func (b *batch) advance(s *sequence) bool {
	if s.gone { // with its client, during the step
		b.account.freed(s)
		return true
	}
	if s.computed < s.prompt {
		return false
	}
	if s.made < s.output {
		b.account.generated(s, 1)
	}
	if s.made < s.output || s.endless {
		return false
	}
	b.answer(s)
	return true
}
