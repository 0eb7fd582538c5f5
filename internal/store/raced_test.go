package store

import (
	"flag"

	"github.com/batholith/batholith/internal/raced" // bubbles need one processor with the race detector
	_ "pgregory.net/rapid"                          // has the flag
)

// With the race detector the random histories are fewer. scripts/test.sh runs all of them without it.
func init() {
	if raced.On {
		_ = flag.Set("rapid.checks", "20")
	}
}
