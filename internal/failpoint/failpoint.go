package failpoint

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
)

// Variable is the environment variable that names a point.
const Variable = "BATHOLITH_FAILPOINT"

// armed is the point at which this process is to die; nil at any other time than in a test. It is the process that dies, and the points
// lie in packages that share nothing, so it is the process's.
var armed = parse(os.Getenv(Variable))

// point is a name and how often it is passed until the end.
type point struct {
	name string
	left atomic.Int64
}

// parse reads NAME or NAME:COUNT. A count that is none is 1.
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

// Here passes the point of this name. When the process is to die at it, Here does not return.
func Here(name string) {
	if armed != nil && armed.reached(name) {
		die()
	}
}

// reached counts a passing and tells whether it was the one. Later ones are told so as well: the kill takes a moment, and nobody
// may go on behind the point meanwhile.
func (p *point) reached(name string) bool { return p.name == name && p.left.Add(-1) <= 0 }

// die ends the process as kill -9 does.
func die() {
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Kill()
	}
	select {} // the signal is on its way
}
