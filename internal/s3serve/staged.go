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

// staged remembers which open files have an attribute already.
//
// The gateway writes a new object to a staged file, with its attributes, while it holds the lock
// of the key. Extended attributes belong to that file, so the old object's attributes vanish with
// the old file. Attributes in sidecar files belong to the key instead: the old ones must be
// removed before the first new one is stored.
type staged struct {
	mu    sync.Mutex
	files map[weak.Pointer[os.File]]struct{}
}

func newStaged() *staged { return &staged{files: map[weak.Pointer[os.File]]struct{}{}} }

// first reports whether this is the first call for f. The set keeps only weak pointers: an entry
// is removed when its file is garbage collected.
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

// replaceSidecar removes the attribute files of the old object of a key. It does not sync the
// directory: storing the next attribute does.
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
// to keys below this one, and names that end in a digit, which are temporary files.
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
