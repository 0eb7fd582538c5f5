package dispatch

import (
	"context"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/limit"
	"github.com/batholith/batholith/internal/memory"
)

// Memory that is counted on Options.Room:
//
//   - a chunk: its bytes, and as many again for the requests made from them, from before it is read until its last record is concluded
//   - an answer: its bytes, while it is read and until its record is concluded
//   - the body of an interactive call of 64 KiB or more: twice its bytes, from before it waits for a slot until the call ends
//   - an output line of 64 KiB or more: twice its bytes, for the copy in the journal or the segment, until it is committed. The sink
//     bounds shorter lines.
//
// So at any time
//
//	held = sum over chunks of 2 * bytes + sum over answers of bytes + sum over long lines and long bodies of calls of 2 * bytes
//
// Small work never waits: each account has a floor, below which memory is always granted.
const (
	requestCopies = 2            // factor on a chunk's bytes: input and requests
	lineCopies    = 2            // factor on a long line's bytes
	chunkFloor    = 2 * 16 << 20 // bytes of a model: 16 MiB of chunks with their requests
	answerFloor   = 4 << 20      // bytes of a backend
	callFloor     = 64 << 20     // bytes of all interactive calls: one of the longest body
	longLine      = 64 << 10     // bytes
)

// room is the memory of one attempt's answer. While it waits for more memory, the limiter does not count the attempt as in flight, since
// the delay is not the server's.
type room struct {
	hold   *memory.Hold
	l      *lane
	flight *limit.Flight
	b      *memory.Budget
}

// Grow implements [batholith.Room]: it waits until n more bytes are granted, or ctx ends.
func (r *room) Grow(ctx context.Context, n int) error {
	if r.hold == nil {
		r.hold = r.l.answers.Hold()
	}
	if r.hold.TryGrow(int64(n)) {
		return nil
	}
	r.l.limit.Land(r.flight)
	return r.hold.Grow(ctx, int64(n))
}

// Alone implements [batholith.Room]: a step that may need n bytes for a short time waits for its turn. The caller calls the result
// afterwards.
func (r *room) Alone(n int) func() { return r.b.Alone(n) }

// release returns the memory of the answer.
func (r *room) release() {
	if r.hold != nil {
		r.hold.Release()
	}
}

// account counts the memory of a long line, which exists already, until the outcome is settled.
func (d *Dispatcher) account(o *batholith.Outcome) {
	if len(o.Line) < longLine {
		return
	}
	hold := d.lines.Hold()
	hold.Force(lineCopies * int64(len(o.Line)))
	o.Settled = hold.Release
}

// add gives an outcome to the sink.
func (d *Dispatcher) add(o batholith.Outcome) error {
	d.account(&o)
	err := d.o.Sink.Add(d.send, o)
	if err != nil && o.Settled != nil {
		o.Settled()
	}
	return err
}
