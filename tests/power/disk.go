package power

import (
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"time"
)

// pageBytes is what a disk writes as one: all of it or nothing.
const pageBytes = 4096

// Disk is a file system in memory that knows what was synced. Its methods may be called from any goroutine.
//
// What a file holds, with its attributes, is durable when the file was synced since; the names in a directory, when the directory was.
// A name that was moved from one directory to another moved for good when either was synced.
type Disk struct {
	mu      sync.Mutex
	nodes   map[uint64]*node
	last    uint64   // id
	pending []change // of names, in order, that are not durable yet
}

// root is the id of the uppermost directory, in FUSE too.
const root = 1

// node is a file or a directory: as it is, and as the disk has it.
type node struct {
	id          uint64
	dir         bool
	mode        uint32 // permissions
	links       int
	modified    time.Time
	now, stored content
	dirty       map[int]bool // pages of now that were written since the last sync
}

// content is what is synced as one.
type content struct {
	data  []byte
	attrs map[string]string
	names map[string]*node // of a directory
}

// change is what one call did to names: all of it becomes durable, or none.
type change []edit

// edit gives a name another meaning; nil takes it away.
type edit struct {
	dir  *node
	name string
	node *node
}

// NewDisk returns an empty disk.
func NewDisk() *Disk {
	d := &Disk{nodes: map[uint64]*node{}}
	d.add(true, 0o755).links = 2
	return d
}

func (d *Disk) add(dir bool, mode uint32) *node {
	d.last++
	n := &node{id: d.last, dir: dir, mode: mode & 0o7777, modified: time.Now(), dirty: map[int]bool{}}
	n.now.attrs = map[string]string{}
	if dir {
		n.links = 1
		n.now.names, n.stored.names = map[string]*node{}, map[string]*node{}
	}
	d.nodes[n.id] = n
	return n
}

// change does edits at once and remembers that they are not durable.
func (d *Disk) change(edits ...edit) {
	for _, e := range edits {
		apply(e.dir.now.names, e)
		e.dir.modified = time.Now()
	}
	d.pending = append(d.pending, edits)
}

func apply(names map[string]*node, e edit) {
	if e.node == nil {
		delete(names, e.name)
	} else {
		names[e.name] = e.node
	}
}

// put gives a node a name that no other has.
func (d *Disk) put(dir *node, name string, n *node) syscall.Errno {
	if dir.now.names[name] != nil {
		return syscall.EEXIST
	}
	n.links++
	d.change(edit{dir, name, n})
	return 0
}

// remove takes a name away.
func (d *Disk) remove(dir *node, name string, wantDir bool) syscall.Errno {
	n := dir.now.names[name]
	switch {
	case n == nil:
		return syscall.ENOENT
	case wantDir && !n.dir:
		return syscall.ENOTDIR
	case !wantDir && n.dir:
		return syscall.EISDIR
	case len(n.now.names) > 0:
		return syscall.ENOTEMPTY
	}
	n.links--
	d.change(edit{dir, name, nil})
	return 0
}

// rename moves a name, over another one unless noReplace.
func (d *Disk) rename(from *node, old string, to *node, name string, noReplace bool) syscall.Errno {
	n, there := from.now.names[old], to.now.names[name]
	switch {
	case n == nil:
		return syscall.ENOENT
	case there == n:
		return 0
	case there != nil && noReplace:
		return syscall.EEXIST
	case there != nil && there.dir && !n.dir:
		return syscall.EISDIR
	case there != nil && !there.dir && n.dir:
		return syscall.ENOTDIR
	case there != nil && len(there.now.names) > 0:
		return syscall.ENOTEMPTY
	}
	if there != nil {
		there.links--
	}
	d.change(edit{to, name, n}, edit{from, old, nil})
	return 0
}

// write puts bytes into a file.
func (n *node) write(at int64, b []byte) {
	if need := int(at) + len(b); need > len(n.now.data) {
		n.resize(need)
	}
	copy(n.now.data[at:], b)
	n.touch(int(at), len(b))
}

// resize cuts a file off or fills it up with zeros.
func (n *node) resize(size int) {
	old := len(n.now.data)
	if size <= old {
		clear(n.now.data[size:])
		n.now.data = n.now.data[:size]
		n.touch(size, 1)
		return
	}
	n.now.data = slices.Grow(n.now.data, size-old)[:size]
	n.touch(old, size-old)
}

func (n *node) touch(at, length int) {
	for p := at / pageBytes; p <= (at+length-1)/pageBytes && length > 0; p++ {
		n.dirty[p] = true
	}
	n.modified = time.Now()
}

// sync makes durable what a file holds, or which names a directory has.
func (d *Disk) sync(n *node) {
	n.stored.attrs = maps.Clone(n.now.attrs)
	n.stored.data = n.merged(len(n.now.data), func(int) bool { return true })
	clear(n.dirty)
	if !n.dir {
		return
	}
	d.pending = slices.DeleteFunc(d.pending, func(c change) bool {
		ours := slices.ContainsFunc(c, func(e edit) bool { return e.dir == n })
		if ours {
			c.store()
		}
		return ours
	})
}

// store makes a change durable.
func (c change) store() {
	for _, e := range c {
		apply(e.dir.stored.names, e)
	}
}

// merged is the stored data, cut or filled up to size, with those dirty pages that are wanted.
func (n *node) merged(size int, wanted func(page int) bool) []byte {
	data := n.stored.data
	if len(data) > size {
		data = data[:size]
	}
	data = slices.Grow(data, size-len(data))
	tail := data[len(data):size]
	clear(tail)
	data = data[:size]
	for p := range n.dirty {
		from, to := p*pageBytes, min((p+1)*pageBytes, size, len(n.now.data))
		if from < to && wanted(p) {
			copy(data[from:to], n.now.data[from:to])
		}
	}
	return data
}

// Lose is the disk after the power has failed: everything that was not synced is gone. With r, some of it is not: the names changed up
// to some moment, and any pages of any files, as disks do that write in an order of their own. The Disk itself must not be used any more.
func (d *Disk) Lose(r *rand.Rand) *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r != nil {
		for _, c := range d.pending[:r.IntN(len(d.pending)+1)] {
			c.store()
		}
	}
	after := NewDisk()
	copies := map[*node]*node{d.nodes[root]: after.nodes[root]}
	after.restore(d.nodes[root], copies, r)
	return after
}

// restore makes what a lost disk has of a node the copy of it, and with it everything below.
func (d *Disk) restore(n *node, copies map[*node]*node, r *rand.Rand) {
	c := copies[n]
	coin := func(int) bool { return r != nil && r.IntN(2) == 0 }
	size, attrs := len(n.stored.data), n.stored.attrs
	if coin(0) {
		size, attrs = len(n.now.data), n.now.attrs
	}
	c.now.data, c.now.attrs = n.merged(size, coin), map[string]string{}
	maps.Copy(c.now.attrs, attrs)
	c.stored.data, c.stored.attrs = slices.Clone(c.now.data), maps.Clone(c.now.attrs)
	for _, name := range slices.Sorted(maps.Keys(n.stored.names)) {
		below := n.stored.names[name]
		if copies[below] == nil {
			copies[below] = d.add(below.dir, below.mode)
			d.restore(below, copies, r)
		}
		copies[below].links++
		c.now.names[name], c.stored.names[name] = copies[below], copies[below]
	}
}
