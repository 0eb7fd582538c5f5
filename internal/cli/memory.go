package cli

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// The memory limit of the garbage collector, in bytes:
//
//	usual = min(max(leastMemory, 1.25 × live + roomToWork), usualMemory)
//	limit = max(usual, 1.125 × live + leastRoom)
//
// live is the heap after the last collection. By default the heap may grow to 2 × live before the next collection. With this
// limit collections are more frequent, which costs a few percent of the CPU and leaves memory to the model servers on the same
// machine. usualMemory is enough for records of usual size. The second line keeps the collector from running continuously if
// more is in use.
const (
	leastMemory = 40 << 20
	roomToWork  = 20 << 20
	usualMemory = 60 << 20
	leastRoom   = 6 << 20
)

// keepSmall sets the memory limit and updates it after every collection. A fixed limit would make the collector run continuously
// as soon as a job's records need more. If GOMEMLIMIT or GOGC is set in the environment, keepSmall does nothing.
func keepSmall() {
	if os.Getenv("GOMEMLIMIT") != "" || os.Getenv("GOGC") != "" {
		return
	}
	debug.SetMemoryLimit(memoryLimit(inUse()))
	runtime.SetFinalizer(&tide{}, func(*tide) { keepSmall() })
}

// tide is an unreachable object whose finalizer runs after the next collection. Its size keeps the allocator from combining it
// with other small objects, which would delay the finalizer.
type tide struct{ _ [64]byte }

// memoryLimit returns the limit in bytes for a live heap of live bytes, by the formula above. Example: for 10 MiB
// it is 40 MiB, for 64 MiB it is 78 MiB.
func memoryLimit(live int64) int64 {
	usual := min(max(leastMemory, live+live/4+roomToWork), usualMemory)
	return max(usual, live+live/8+leastRoom)
}

// inUse returns the size of the heap after the last collection in bytes.
func inUse() int64 {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	if s[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return int64(s[0].Value.Uint64())
}
