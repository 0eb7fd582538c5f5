//go:build !unix

package door

// Descriptors is how many file descriptors the process may open, 0 if there is no limit.
func Descriptors() int { return 0 }
