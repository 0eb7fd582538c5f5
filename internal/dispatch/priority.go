package dispatch

import (
	"context"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/dialect"
)

// ranker is a backend whose queue has priorities, see upstream.Backend.
type ranker interface {
	Priority(ctx context.Context) (n int64, ok bool, note string)
}

// rank finds out which priority the lane's requests carry, after a successful probe: after an outage the server may have been started in
// another way. What is in doubt is logged once.
func (l *lane) rank(ctx context.Context) {
	r, ok := l.backend.(ranker)
	if !ok || l.backend.Protocol() != dialect.ProtocolOpenAI { // other protocols have no such member
		return
	}
	n, ok, note := r.Priority(ctx)
	if ok {
		l.priority.Store(&n)
	} else {
		l.priority.Store(nil)
	}
	if note != "" && l.doubted != note {
		l.doubted = note
		l.d.o.Log.Warn("priority of a backend", "backend", l.backend.String(), "model", l.backend.ModelName(), "note", note)
	}
}

// ranked returns the call with the lane's priority.
func (l *lane) ranked(call batholith.Call) batholith.Call {
	if n := l.priority.Load(); n != nil {
		return dialect.WithPriority(call, *n)
	}
	return call
}

// spares notes the members that the server refused, and without which it answered. It logs the loss of the priority once.
func (l *lane) spares(without batholith.Spare) {
	if without == 0 {
		return
	}
	before := batholith.Spare(l.spared.Or(uint32(without)))
	if dialect.IsPriority(without &^ before) {
		l.d.o.Log.Warn("backend refuses priorities; requests are sent without from now on", "backend", l.backend.String(), "model", l.backend.ModelName(),
			"remedy", "start vLLM with --scheduling-policy priority, SGLang with --enable-priority-scheduling; or leave priority out of the backend's settings")
	}
}

// uncounted is a refusal that does not count as an attempt.
func uncounted(f *batholith.Failure) *batholith.Failure {
	u := *f
	u.Kind = batholith.FailureBackPressure
	return &u
}
