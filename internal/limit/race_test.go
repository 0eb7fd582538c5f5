//go:build race

package limit_test

// raced tells that the race detector runs, under which everything takes ten times as long.
const raced = true
