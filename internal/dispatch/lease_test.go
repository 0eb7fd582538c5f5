package dispatch

import (
	"testing"
	"time"
)

// A lease of 5 s ends after 5 s, whatever is done to the clock meanwhile: at the latest, and early only if the machine may have been suspended.
func TestAClockThatIsSetDoesNotProlongALease(t *testing.T) {
	const s = int64(time.Second)
	end := instant{wall: 1_000*s + 5*s, mono: 5 * s}
	for name, c := range map[string]struct {
		now  instant
		want bool
	}{
		"at the start":                    {instant{1_000 * s, 0}, true},
		"a moment before the end":         {instant{1_005*s - 1, 5*s - 1}, true},
		"at the end":                      {instant{1_005 * s, 5 * s}, false},
		"set back an hour, before":        {instant{1_004*s - 3600*s, 4 * s}, true},
		"set back an hour, after":         {instant{1_006*s - 3600*s, 6 * s}, false},
		"set forward a second":            {instant{1_003 * s, 2 * s}, true},
		"suspended for an hour":           {instant{1_001*s + 3600*s, 1 * s}, false},
		"suspended for a second, at last": {instant{1_005 * s, 4 * s}, false},
	} {
		if got := c.now.before(end); got != c.want {
			t.Errorf("%s: it lasts: %v", name, got)
		}
	}
}
