package dispatch

import (
	"math/bits"
	"sync"

	"github.com/batholith/batholith/internal/dialect"
)

// class is a kind of request that a server can serve, or fail to serve, as a whole: the path, the features that it needs of the model, and
// its size. An answer to one record of a class is evidence that the server works for the others.
//
// The beginning of the prompt is not part of the class: a group of few records would have no others to be compared with.
type class struct {
	id       int // small, an index of slices
	path     string
	features dialect.Features
	band     int // by record size: 0 below smallRecord, plus one for each factor of eight
}

// smallRecord bounds band 0, in bytes. Canaries belong to band 0.
const smallRecord = 64 << 10

// bandOf is 0 below 64 KiB, 1 below 512 KiB, 2 below 4 MiB, and so on.
func bandOf(size int) int {
	if size < smallRecord {
		return 0
	}
	return (bits.Len(uint(size/smallRecord))-1)/3 + 1
}

// classes holds every class seen since the start. There are few: paths × features × bands.
type classes struct {
	mu    sync.Mutex
	known map[class]*class // by everything but the id
}

// of returns the one class with this key, and makes it at the first call.
func (c *classes) of(key class) *class {
	key = key.key()
	c.mu.Lock()
	defer c.mu.Unlock()
	known := c.known[key]
	if known == nil {
		if c.known == nil {
			c.known = map[class]*class{}
		}
		known = new(class)
		*known = key
		known.id = len(c.known)
		c.known[key] = known
	}
	return known
}

// key is the class without its id.
func (c *class) key() class { return class{path: c.path, features: c.features, band: c.band} }

// plain is the class of the same path without features or size, to which a canary without features belongs.
func (c *classes) plain(of *class) *class { return c.of(class{path: of.path}) }
