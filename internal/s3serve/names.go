package s3serve

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// maxKnown is the maximum number of remembered directories. If it is exceeded, all are
// forgotten, which only costs extra syncs.
const maxKnown = 4096

// names makes directory entries durable. It remembers which directories have a durable name, so
// that a new object needs two syncs at any depth.
type names struct {
	disk    disk
	buckets string // directory of all buckets, an absolute path

	mu    sync.Mutex // guards known
	known map[string]struct{}
}

func newNames(d disk, buckets string) *names {
	return &names{disk: d, buckets: buckets, known: map[string]struct{}{}}
}

// rooted syncs the directory of all buckets, its parent and its grandparent, which New may have
// created.
func (n *names) rooted() error {
	dir := filepath.Dir(n.buckets)
	return errors.Join(n.disk.path(n.buckets), n.disk.path(dir), n.disk.path(filepath.Dir(dir)))
}

// appeared makes an object's attributes and name durable. Its bytes are durable already.
func (n *names) appeared(bucket, key string) error {
	path := filepath.Join(n.buckets, bucket, filepath.FromSlash(key))
	if err := n.disk.path(path); err != nil {
		return err
	}
	var fresh []string
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if err := n.disk.path(dir); err != nil {
			return err
		}
		if n.isKnown(dir) || !n.inside(dir) {
			break
		}
		fresh = append(fresh, dir)
	}
	n.learn(fresh)
	return nil
}

// vanished makes the removal of an object durable, including directories that were removed with
// it.
func (n *names) vanished(bucket, key string) error { return n.disk.path(n.remains(bucket, key)) }

// remains returns the lowest directory above an object that still exists. A key may lead through a file, or through names that no file can have.
func (n *names) remains(bucket, key string) string {
	dir := filepath.Dir(filepath.Join(n.buckets, bucket, filepath.FromSlash(key)))
	for n.inside(dir) {
		if _, err := os.Stat(dir); !isAbsent(err) {
			break
		}
		dir = filepath.Dir(dir)
	}
	return dir
}

// allVanished is vanished for many keys. It syncs each remaining directory once.
func (n *names) allVanished(bucket string, keys []string) error {
	above, synced := map[string]bool{}, map[string]bool{}
	for _, key := range keys {
		dir := filepath.Dir(filepath.FromSlash(key))
		if above[dir] {
			continue
		}
		above[dir] = true
		remains := n.remains(bucket, key)
		if synced[remains] {
			continue
		}
		synced[remains] = true
		if err := n.disk.path(remains); err != nil {
			return err
		}
	}
	return nil
}

// forgetAll must be called before a whole bucket is removed.
func (n *names) forgetAll() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.known)
}

// forget must be called before a removal. Directories above the key may be removed with it, and
// new ones with the same name must be synced again.
func (n *names) forget(bucket, key string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for dir := filepath.Join(n.buckets, bucket, filepath.FromSlash(key)); n.inside(dir); dir = filepath.Dir(dir) {
		delete(n.known, dir)
	}
}

// inside reports whether a directory is below a bucket.
func (n *names) inside(dir string) bool {
	rest, ok := strings.CutPrefix(dir, n.buckets+string(filepath.Separator))
	return ok && strings.ContainsRune(rest, filepath.Separator)
}

func (n *names) isKnown(dir string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, ok := n.known[dir]
	return ok
}

func (n *names) learn(dirs []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.known)+len(dirs) > maxKnown {
		clear(n.known)
	}
	for _, dir := range dirs {
		n.known[dir] = struct{}{}
	}
}
