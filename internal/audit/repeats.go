package audit

import (
	"context"
	"reflect"
	"sync"
	"time"
)

// Repeats are the requests of a reader that asks the same again and again without a person's doing, such as an open page that updates itself. Only
// the first request leaves a line, those whose line would say something else than the line before, and one each RepeatTime. It is safe
// for concurrent use.
type Repeats struct {
	mu   sync.Mutex
	last map[string]Entry // that was written, by action and resource
}

// RepeatTime is the longest time between two lines of a reader that goes on.
const RepeatTime = 5 * time.Minute

// mostRepeats bounds the different requests of a reader; others leave lines.
const mostRepeats = 16

type repeatsKey struct{}

// Repeating returns a context for the requests of such a reader. A context never comes from outside the process.
func Repeating(ctx context.Context, r *Repeats) context.Context {
	return context.WithValue(ctx, repeatsKey{}, r)
}

// Repeated reports whether the line of a request with this context is to be left out. If not, it takes it for written.
func Repeated(ctx context.Context, e Entry) bool {
	r, _ := ctx.Value(repeatsKey{}).(*Repeats)
	if r == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	what := e.Service + " " + e.Action + " " + e.Resource
	before, known := r.last[what]
	if known && e.Time.Sub(before.Time) < RepeatTime && same(before, e) {
		return true
	}
	if known || len(r.last) < mostRepeats {
		if r.last == nil {
			r.last = map[string]Entry{}
		}
		r.last[what] = e
	}
	return false
}

// same reports whether two lines differ in their time and id only.
func same(a, b Entry) bool {
	a.Time, a.Request = b.Time, b.Request
	return reflect.DeepEqual(a, b)
}
