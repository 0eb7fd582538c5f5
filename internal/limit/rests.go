package limit

import "time"

const (
	restsPerAnswer = 8                      // a rest is the time of an answer / 8, or more (see Limiter.rest)
	firstRest      = 250 * time.Millisecond // before the first answer
	leastRest      = time.Millisecond
	mostRest       = time.Second
)

// rests are the slots of refused requests that stay empty for a moment.
type rests struct {
	ends []time.Time // about in order
	n    int
}

func (r *rests) add(end time.Time) {
	r.ends = append(r.ends, end)
	r.n++
}

// now is the number of slots that rest.
func (r *rests) now(now time.Time) int {
	i := 0
	for i < len(r.ends) && !r.ends[i].After(now) {
		i++
	}
	if i > 0 {
		r.ends = r.ends[i:]
		r.n = len(r.ends)
	}
	return r.n
}

// next is the time until a slot stops resting; 0: none rests.
func (r *rests) next(now time.Time) time.Duration {
	if r.n == 0 {
		return 0
	}
	return r.ends[0].Sub(now)
}
