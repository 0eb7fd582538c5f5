//go:build race

package raced

import "runtime"

// On reports whether the race detector runs. It makes programs about ten times slower, so tests with many
// random cases try fewer of them; `make test` tries all of them without the race detector.
const On = true

func init() { runtime.GOMAXPROCS(1) }
