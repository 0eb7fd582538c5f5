// Package follow reads files that are replaced while the process runs: policies, certificates.
//
// The files are read once a second. A change counts when two reads in a row have found it, so at most two seconds
// after it. Otherwise a file that is still being written could be used.
//
// The package must not know what the files are for.
package follow

import (
	"context"
	"errors"
	"io"
	"os"
	"time"
)

// pollTime is the time between two reads.
const pollTime = time.Second

// Run calls look once a second until ctx ends, and returns its error.
func Run(ctx context.Context, look func()) error {
	tick := time.NewTicker(pollTime)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			look()
		}
	}
}

// Contents tells when contents that are read again and again have changed. The zero value has read nothing. It is
// not safe for concurrent use.
type Contents[T comparable] struct {
	seen   *T // what the last read found; nil: nothing
	judged *T // what Changed reported last; nil: nothing
}

// Since returns contents that have been read and judged once.
func Since[T comparable](first T) Contents[T] { return Contents[T]{seen: &first, judged: &first} }

// Changed reports whether what a read has found is to be judged now: the read before found the same, and it was not
// judged last.
func (c *Contents[T]) Changed(found T) bool {
	settled := c.seen != nil && *c.seen == found
	c.seen = &found
	if !settled || c.judged != nil && *c.judged == found {
		return false
	}
	c.judged = &found
	return true
}

// Lost notes that a read has failed. What comes next is judged, even if it is what was there before.
func (c *Contents[T]) Lost() { *c = Contents[T]{} }

// ErrNotRegular is the error of Read for a directory, a named pipe and the like.
var ErrNotRegular = errors.New("not a regular file")

// Read returns the beginning of a regular file: most bytes, or all of it if it is shorter.
func Read(path string, most int64) (string, error) {
	info, err := os.Stat(path) // an open of a named pipe would wait for a writer
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", ErrNotRegular
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, most))
	return string(text), err
}
