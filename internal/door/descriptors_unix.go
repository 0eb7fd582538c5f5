//go:build unix

package door

import (
	"math"
	"syscall"
)

// Descriptors is how many file descriptors the process may open, 0 if there is no limit. The Go runtime has raised the soft limit to
// the hard one at the start.
func Descriptors() int {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil || uint64(r.Cur) > math.MaxInt32 {
		return 0
	}
	return int(r.Cur)
}
