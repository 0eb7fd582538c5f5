package dispatch

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/batholith/batholith"
)

// A backend that crashes breaks off every request that it has, and one of them may be the reason. No record is blamed for a crash that it
// shared: one that was in flight at suspectAfter of them is sent with nothing beside it, and only a crash then is its own.
const suspectAfter = 2

// lastTrials is how many crashes a record gets that is sent alone to see whether a backend works again. As long as there are others, that
// says nothing of the record; when all that is left has come to this many, it is the records.
const lastTrials = 10

func (it *item) suspect() bool { return it.crashes >= suspectAfter }

// sendAlone lets the lane run dry and sends a suspect by itself. It is called on the goroutine of run, which takes nothing meanwhile.
func (l *lane) sendAlone(ctx context.Context, it *item) {
	if l.limit.Drained(ctx) != nil || !l.usable() {
		it.feed.back(it)
		return
	}
	it.alone = true
	l.send(it)
}

// crashed settles a record whose request was broken off.
func (l *lane) crashed(it *item, f *batholith.Failure) {
	it.crashes++
	if !it.alone {
		it.feed.again(it, retryDelay(it.attempts, f.RetryAfter))
		return
	}
	l.takeOut(l.q.d.send, reason(f)) // until it is seen to work again, a crash says nothing of the next suspect
	l.blame(it, f)
}

// tried settles a record that was sent to see whether the backend works again, which it does not. The record was alone, but it is the
// backend that was tried: such an attempt is not counted.
func (l *lane) tried(it *item, f *batholith.Failure) {
	l.takeOut(l.q.d.send, reason(f))
	if f.Crash {
		it.trials++
	}
	if it.trials < lastTrials || l.q.others() {
		it.feed.again(it, lastRetry*time.Duration(1+it.trials)) // longer each time, so that others are tried as well
		return
	}
	it.attempts++
	l.blame(it, f)
}

// blame ends a record that crashes the backend.
func (l *lane) blame(it *item, f *batholith.Failure) {
	l.q.d.o.Log.Warn("a record crashes the backend", "job", it.feed.job.ID, "file", it.key.File, "record", it.key.Record, "backend", l.backend.String())
	e := &batholith.RecordError{Code: http.StatusInternalServerError, Message: fmt.Sprintf(
		"%s each of the %d times that this record was in flight, the last time with no other record beside it", f.Message, it.crashes+it.trials)}
	l.conclude(it, batholith.OutcomeExhausted, batholith.Answer{}, e)
}

// others tells whether there is a record that has not yet been tried in vain as often as it may.
func (q *queue) others() bool {
	untried := func(it *item) bool { return it.trials < lastTrials }
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.ContainsFunc(q.feeds, func(f *feed) bool {
		return !f.opened || slices.ContainsFunc(f.ready.items, untried) || slices.ContainsFunc(f.later, untried)
	})
}
