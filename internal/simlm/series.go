package simlm

import "time"

// Series has the running and waiting requests at equal intervals since the start or the last reset.
type Series struct {
	Interval float64 `json:"interval_s"`
	Running  []int   `json:"running"`
	Waiting  []int   `json:"waiting"`
	Slots    []int   `json:"slots"` // -1: no bound
}

// maxSeries is the greatest number of moments: an hour at intervals of 0.1 s.
const maxSeries = 36_000

// series collects a Series. note is called before every change, and fills in the moments since the last one.
type series struct {
	every   time.Duration // 0: nothing is collected
	next    time.Time
	moments Series
}

// newSeries begins a series.
func newSeries(every time.Duration, now time.Time) series {
	return series{every: every, next: now.Add(every)}
}

// note fills in the moments up to a time. The numbers are those since the last call.
func (s *series) note(until time.Time, running, waiting, slots int) {
	for s.every > 0 && !s.next.After(until) {
		m := &s.moments
		m.Running, m.Waiting, m.Slots = append(m.Running, running), append(m.Waiting, waiting), append(m.Slots, slots)
		s.next = s.next.Add(s.every)
		if len(m.Running) == maxSeries {
			s.thin()
		}
	}
}

// thin drops every other moment and doubles the interval, so that a series covers any length of time.
func (s *series) thin() {
	m := &s.moments
	for _, l := range []*[]int{&m.Running, &m.Waiting, &m.Slots} {
		for i := range maxSeries / 2 {
			(*l)[i] = (*l)[2*i+1]
		}
		*l = (*l)[:maxSeries/2]
	}
	s.every *= 2
	s.next = s.next.Add(s.every / 2)
}
