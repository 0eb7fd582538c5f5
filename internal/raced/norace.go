//go:build !race

package raced

// On reports whether the race detector runs.
const On = false
