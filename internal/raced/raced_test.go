package raced

import (
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// With the race detector and two processors this ends the process within a second.
func TestTimersThatAreDueAtOnceDoNotBreakTheRaceDetector(t *testing.T) {
	if n := runtime.GOMAXPROCS(0); On && n != 1 {
		t.Fatalf("the process has %d processors", n)
	}
	synctest.Test(t, func(t *testing.T) {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 2000 {
					<-time.After(0)
				}
			})
		}
		wg.Wait()
	})
}
