package power

import (
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"time"
)

// pageBytes is the size of a page, which a disk writes as a whole or not at all.
const pageBytes = 4096

// Disk is a file system in memory that knows what was synced. Its exported methods may be called by any goroutine; the others need mu.
//
// Bytes and attributes of a file are durable after a sync of the file, and names in a directory after a sync of the directory. A move
// between two directories is durable after a sync of either.
type Disk struct {
	mu      sync.Mutex
	nodes   map[uint64]*node
	last    uint64   // id
	pending []change // changes of names that are not durable yet, in order
}

// root is the id of the root directory, as in FUSE.
const root = 1

// node is a file or a directory, with its present content and its durable content.
type node struct {
	id          uint64
	dir         bool
	mode        uint32 // permissions
	links       int
	modified    time.Time
	now, stored content
	dirty       map[int]bool // pages of now written since the last sync
}

// content is what one sync makes durable.
type content struct {
	data  []byte
	attrs map[string]string
	names map[string]*node // only of a directory
}

// change is the changes of names by one call. They become durable together or not at all.
type change []edit

// edit sets a name to a node, or removes it if node is nil.
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

// add makes a node without a name.
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

// change applies edits, and notes that they are not durable.
func (d *Disk) change(edits ...edit) {
	for _, e := range edits {
		apply(e.dir.now.names, e)
		e.dir.modified = time.Now()
	}
	d.pending = append(d.pending, edits)
}

// apply applies an edit to the names of a directory.
func apply(names map[string]*node, e edit) {
	if e.node == nil {
		delete(names, e.name)
	} else {
		names[e.name] = e.node
	}
}

// put adds a name for a node. The name must be free.
func (d *Disk) put(dir *node, name string, n *node) syscall.Errno {
	if dir.now.names[name] != nil {
		return syscall.EEXIST
	}
	n.links++
	d.change(edit{dir, name, n})
	return 0
}

// remove removes a name. A directory must be empty.
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

// rename moves a name, and replaces another one unless noReplace.
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

// write writes bytes into a file.
func (n *node) write(at int64, b []byte) {
	if need := int(at) + len(b); need > len(n.now.data) {
		n.resize(need)
	}
	copy(n.now.data[at:], b)
	n.touch(int(at), len(b))
}

// resize truncates a file or extends it with zeros.
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

// touch marks the pages of a range as written.
func (n *node) touch(at, length int) {
	for p := at / pageBytes; p <= (at+length-1)/pageBytes && length > 0; p++ {
		n.dirty[p] = true
	}
	n.modified = time.Now()
}

// sync makes the content of a file, or the names of a directory, durable.
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

// merged is the durable data, truncated or extended to size, with the dirty pages that wanted selects.
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

// Lose returns the disk after a loss of power: everything that was not synced is lost. With r, a random part of it survives, as on disks
// that write in their own order: the changes of names up to some moment, and any pages of any files. The old Disk must not be used any more.
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

// restore fills the copy of a node from its durable content, and the copies of everything below.
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
