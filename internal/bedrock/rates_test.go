package bedrock

import (
	"fmt"
	"testing"
	"time"
)

func TestTheRatesOfCallersAreBounded(t *testing.T) {
	var r Rates
	noon := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	for i := range 3 * mostRates {
		r.Allow(noon.Add(time.Duration(i)*time.Microsecond), Caller{Principal: fmt.Sprint(i)}, 1)
	}
	if len(r.callers) > mostRates {
		t.Errorf("%d callers are remembered, at most %d may be", len(r.callers), mostRates)
	}
}
