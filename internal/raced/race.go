//go:build race

package raced

import "runtime"

// On tells that the race detector runs, under which everything takes about ten times as long. Tests with many random cases try fewer of them
// then; `make test` tries all of them without the race detector.
const On = true

func init() { runtime.GOMAXPROCS(1) }
