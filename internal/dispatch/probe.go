package dispatch

import (
	"context"
	"errors"
	"time"

	"github.com/batholith/batholith"
)

// probe asks the backend whether it is there, and waits before the next time when it is not. Everything that speaks HTTP is there: a list of
// models that cannot be had, or lacks the name, is not a reason to send nothing. The first record shows what is true.
func (l *lane) probe(ctx context.Context) {
	err := l.backend.Probe(ctx)
	if ctx.Err() != nil {
		return
	}
	if f, ok := errors.AsType[*batholith.Failure](err); err != nil && (!ok || f.Kind == batholith.FailureUnreachable) {
		l.mu.Lock()
		l.unsure = false
		l.mu.Unlock()
		l.takeOut(reason(err))
		l.wait(ctx)
		return
	}
	l.mu.Lock()
	unsure, vain := l.unsure, l.vain
	l.unsure, l.vain = false, true
	l.mu.Unlock()
	if l.watcher.known && !unsure {
		if vain { // it answers probes and nothing else
			l.wait(ctx)
		}
		l.limit.Retrial()
	}
	l.learn(ctx)
	l.mu.Lock()
	l.out, l.doubt = "", ""
	if err != nil {
		l.doubt = reason(err)
	}
	if !l.outSince.IsZero() && l.broke != nil && l.broke.repeated { // a record that was sent again has taken the server down
		l.retries.spend(time.Since(l.outSince), l.limit.Size())
	}
	l.outSince = time.Time{}
	for _, h := range l.histories { // the canary of a paused class is the first to be sent
		if h != nil && h.paused && !unsure {
			h.turn, h.probe = ownCanary, time.Now()
		}
	}
	l.mu.Unlock()
	for _, q := range l.served() {
		q.admit()
		q.tell()
	}
	l.signal()
}

// wait passes the time until the next probe. It grows by a quarter each time, so that a server which is back is found after at most a quarter
// more than it was away.
func (l *lane) wait(ctx context.Context) {
	l.mu.Lock()
	delay := l.delay
	l.delay = min(l.delay*5/4, lastProbe)
	l.mu.Unlock()
	select {
	case <-ctx.Done():
	case <-time.After(delay):
	}
}

// reason is why a backend cannot be used, in words that the users of every job and the log may have: nothing that a server sent is in
// them, for it may quote another tenant's request. An error that is no Failure is not from a server (see Backend).
func reason(err error) string {
	if f, ok := errors.AsType[*batholith.Failure](err); ok {
		return f.Reason()
	}
	return err.Error()
}

// takeOut stops the use of the backend until a probe reaches it.
func (l *lane) takeOut(why string) {
	l.mu.Lock()
	known := l.out == why
	l.out = why
	if !l.unsure {
		l.answered = time.Time{}
	}
	if l.outSince.IsZero() {
		l.outSince = time.Now()
	}
	l.mu.Unlock()
	if !known {
		l.d.o.Log.Warn("backend cannot be used", "backend", l.backend.String(), "model", l.backend.ModelName(), "why", why)
	}
	l.signal()
	l.tell()
}
