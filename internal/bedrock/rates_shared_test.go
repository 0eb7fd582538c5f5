package bedrock

import (
	"testing"
	"time"
)

// However many processes answer, a caller gets its rate from all of them together, and not from each.
func TestProcessesShareTheRateOfACaller(t *testing.T) {
	for processes := 1; processes <= 4; processes++ {
		n := processes
		rates := make([]Rates, 4)
		for i := range rates {
			rates[i].Processes = func() int { return n }
		}
		who, now, allowed := Caller{Account: "a", Principal: "p"}, time.Unix(1e9, 0), 0
		const perSecond, seconds = 12, 10
		for range seconds * 100 {
			for i := range processes {
				if rates[i].Allow(now, who, perSecond) {
					allowed++
				}
			}
			now = now.Add(10 * time.Millisecond)
		}
		if most := perSecond * (seconds + 1); allowed > most || allowed < perSecond*(seconds-1) {
			t.Errorf("%d processes allow %d calls in %d s, want about %d", processes, allowed, seconds, perSecond*seconds)
		}
	}
	// A process that starts takes its share from the others.
	n := 1
	r := Rates{Processes: func() int { return n }}
	who, now := Caller{Principal: "p"}, time.Unix(1e9, 0)
	r.Allow(now, who, 10)
	n, now = 5, now.Add(time.Hour)
	allowed := 0
	for range 10 {
		if r.Allow(now, who, 10) {
			allowed++
		}
	}
	if allowed != 2 {
		t.Errorf("a fifth of 10 calls a second allows %d at once, want 2", allowed)
	}
}
