package dispatch

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/batholith/batholith"
)

// probe probes the backend, and waits before it returns if the server does not answer. Any HTTP answer makes the backend usable: a missing
// list of models, or one without the name, is no reason to send nothing. The first record shows whether the model is served.
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
	if l.reached && !unsure {
		if vain { // the server answers probes only
			l.wait(ctx)
		}
		if !l.host.reachedBeside(l) { // else only the way to the server was interrupted
			l.limit.Retrial()
		}
	}
	l.reached = true
	l.learn(ctx)
	l.mu.Lock()
	l.out, l.doubt = "", ""
	if err != nil {
		l.doubt = reason(err)
	}
	if !l.outSince.IsZero() && l.broke != nil && l.broke.repeated { // a retry has crashed the server: it pays with the retry credit for the outage
		l.retries.spend(time.Since(l.outSince), l.limit.Size())
	}
	l.outSince = time.Time{}
	for _, h := range l.histories { // each paused class starts its probes again with a canary
		if h != nil && h.paused && !unsure {
			h.turn, h.probe = ownCanary, time.Now()
		}
	}
	l.mu.Unlock()
	l.d.news.tell()
	for _, q := range l.served() {
		q.admit()
		q.tell()
	}
	l.signal()
}

// starter is a Backend whose server this process starts. Both methods may be called at any time.
type starter interface {
	// Ready returns a channel that is closed when the server is ready; nil if it is ready now, or if that is not known.
	Ready() <-chan struct{}
	// Progress says how far the start is; "" if the server is ready, or unknown. Users of every tenant may read it.
	Progress() string
}

// ready returns a channel that is closed when a server becomes ready that this process starts, nil for others.
func (l *lane) ready() <-chan struct{} {
	if s, ok := l.backend.(starter); ok {
		return s.Ready()
	}
	return nil
}

// progress says how far such a start is, in the form of a further cause.
func (l *lane) progress() string {
	if s, ok := l.backend.(starter); ok && s.Progress() != "" {
		return "; " + s.Progress()
	}
	return ""
}

// wait waits until the next probe. The delay grows by a quarter each time, up to lastProbe, so that a recovered server is found after at
// most 1.25 times the length of the outage. A server that this process starts is probed as soon as it is ready.
func (l *lane) wait(ctx context.Context) {
	l.mu.Lock()
	delay := l.delay
	l.delay = min(l.delay*5/4, lastProbe)
	l.mu.Unlock()
	select {
	case <-ctx.Done():
	case <-l.ready():
	case <-time.After(delay):
	}
}

// reason says why a backend cannot be used, for logs and for the notes of all tenants' jobs. It holds no text of the server, which may
// quote another tenant's request. An error that is no Failure does not come from the server (see Backend).
func reason(err error) string {
	if f, ok := errors.AsType[*batholith.Failure](err); ok {
		return f.Reason()
	}
	return err.Error()
}

// takeOut takes the backend out of use until a probe reaches it.
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
		level := slog.LevelWarn
		if l.progress() != "" { // whoever starts the server logs what happens to it
			level = slog.LevelInfo
		}
		l.d.o.Log.Log(context.Background(), level, "backend cannot be used", "backend", l.backend.String(), "model", l.backend.ModelName(), "why", why)
	}
	if !l.host.reachedBeside(l) {
		l.limit.Dismiss()
	}
	l.signal()
	l.wakeStandbys()
	l.tell()
}
