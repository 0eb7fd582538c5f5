package s3serve

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/pkg/xattr"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/s3err"

	"github.com/batholith/batholith/internal/system"
)

// Names of the gateway's attributes that this package uses.
const (
	etagAttribute   = "etag"
	aclAttribute    = "acl"         // of a bucket; it names the owner
	uploadAttribute = "mp-metadata" // on an object made by a multipart upload: the upload's id and parts
)

// durableMeta stores the gateway's metadata, and makes data durable. The gateway stores the
// ETag of every object and part on its open file below .sgwtmp, after the last byte and before
// the name appears. durableMeta syncs the file at that moment, so a name never shows bytes that
// a crash could remove.
type durableMeta struct {
	meta.MetadataStorer
	disk    disk
	buckets string    // directory of all buckets, an absolute path
	sidecar string    // directory of metadata files; "": extended attributes are used
	staged  *staged   // for attributes as files
	sums    *sync.Map // of parts, by upload id: partSums
	seals   *seals    // attributes of encrypted objects that are being written
	large   large     // values that are too large for extended attributes
}

// openMeta selects where metadata is stored: in extended attributes if the file system supports
// them and files is false, otherwise in files below sidecar.
func openMeta(buckets, sidecar string, files bool, d disk) (durableMeta, error) {
	if !files && keepsAttributes(buckets) {
		l := large{dir: filepath.Join(filepath.Dir(buckets), "large"), disk: d, files: new(atomic.Int64)}
		if err := os.MkdirAll(l.dir, 0o700); err != nil {
			return durableMeta{}, fmt.Errorf("make the directory of large attributes: %w", err)
		}
		return durableMeta{MetadataStorer: meta.XattrMeta{}, disk: d, buckets: buckets, large: l, sums: new(sync.Map), seals: newSeals()}, nil
	}
	if err := os.MkdirAll(sidecar, 0o700); err != nil {
		return durableMeta{}, fmt.Errorf("make the S3 metadata directory: %w", err)
	}
	m, err := meta.NewSideCar(sidecar)
	if err != nil {
		return durableMeta{}, fmt.Errorf("open the S3 metadata directory: %w", err)
	}
	return durableMeta{MetadataStorer: m, disk: d, buckets: buckets, sidecar: sidecar, staged: newStaged(), sums: new(sync.Map), seals: newSeals()}, nil
}

// keepsAttributes tests with a file whether extended attributes work. Some file systems fail
// only on writing.
func keepsAttributes(dir string) bool {
	if !xattr.XATTR_SUPPORTED {
		return false
	}
	f, err := os.CreateTemp(dir, ".attributes-")
	if err != nil {
		return false
	}
	defer os.Remove(f.Name())
	defer f.Close()
	const name = "user.batholith"
	if err := xattr.FSet(f, name, []byte("?")); err != nil {
		return false
	}
	got, err := xattr.FGet(f, name)
	return err == nil && string(got) == "?"
}

// place converts bucket and object to the arguments of the attribute storer. Both may be paths:
// absolute, or up to the root and down again (see store). Metadata files are stored by the
// names of bucket and object, so that the directory can be moved.
func (m durableMeta) place(bucket, object string) (string, string) {
	path := filepath.Join(bucket, object)
	if m.sidecar == "" {
		return path, ""
	}
	bucket, object, _ = strings.Cut(m.below(path), string(filepath.Separator))
	return bucket, object
}

// below returns a path relative to the directory of all buckets.
func (m durableMeta) below(path string) string {
	if !filepath.IsAbs(path) {
		path = filepath.Join(string(filepath.Separator), path)
	}
	return strings.TrimPrefix(path, m.buckets+string(filepath.Separator))
}

// RetrieveAttribute returns one attribute. If a large value is replaced during the read, it
// reads again.
func (m durableMeta) RetrieveAttribute(f *os.File, bucket, object, attribute string) ([]byte, error) {
	stored, err := m.raw(f, bucket, object, attribute)
	for err == nil && m.sidecar == "" {
		value, lerr := m.large.load(stored)
		if !errors.Is(lerr, errGone) {
			return value, lerr
		}
		before := stored
		if stored, err = m.raw(f, bucket, object, attribute); err == nil && bytes.Equal(before, stored) {
			return nil, fmt.Errorf("read the attribute %s: %w", attribute, lerr)
		}
	}
	return stored, err
}

// raw returns one attribute as stored: for a large value, the name of its file.
func (m durableMeta) raw(f *os.File, bucket, object, attribute string) ([]byte, error) {
	bucket, object = m.place(bucket, object)
	return m.MetadataStorer.RetrieveAttribute(f, bucket, object, attribute)
}

// StoreAttribute stores one attribute of an object: on its staged file f, or by path if f is
// nil.
func (m durableMeta) StoreAttribute(f *os.File, bucket, object, attribute string, value []byte) error {
	if f != nil {
		stored, mark, err := m.seals.instead(f, attribute, value)
		if err == nil && mark != nil {
			err = m.StoreAttribute(f, bucket, object, markAttribute, mark)
		}
		if err != nil {
			return err
		}
		value = stored
	}
	if f != nil && attribute == uploadAttribute {
		if err := m.storePartSums(f, bucket, object, value); err != nil {
			return err
		}
	}
	at, below := m.place(bucket, object)
	if m.sidecar == "" {
		return m.storeInFile(f, at, bucket, object, attribute, value)
	}
	if f != nil && m.staged.first(f) {
		if err := m.replaceSidecar(at, below); err != nil {
			return err
		}
	}
	if err := m.MetadataStorer.StoreAttribute(f, at, below, attribute, value); err != nil {
		return err
	}
	if err := m.syncSidecar(at, below, attribute); err != nil {
		return err
	}
	if f != nil && attribute == etagAttribute {
		return m.disk.sync(f)
	}
	return nil
}

