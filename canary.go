package batholith

import (
	"fmt"
	"strconv"
)

// CanaryTag is the tag that says how many of a job's records are sent before the others, from 0 to MaxCanary. If all of them fail in the
// same way, the job is paused.
const CanaryTag = "batholith:canary"

// MaxCanary is the largest number of records that are sent before the others.
const MaxCanary = 1000

// A job has a canary only if that leaves something to save: by its tag if it has canaryTagged times as many records, and by the settings if
// it has canaryUsual times as many. So a small job ends as it does without a canary, with its error lines.
const (
	canaryTagged = 2
	canaryUsual  = 50
)

// ParseCanary reads the value of [CanaryTag].
func ParseCanary(value string) (int, error) {
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 || n > MaxCanary {
		return 0, fmt.Errorf("%q is not a number of records from 0 to %d", value, MaxCanary)
	}
	return n, nil
}

// Canary returns how many of the job's records are sent before the others: its [CanaryTag], or else usual; 0: none.
func (j Job) Canary(usual int) int {
	n, least := usual, int64(canaryUsual)
	for _, t := range j.Tags {
		if t.Key == CanaryTag {
			if tagged, err := ParseCanary(t.Value); err == nil {
				n, least = tagged, canaryTagged
			}
		}
	}
	if n <= 0 || j.Counts.Total < least*int64(n) {
		return 0
	}
	return n
}
