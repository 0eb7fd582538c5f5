//go:build unix

package door

import (
	"math"
	"syscall"
)

// Descriptors returns how many file descriptors the process may open; 0: no limit. The Go
// runtime has raised the soft limit to the hard limit at the start.
func Descriptors() int {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil || uint64(r.Cur) > math.MaxInt32 {
		return 0
	}
	return int(r.Cur)
}
