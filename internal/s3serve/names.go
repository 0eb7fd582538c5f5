package s3serve

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// maxKnown bounds the memory of names; when it is full it begins anew, which costs syncs and nothing else.
const maxKnown = 4096

// names makes directory entries durable. It remembers which directories below a bucket have a durable name themselves, so
// that an object costs two syncs however deep it lies.
type names struct {
	disk    disk
	buckets string // directory of all buckets, absolute

	mu    sync.Mutex
	known map[string]struct{}
}

func newNames(d disk, buckets string) *names {
	return &names{disk: d, buckets: buckets, known: map[string]struct{}{}}
}

// rooted makes the directory of all buckets durable, in which every other name lies: what was made with it, and the one above.
func (n *names) rooted() error {
	dir := filepath.Dir(n.buckets)
	return errors.Join(n.disk.path(n.buckets), n.disk.path(dir), n.disk.path(filepath.Dir(dir)))
}

// appeared makes an object and its name durable. Its bytes are so already.
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

// vanished makes the missing of an object durable, and of the directories that were removed with it.
func (n *names) vanished(bucket, key string) error { return n.disk.path(n.remains(bucket, key)) }

// remains is the lowest directory above an object that is still there.
func (n *names) remains(bucket, key string) string {
	dir := filepath.Dir(filepath.Join(n.buckets, bucket, filepath.FromSlash(key)))
	for n.inside(dir) {
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			break
		}
		dir = filepath.Dir(dir)
	}
	return dir
}

// allVanished is vanished for many keys, with one sync of each directory that remains.
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

// forgetAll comes before the removal of a whole bucket.
func (n *names) forgetAll() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.known)
}

// forget comes before a removal: the directories above the key may go with it, and those made anew in their place must be
// synced anew.
func (n *names) forget(bucket, key string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for dir := filepath.Join(n.buckets, bucket, filepath.FromSlash(key)); n.inside(dir); dir = filepath.Dir(dir) {
		delete(n.known, dir)
	}
}

// inside tells whether a directory lies below a bucket, that is below a directory below buckets.
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
