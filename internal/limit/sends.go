package limit

import "time"

const (
	binWidth = 50 * time.Millisecond
	bins     = 256
)

// sends counts requests by the time at which they were sent, and how many of them were refused: 256 bins of 50 ms, the last 12.8 s.
// A refusal counts where its request was sent, so that the share of refusals is that of the limit which was in force then.
type sends struct {
	all  [bins]bin
	took recent // of refusals, in seconds
}

type bin struct {
	n             int64 // of the bin, from the epoch
	sent, refused float64
}

// recent is an exponentially weighted mean.
type recent struct {
	mean float64
	any  bool
}

func (a *recent) add(x, weight float64) {
	if !a.any {
		a.mean, a.any = x, true
		return
	}
	a.mean += (x - a.mean) * weight
}

func number(t time.Time) int64 { return t.UnixNano() / int64(binWidth) }

func (s *sends) sent(now time.Time) {
	n := number(now)
	b := &s.all[n%bins]
	if b.n != n {
		*b = bin{n: n}
	}
	b.sent++
}

func (s *sends) refused(f Flight) {
	s.usual(f.took.Seconds())
	if b := &s.all[number(f.sent)%bins]; b.n == number(f.sent) {
		b.refused++
	}
}

// usual keeps how long a refusal takes: near to the median, which a few that come late do not move.
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

// known is the time until which what was sent is known to be refused, or was taken: a refusal takes about as long as the others did.
func (s *sends) known(now time.Time) time.Time {
	return now.Add(-time.Duration(1.5 * s.took.mean * 1e9))
}

// begun is the first time from then on at which anything was sent, or to.
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

// count is how many were sent in the bins from one time to before the other, and how many of them were refused.
func (s *sends) count(from, to time.Time) (sent, refused float64) {
	last := number(to)
	for n := max(number(from), last-bins+1); n < last; n++ {
		if b := &s.all[n%bins]; b.n == n {
			sent, refused = sent+b.sent, refused+b.refused
		}
	}
	return sent, refused
}
