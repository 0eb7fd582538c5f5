package limit

import (
	"testing"
	"time"

	"github.com/batholith/batholith"
)

// A limiter has room as long as it gives a slot to the next batch request: for one worker, and for one of two.
func TestThereIsRoomWhileTheNextRequestGetsASlot(t *testing.T) {
	for _, shared := range []bool{false, true} {
		now := time.Unix(0, 0)
		l := NewAt(10, func() time.Time { return now })
		want := 10
		if shared {
			want = 5
			l.Join()
			for range 10 {
				now = now.Add(time.Second)
				l.Meet(batholith.Load{Worker: "a", Wants: 99}, []batholith.Load{{Worker: "b", Wants: 99, Share: 0.5, Limit: 10}}, 2)
				l.Stored()
			}
		}
		got := 0
		for ; got <= want; got++ {
			now = now.Add(time.Minute) // the pace permits it
			roomy := l.Roomy()
			if _, ok := l.TryAcquire(); ok != roomy {
				t.Fatalf("shared %t: with %d requests there is room: %t, and the next gets a slot: %t", shared, got, roomy, ok)
			}
			if !roomy {
				break
			}
		}
		if got != want {
			t.Errorf("shared %t: %d requests got a slot, want %d", shared, got, want)
		}
	}
}
