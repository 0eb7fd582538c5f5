package config

import (
	"strconv"

	"github.com/batholith/batholith/internal/upstream"
)

// checkPriority checks the priority of a backend's batch requests.
func (l *loader) checkPriority(path, priority string) {
	if priority == "" || priority == upstream.PriorityLowest {
		return
	}
	if _, err := strconv.ParseInt(priority, 10, 64); err != nil {
		l.bad(path, "write lowest, or a whole number as the server takes it, or leave it out", "%q is not possible", priority)
	}
}
