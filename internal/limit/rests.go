package limit

import "time"

const (
	restsPerAnswer = 8
	firstRest      = 250 * time.Millisecond // before the first answer
	leastRest      = time.Millisecond
	mostRest       = time.Second
)

// rests are the slots of refused requests, which stay empty for a moment.
type rests struct {
	ends []time.Time
	n    int
}

func (r *rests) add(end time.Time) {
	r.ends = append(r.ends, end)
	r.n++
}

// now is how many rest.
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

// next is how long it takes until one rests no longer; 0: none rests.
func (r *rests) next(now time.Time) time.Duration {
	if r.n == 0 {
		return 0
	}
	return r.ends[0].Sub(now)
}
