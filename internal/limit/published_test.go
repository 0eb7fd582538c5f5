package limit

import (
	"testing"
	"time"
)

// Published slots are where the limit begins: what was found to be more is believed, and not given up for the same number.
func TestPublishedSlotsAreNoUpperBound(t *testing.T) {
	l, _ := clocked(0)
	l.Publish(40)
	if l.Size() != 50 || !l.Published() {
		t.Fatalf("40 published: %d, %s", l.Size(), l.source)
	}
	if l.Resume(62); l.Size() != 50 || !l.Published() { // 80 % of 62 is less
		t.Errorf("62 were stored: %d, %s", l.Size(), l.source)
	}
	if l.Resume(150); l.Size() != 120 || l.Published() {
		t.Errorf("150 were stored: %d, %s", l.Size(), l.source)
	}
	if l.Publish(40); l.Size() != 120 || l.Published() {
		t.Errorf("40 published again: %d, %s", l.Size(), l.source)
	}
	if l.Publish(80); l.Size() != 100 || !l.Published() {
		t.Errorf("80 published instead: %d, %s", l.Size(), l.source)
	}
	if l.Gauge(gauges(80, 3)); !l.Published() {
		t.Errorf("80 run of 80: %s", l.source)
	}
	if l.Gauge(gauges(95, 3)); l.source != fromGauges || l.waiting.slots != 95 {
		t.Errorf("95 run of 80: %s, %d slots", l.source, l.waiting.slots)
	}
	if l.Publish(80); l.source != fromGauges {
		t.Errorf("80 published again: %s", l.source)
	}
}

// A quarter more in flight must bring half of a quarter more answers, and less goodput never lowers the limit.
func TestThePublishedLimitIsRaisedOnlyForMoreGoodput(t *testing.T) {
	now := time.Now()
	for goodput, more := range map[float64]bool{112: false, 112.5: true, 30: false} { // at the raised limit
		climb := newPublished(40, now)
		climb.measured(now, level{40, 100, 0.01}, Last)
		if climb.measured(now, level{40, 100, 0.01}, Last); climb.phase != looking || climb.limit != 50 {
			t.Fatalf("phase %d at %d", climb.phase, climb.limit)
		}
		if climb.measured(now, level{50, goodput, 0.01}, Last); climb.published == more || climb.limit < 50 && more {
			t.Errorf("%v at 50: phase %d, limit %d", goodput, climb.phase, climb.limit)
		}
		if more {
			continue
		}
		if climb.measured(now, level{40, 20, 0.01}, Last); climb.limit != 40 || climb.phase != holding {
			t.Errorf("with less goodput: phase %d, limit %d", climb.phase, climb.limit)
		}
	}
	climb := newPublished(40, now)
	for range 2 {
		climb.measured(now, level{40, 100, 0.01}, 45)
	}
	if climb.limit != 40 {
		t.Errorf("refusals allow 45: limit %d", climb.limit)
	}
}
