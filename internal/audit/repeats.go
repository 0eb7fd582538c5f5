package audit

import (
	"context"
	"reflect"
	"sync"
	"time"
)

// Repeats remembers the lines of a reader that repeats its requests by itself, such as an open page that updates itself. A request leaves a line if
// it is the first one, if its line differs from the last one of this action and resource, or if RepeatTime has passed since. It is safe for
// concurrent use.
type Repeats struct {
	mu   sync.Mutex
	last map[string]Entry // the last line that was written, by action and resource
}

// RepeatTime is the time after which a repeated request leaves a line again.
const RepeatTime = 5 * time.Minute

// mostRepeats is the number of actions and resources that a reader's Repeats remembers. Requests for others always leave a line.
const mostRepeats = 16

type repeatsKey struct{}

// Repeating returns a context for the requests of such a reader. Only code of this process can make one, so no client can suppress its lines.
func Repeating(ctx context.Context, r *Repeats) context.Context {
	return context.WithValue(ctx, repeatsKey{}, r)
}

// Repeated reports whether the line of a request with this context must be left out. If not, it remembers the line as written.
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

// same reports whether two lines are equal except for their times and ids.
func same(a, b Entry) bool {
	a.Time, a.Request = b.Time, b.Request
	return reflect.DeepEqual(a, b)
}
