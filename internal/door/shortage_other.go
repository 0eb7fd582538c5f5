//go:build !unix

package door

// shortage is only known on Unix.
func shortage(error) bool { return false }
