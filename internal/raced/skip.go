package raced

import "testing"

// Skip leaves out a test of speed or shares with the race detector, where it takes long and finds nothing more: other tests run the
// same code there. `make test` runs it without the race detector.
func Skip(t testing.TB) {
	t.Helper()
	if On {
		t.Skip("runs without the race detector")
	}
}
