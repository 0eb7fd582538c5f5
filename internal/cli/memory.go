package cli

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// What the process may take in memory besides the pages of its own file: what is in use and a quarter, and some room; as long as that is
// no more than usualMemory, which is enough for records of the usual sizes. Left to itself, the collector lets the heap grow to twice of
// what is in use before it runs; so it runs somewhat more often, which costs a few hundredths of the CPU, and the memory is left to
// the model servers on the same machine. Where more than usual is in use, there is still room enough that it does not run without end.
const (
	leastMemory = 40 << 20
	roomToWork  = 20 << 20
	usualMemory = 60 << 20
	leastRoom   = 6 << 20
)

// keepSmall has the collector keep the process small, from now on. The limit follows what is in use, after every collection: one that
// stays would have the collector run without end as soon as a job's records need more than it. GOMEMLIMIT and GOGC in the
// environment take its place.
func keepSmall() {
	if os.Getenv("GOMEMLIMIT") != "" || os.Getenv("GOGC") != "" {
		return
	}
	debug.SetMemoryLimit(memoryLimit(inUse()))
	runtime.SetFinalizer(&tide{}, func(*tide) { keepSmall() })
}

// tide is something that nobody holds, so that the next collection finds it and says so. Its size keeps it from sharing a place.
type tide struct{ _ [64]byte }

// memoryLimit is how much the process may take when so much of its heap is in use.
func memoryLimit(live int64) int64 {
	usual := min(max(leastMemory, live+live/4+roomToWork), usualMemory)
	return max(usual, live+live/8+leastRoom)
}

// inUse is what the last collection left on the heap.
func inUse() int64 {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	if s[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return int64(s[0].Value.Uint64())
}
