package cli

import "testing"

func TestTheMemoryLimitLeavesRoomAboveWhatIsInUse(t *testing.T) {
	for live := int64(0); live < 4<<30; live += 5 << 20 {
		if l := memoryLimit(live); l < leastMemory || l < live+live/8+leastRoom || l > max(usualMemory, live+live/8+leastRoom) {
			t.Fatalf("with %d bytes in use the limit is %d", live, l)
		}
	}
}
