package batholith_test

import (
	"testing"

	"github.com/batholith/batholith"
)

func TestOnlyAJobWithMuchMoreToSendHasASample(t *testing.T) {
	for _, c := range []struct {
		tag     string
		records int64
		want    int
	}{
		{"", 999, 0}, {"", 1000, 20}, {"5", 9, 0}, {"5", 10, 5}, {"0", 1e9, 0}, {"many", 1000, 20}, {"1000", 1999, 0}, {"1000", 2000, 1000}, {"1001", 1e6, 20}, {"-1", 1e6, 20},
	} {
		j := batholith.Job{Counts: batholith.Counts{Total: c.records}}
		if c.tag != "" {
			j.Tags = []batholith.Tag{{Key: batholith.SampleTag, Value: c.tag}}
		}
		if got := j.Sample(20); got != c.want {
			t.Errorf("%d records, tag %q: %d, want %d", c.records, c.tag, got, c.want)
		}
	}
}
