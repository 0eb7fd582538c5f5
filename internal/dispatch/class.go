package dispatch

import (
	"math/bits"
	"sync"

	"github.com/batholith/batholith/internal/dialect"
)

// class is a kind of request that a server may be able or unable to serve as a whole: where it goes, what it needs of the model, how large it
// is. An answer to one record of a class is evidence that the server works for the others.
//
// The prompt's beginning is not part of it: a group that only few records share would leave them without anybody to compare them with.
type class struct {
	id       int // small, for slices
	path     string
	features dialect.Features
	band     int // of the size of its records: 0 below smallRecord, and one more for each factor of eight
}

// smallRecord is the size in bytes up to which all records are of one band, which is that of canaries.
const smallRecord = 64 << 10

func bandOf(size int) int {
	if size < smallRecord {
		return 0
	}
	return (bits.Len(uint(size/smallRecord))-1)/3 + 1
}

// classes names the classes that were ever seen. There are few: paths times features times bands.
type classes struct {
	mu    sync.Mutex
	known map[class]*class // by everything but the id
}

// of is the one class with this key.
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

// key is everything of a class but its id.
func (c *class) key() class { return class{path: c.path, features: c.features, band: c.band} }

// plain is the class that a canary without features belongs to.
func (c *classes) plain(of *class) *class { return c.of(class{path: of.path}) }
