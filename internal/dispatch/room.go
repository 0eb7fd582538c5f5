package dispatch

import (
	"context"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/memory"
)

// What is held of Options.Room. A chunk takes the bytes of its records and as many again for the requests that are made of them, before it
// is read and until its last record is settled. An answer takes its bytes as it is read, and until its record is settled. A long output
// line takes twice its bytes until it is committed, with its copy for the journal or for the segment; shorter ones are bounded by the sink. So at any time
//
//	held = sum over chunks of 2 * bytes + sum over answers of bytes + sum over long lines of 2 * bytes
//
// Small work never waits: a model's first chunks and a backend's first megabytes of answers are below the floors of their accounts.
const (
	requestCopies = 2 // of a chunk's bytes: the input and the requests
	lineCopies    = 2
	chunkFloor    = 2 * 16 << 20 // of a model, for the 16 MiB of chunks that a queue holds as a rule (queueBytes)
	answerFloor   = 4 << 20      // of a backend
	longLine      = 64 << 10
)

// room is the account of one attempt's answer. While it waits for more, nothing is in flight to the server as far as the limiter is
// concerned: what takes time is this process.
type room struct {
	hold *memory.Hold
	l    *lane
	it   *item
	b    *memory.Budget
}

// Grow implements [batholith.Room].
func (r *room) Grow(ctx context.Context, n int) error {
	if r.hold == nil {
		r.hold = r.l.answers.Hold()
	}
	if r.hold.TryGrow(int64(n)) {
		return nil
	}
	r.l.limit.Land(&r.it.flight)
	return r.hold.Grow(ctx, int64(n))
}

// Alone implements [batholith.Room].
func (r *room) Alone(n int) func() { return r.b.Alone(n) }

// release gives back what the answer took. Most took nothing.
func (r *room) release() {
	if r.hold != nil {
		r.hold.Release()
	}
}

// account makes the room of a long line that is in memory already last until the outcome is settled.
func (d *Dispatcher) account(o *batholith.Outcome) {
	if len(o.Line) < longLine {
		return
	}
	hold := d.lines.Hold()
	hold.Force(lineCopies * int64(len(o.Line)))
	o.Settled = hold.Release
}

// add hands an outcome over to the sink.
func (d *Dispatcher) add(o batholith.Outcome) error {
	d.account(&o)
	err := d.o.Sink.Add(d.send, o)
	if err != nil && o.Settled != nil {
		o.Settled()
	}
	return err
}
