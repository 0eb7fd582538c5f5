package failpoint

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
)

// Variable is the environment variable that names a point.
const Variable = "BATHOLITH_FAILPOINT"

// armed is the point at which this process must die; nil outside of tests. It is a global, since the whole process dies and the points are
// in packages that have nothing in common.
var armed = parse(os.Getenv(Variable))

// point is a name, and the number of passes until the process dies.
type point struct {
	name string
	left atomic.Int64
}

// parse reads NAME or NAME:COUNT. Without a valid count it is 1.
func parse(text string) *point {
	if text == "" {
		return nil
	}
	name, count, _ := strings.Cut(text, ":")
	n, err := strconv.ParseInt(count, 10, 64)
	if err != nil {
		n = 1
	}
	p := &point{name: name}
	p.left.Store(n)
	return p
}

// Here passes a point. If the process must die there, Here does not return.
func Here(name string) {
	if armed != nil && armed.reached(name) {
		die()
	}
}

// reached counts a pass and reports whether the process must die. It is also true for later passes: the signal takes a moment, and no
// goroutine may continue after the point meanwhile.
func (p *point) reached(name string) bool { return p.name == name && p.left.Add(-1) <= 0 }

// die kills the process with SIGKILL. It does not return.
func die() {
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Kill()
	}
	select {} // the signal is on its way
}
