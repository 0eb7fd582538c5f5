package simlm

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Slots is the number of slots from a time on. The time counts from the start or the last reset. With 0 slots no waiting request begins.
type Slots struct {
	From  time.Duration
	Count int
}

// ParseSchedule reads a list such as "64@0s,16@30s,128@1m": 64 slots at first, 16 after 30 s, and so on.
func ParseSchedule(text string) ([]Slots, error) {
	if text == "" {
		return nil, nil
	}
	var schedule []Slots
	for item := range strings.SplitSeq(text, ",") {
		count, from, ok := strings.Cut(strings.TrimSpace(item), "@")
		n, errCount := strconv.Atoi(count)
		at, errFrom := time.ParseDuration(from)
		if !ok || errCount != nil || errFrom != nil || n < 0 || at < 0 {
			return nil, fmt.Errorf("%q is not SLOTS@TIME, such as 16@30s", strings.TrimSpace(item))
		}
		if len(schedule) > 0 && at <= schedule[len(schedule)-1].From {
			return nil, fmt.Errorf("%q does not come after the time before it", strings.TrimSpace(item))
		}
		schedule = append(schedule, Slots{From: at, Count: n})
	}
	return schedule, nil
}
