package simlm

import "time"

// Series is what ran and waited at equal intervals since the start or the last reset, one number a moment.
type Series struct {
	Interval float64 `json:"interval_s"`
	Running  []int   `json:"running"`
	Waiting  []int   `json:"waiting"`
	Slots    []int   `json:"slots"` // -1: no bound
}

// maxSeries bounds the memory of a series, in moments: an hour of tenths of a second.
const maxSeries = 36_000

// series collects a Series. It is told of every change, and notes what held at the moments before it.
type series struct {
	every   time.Duration // 0: nothing is noted
	next    time.Time
	moments Series
}

func newSeries(every time.Duration, now time.Time) series {
	return series{every: every, next: now.Add(every)}
}

// note fills in the moments up to a time, since the last of which this is how it was.
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

// thin keeps every other moment, so that a series of any length covers all of its time.
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