// storeInFile stores an extended attribute, at a path or on f. A value that is too large goes
// to a file of its own.
func (m durableMeta) storeInFile(f *os.File, at, bucket, object, attribute string, value []byte) error {
	var before []byte
	if f == nil {
		before, _ = m.raw(nil, bucket, object, attribute)
	}
	kept := value
	_, looksNamed := m.large.named(value)
	if len(value) > mostInline || looksNamed {
		named, err := m.large.store(owner{m.below(at), attribute}, value)
		if err != nil {
			return err
		}
		kept = named
	}
	err := m.MetadataStorer.StoreAttribute(f, at, "", attribute, kept)
	if err != nil && len(kept) > len(largePrefix)+26 && noRoom(err) {
		if kept, err = m.large.store(owner{m.below(at), attribute}, value); err == nil {
			err = m.MetadataStorer.StoreAttribute(f, at, "", attribute, kept)
		}
	}
	switch {
	case err != nil:
		m.large.remove(kept)
		return err
	case f != nil && attribute == etagAttribute:
		return m.disk.sync(f)
	case f == nil:
		if err := m.disk.path(at); err != nil {
			return err
		}
		m.large.remove(before)
	}
	return nil
}

// noRoom reports whether an error means that an extended attribute does not fit beside the
// others.
func noRoom(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.E2BIG) || errors.Is(err, syscall.ERANGE) ||
		errors.Is(err, s3err.GetAPIError(s3err.ErrNoSpaceLeftOnDevice))
}

// isNoName reports whether an error means that no file can have the name: a part of its path is a file, or too long.
func isNoName(err error) bool {
	return system.Is(err, syscall.ENOTDIR) || system.Is(err, syscall.ENAMETOOLONG)
}

// isAbsent reports whether an error of reading an attribute or a file means that there is none, and not a fault.
func isAbsent(err error) bool {
	return errors.Is(err, meta.ErrNoSuchKey) || errors.Is(err, fs.ErrNotExist) || isNoName(err)
}

// DeleteAttribute removes one attribute by path.
func (m durableMeta) DeleteAttribute(bucket, object, attribute string) error {
	before, _ := m.raw(nil, bucket, object, attribute)
	bucket, object = m.place(bucket, object)
	err := m.MetadataStorer.DeleteAttribute(bucket, object, attribute)
	if err != nil || m.sidecar != "" { // after a crash a metadata file may still exist, as if the call had not happened
		return err
	}
	if err := m.disk.path(bucket); err != nil {
		return err
	}
	m.large.remove(before)
	return nil
}

// DeleteAttributes removes all attributes of an object, or of a bucket and all its objects if
// object is "".
func (m durableMeta) DeleteAttributes(bucket, object string) error {
	bucket, object = m.place(bucket, object)
	return m.MetadataStorer.DeleteAttributes(bucket, object)
}

// ListAttributes returns the names of an object's attributes.
func (m durableMeta) ListAttributes(bucket, object string) ([]string, error) {
	bucket, object = m.place(bucket, object)
	return m.MetadataStorer.ListAttributes(bucket, object)
}

// RenameObject moves the metadata of an object to another key of the bucket.
func (m durableMeta) RenameObject(bucket, from, to string) error {
	at, from := m.place(bucket, from)
	_, to = m.place(bucket, to)
	return m.MetadataStorer.RenameObject(at, from, to)
}

// syncSidecar syncs a metadata file and the directories above it.
func (m durableMeta) syncSidecar(bucket, object, attribute string) error {
	path := filepath.Join(m.sidecar, bucket, object, "meta", attribute)
	for ; path != m.sidecar; path = filepath.Dir(path) {
		if err := m.disk.path(path); err != nil {
			return err
		}
	}
	return m.disk.path(m.sidecar)
}

// leaving is called before objects are replaced or removed. The returned function is called
// afterwards, and removes the files of large attributes that no attribute refers to any more.
func (m durableMeta) leaving(bucket string, objects ...string) (left func()) {
	if m.sidecar != "" || m.large.files.Load() == 0 {
		return func() {}
	}
	before := m.files(bucket, objects)
	return func() {
		after := m.files(bucket, objects)
		for name, value := range before {
			if _, stays := after[name]; !stays {
				m.large.remove(value)
			}
		}
	}
}

// files returns the attribute values of objects that refer to files, by file name.
func (m durableMeta) files(bucket string, objects []string) map[string][]byte {
	found := map[string][]byte{}
	for _, object := range objects {
		names, err := m.ListAttributes(bucket, object)
		if err != nil {
			continue // there is no such object
		}
		for _, attribute := range names {
			if value, err := m.raw(nil, bucket, object, attribute); err == nil {
				if name, is := m.large.named(value); is {
					found[name] = value
				}
			}
		}
	}
	return found
}

// sweep removes files of attributes that no longer exist. It must not run while requests are
// served.
func (m durableMeta) sweep() error {
	if m.sidecar != "" {
		return nil
	}
	return m.large.sweep(func(path, attribute string) ([]byte, error) {
		return m.raw(nil, filepath.Join(m.buckets, path), "", attribute)
	})
}

// madeBy reports whether an object was made from this upload.
func (m durableMeta) madeBy(bucket, object, uploadID string, parse func([]byte) (string, error)) bool {
	value, err := m.RetrieveAttribute(nil, bucket, object, uploadAttribute)
	if err != nil {
		return false
	}
	id, err := parse(value)
	return err == nil && id == uploadID
}
