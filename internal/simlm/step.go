package simlm

import (
	"slices"
	"time"
)

// maxBehind is the lag of steps behind their computed times that is caught up. A process without CPU for a moment catches up, since
// a GPU would not have noticed. A process that was stopped for longer does not.
const maxBehind = time.Second

// begin starts the step at b.due. It computes prompt tokens of new sequences, up to Options.Chunk, and sets the timer to the end of the
// step (see Options.Step).
func (b *batch) begin(now time.Time) {
	l := b.plan()
	d := b.o.Step + time.Duration(len(b.running))*b.o.Decode + time.Duration(l.prompts)*b.o.Prefill + b.o.Roofline.time(l.prompts+l.answers, l.context)
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

// end ends a step: each sequence with a computed prompt gains a token, finished ones are answered, and the next step begins.
func (b *batch) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.account.advance(now)
	b.stepping = false
	b.running = slices.DeleteFunc(b.running, b.advance)
	b.next(now)
}

// advance adds a token to a sequence, and reports whether the sequence leaves the batch.
func (b *batch) advance(s *sequence) bool {
	if s.gone { // its client has gone during the step
		b.account.freed(s)
		b.held -= s.holds()
		return true
	}
	if s.computed < s.length() || s.idle {
		return false
	}
	if s.made < s.output {
		b.account.generated(s, 1)
		b.held++
		s.tell()
	}
	if s.made < s.output || s.endless {
		return false
	}
	b.answer(s)
	return true
}
