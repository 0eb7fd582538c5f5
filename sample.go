package batholith

import (
	"fmt"
	"strconv"
)

// SampleTag is the tag with the size of a job's sample: the number of its records that are sent before the others, from 0 to MaxSample. If
// all of them fail in the same way, the job is paused.
const SampleTag = "batholith:canary"

// MaxSample is the largest size of a sample, in records.
const MaxSample = 1000

// A job has a sample only if it has many more records: taggedRatio times as many if its tag sets the size, usualRatio times as many if the
// settings do. So a small job whose records all fail ends Completed, with its error lines.
const (
	taggedRatio = 2
	usualRatio  = 50
)

// ParseSample reads the value of [SampleTag]. The error names the allowed values.
func ParseSample(value string) (int, error) {
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 || n > MaxSample {
		return 0, fmt.Errorf("%q is not a number of records from 0 to %d", value, MaxSample)
	}
	return n, nil
}

// Sample returns the size of the job's sample in records: that of its [SampleTag], or else usual, the size in the settings; 0: no sample.
func (j Job) Sample(usual int) int {
	n, least := usual, int64(usualRatio)
	for _, t := range j.Tags {
		if t.Key == SampleTag {
			if tagged, err := ParseSample(t.Value); err == nil {
				n, least = tagged, taggedRatio
			}
		}
	}
	if n <= 0 || j.Counts.Total < least*int64(n) {
		return 0
	}
	return n
}
