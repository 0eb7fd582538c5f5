package limit

import (
	"testing"
	"time"
)

func TestAsManySlotsAreSpareAsCallsNeededLately(t *testing.T) {
	burst := func(n *need, at time.Time, calls int) {
		for range calls {
			n.came(at)
		}
		for range calls {
			n.freed()
		}
	}
	var n need
	n.freed() // of batch requests, before any call
	burst(&n, start, 1)
	if n.spare != 1 {
		t.Errorf("a single call needs %d slots", n.spare)
	}
	burst(&n, after(time.Second), 8)
	if n.spare != 8 {
		t.Errorf("a burst of eight needs %d slots", n.spare)
	}
	for i := range 600 { // one call a second: the burst is ten minutes ago at the end
		burst(&n, after(time.Duration(i+2)*time.Second), 1)
	}
	if n.spare != 1 {
		t.Errorf("ten minutes after the burst, %d slots are spare", n.spare)
	}
	for i := range 100 { // 3 of 100 calls come in threes
		burst(&n, after(700*time.Second+time.Duration(i)*time.Second), 1)
		if i%100 == 50 {
			burst(&n, after(700*time.Second+time.Duration(i)*time.Second), 3)
		}
	}
	if n.spare > 2 {
		t.Errorf("rare bursts keep %d slots", n.spare)
	}
	var most need
	burst(&most, start, 3*mostSpare)
	if most.spare != mostSpare {
		t.Errorf("%d slots are spare", most.spare)
	}
}
