package limit

import "time"

const (
	binWidth = 50 * time.Millisecond
	bins     = 512
)

// sends counts requests by the time at which they were sent, and how many of them were refused: 512 bins of 50 ms, the last 25.6 s.
// A refusal counts where its request was sent, so that the share of refusals is that of the limit which was in force then.
type sends struct {
	all  [bins]bin
	took recent // of refusals, in seconds
}

// bin counts the requests of 50 ms.
type bin struct {
	n             int64 // number of the bin since 1970
	sent, refused float64
	part          float64 // share of the limit that the worker had
}

// recent is an exponentially weighted mean.
type recent struct {
	mean float64
	any  bool
}

// add moves the mean by weight × (x - mean). The first value becomes the mean.
func (a *recent) add(x, weight float64) {
	if !a.any {
		a.mean, a.any = x, true
		return
	}
	a.mean += (x - a.mean) * weight
}

// number is the number of the bin of a time.
func number(t time.Time) int64 { return t.UnixNano() / int64(binWidth) }

// sent counts a request that is sent now, by a worker with a share of the limit.
func (s *sends) sent(now time.Time, part float64) {
	n := number(now)
	b := &s.all[n%bins]
	if b.n != n {
		*b = bin{n: n}
	}
	b.sent++
	b.part = part
}

// refused counts a refusal in the bin of its request.
func (s *sends) refused(f Flight) {
	s.usual(f.took.Seconds())
	if b := &s.all[number(f.sent)%bins]; b.n == number(f.sent) {
		b.refused++
	}
}

// usual updates the time of a refusal. It moves by 5 % towards each new one, so that it stays near the median and a few late ones do not
// change it.
func (s *sends) usual(took float64) {
	switch {
	case !s.took.any:
		s.took.add(took, 1)
	case took > s.took.mean:
		s.took.mean = min(s.took.mean*1.05, took)
	default:
		s.took.mean = max(s.took.mean/1.05, took)
	}
}

// known is the latest send time of requests whose refusal would have arrived by now: 1.5 times the usual time of a refusal ago.
func (s *sends) known(now time.Time) time.Time {
	return now.Add(-time.Duration(1.5 * s.took.mean * 1e9))
}

// begun is the first time in a range at which a request was sent; the end of the range if there was none.
func (s *sends) begun(from, to time.Time) time.Time {
	last := number(to)
	for n := max(number(from), last-bins+1); n < last; n++ {
		if b := &s.all[n%bins]; b.n == n && b.sent > 0 {
			if at := time.Unix(0, n*int64(binWidth)); at.After(from) {
				return at
			}
			return from
		}
	}
	return to
}

// count returns the requests sent in a range, how many of them were refused, and the mean share of the limit.
func (s *sends) count(from, to time.Time) (sent, refused, part float64) {
	last := number(to)
	for n := max(number(from), last-bins+1); n < last; n++ {
		if b := &s.all[n%bins]; b.n == n {
			sent, refused, part = sent+b.sent, refused+b.refused, part+b.sent*b.part
		}
	}
	if sent == 0 {
		return 0, refused, 1
	}
	return sent, refused, part / sent
}
