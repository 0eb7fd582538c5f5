//go:build !race

package raced

// On tells that the race detector runs.
const On = false
