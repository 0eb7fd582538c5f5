package s3serve

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"weak"
)

// staged remembers for which open files the gateway stored an attribute already. The gateway
// stores the attributes of a new object or part on its staged file, while it holds the lock of
// the key. In the file system they belong to that file, so the old object's attributes vanish
// with the old file. Attributes in files lie by the key: the old object's must be removed
// before the first of the new object's is stored.
type staged struct {
	mu    sync.Mutex
	files map[weak.Pointer[os.File]]struct{}
}

func newStaged() *staged { return &staged{files: map[weak.Pointer[os.File]]struct{}{}} }

// first reports whether f was not seen before. A file is forgotten when it is garbage.
func (s *staged) first(f *os.File) bool {
	p := weak.Make(f)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, seen := s.files[p]; seen {
		return false
	}
	s.files[p] = struct{}{}
	runtime.AddCleanup(f, s.forget, p)
	return true
}

func (s *staged) forget(p weak.Pointer[os.File]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.files, p)
}

// replaceSidecar removes the attribute files of the object that was stored at a key before. The
// sync of the next attribute makes that durable.
func (m durableMeta) replaceSidecar(bucket, object string) error {
	names, err := m.sidecarNames(bucket, object)
	for _, name := range names {
		if rerr := os.Remove(filepath.Join(m.sidecar, bucket, object, "meta", name)); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
			err = errors.Join(err, fmt.Errorf("remove an attribute: %w", rerr))
		}
	}
	return err
}

// sidecarNames lists the attribute files of an object. It leaves out directories, which belong
// to keys below the object's, and files whose names end in a digit: they are being written
// under a temporary name, and no attribute has such a name.
func (m durableMeta) sidecarNames(bucket, object string) (names []string, err error) {
	files, err := entries(filepath.Join(m.sidecar, bucket, object, "meta"))
	for _, f := range files {
		if last := f.Name()[len(f.Name())-1]; !f.IsDir() && (last < '0' || last > '9') {
			names = append(names, f.Name())
		}
	}
	return names, err
}

// ofDirectories are the attributes that the gateway stores for every directory object, by its
// names of them.
var ofDirectories = map[string]bool{etagAttribute: true, "content-type": true, "checksums": true}

// replaceDirectory removes the attributes of the directory object that was stored at a key
// before, except those that stay. The new object has the same directory as the old one, and so
// the old attributes, whichever way they are stored.
func (m durableMeta) replaceDirectory(bucket, object string, stays func(attribute string) bool) error {
	list := m.ListAttributes
	if m.sidecar != "" {
		list = func(bucket, object string) ([]string, error) { return m.sidecarNames(m.place(bucket, object)) }
	}
	names, err := list(bucket, object)
	if err != nil {
		return err
	}
	for _, name := range names {
		if !ofDirectories[name] && !stays(name) {
			if err := m.DeleteAttribute(bucket, object, name); err != nil {
				return fmt.Errorf("remove the attribute %s: %w", name, err)
			}
		}
	}
	return nil
}
