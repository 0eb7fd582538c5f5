//go:build !unix

package door

func shortage(error) bool { return false }
