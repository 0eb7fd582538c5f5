package limit

import (
	"math"
	"time"
)

// need finds how many slots must be spare for interactive calls: as many as were needed lately.
//
// A call takes a spare slot, and the next slot that is freed takes its place. So the number of spare slots that are used up is
//
//	debt = debt + 1    when a call comes
//	debt = debt - 1    when a slot is freed, down to 0
//
// and a call that comes at a debt of n needed n spare slots. Then
//
//	spare = the smallest n for which at most 4 % of the calls needed more
//
// over the recent calls; a call of a minute ago weighs half. A single call needs one spare slot, a burst of eight needs eight.
type need struct {
	debt   int
	spare  int
	calls  [mostSpare + 1]float64 // weights of the calls, by the slots that they needed
	weight float64                // of all of them
	at     time.Time              // when the weights were computed
}

const (
	mostSpare  = 256 // slots that are spare at most
	unserved   = 0.04
	needHalves = time.Minute
)

// came notes a call.
func (n *need) came(now time.Time) {
	n.debt++
	if fade := math.Exp2(-now.Sub(n.at).Seconds() / needHalves.Seconds()); n.weight > 0 && fade < 1 {
		for i := range n.calls {
			n.calls[i] *= fade
		}
		n.weight *= fade
	}
	n.at = now
	n.calls[min(n.debt, mostSpare)]++
	n.weight++
	over := 0.0
	for n.spare = mostSpare; n.spare > 0; n.spare-- {
		if over += n.calls[n.spare]; over > unserved*n.weight {
			break
		}
	}
}

// freed notes that a slot was freed.
func (n *need) freed() { n.debt = max(n.debt-1, 0) }
