package s3serve

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/versity/versitygw/s3err"

	"github.com/batholith/batholith/internal/system"
)

// large stores attribute values that are too large for the file system. ext4 has 4 KiB for all
// attributes of a file together, but S3 allows 10 tags of 384 characters, policies of 20 KiB
// and uploads of 10,000 parts. A large value is stored in a file, and the attribute holds
// largePrefix and the file's name:
//
//	large/ID   a line of JSON with the object's path below the buckets and the attribute's name, then the value
//
// The file is synced before the attribute names it, and removed after the attribute is replaced
// or removed. So a crash can leave files that no attribute names, but never an attribute
// without its file. sweep removes such files at the start, before requests are served.
type large struct {
	dir   string
	disk  disk
	files *atomic.Int64 // upper bound of the files that attributes name; if it is 0, none is searched for when objects are removed
}

const (
	mostInline  = 512                    // bytes; a larger value always gets a file
	largePrefix = "\x00batholith:large:" // begins the value of an attribute that names a file
)

// owner is the first line of a file. It says which attribute the file belongs to.
type owner struct{ Path, Attribute string }

// store writes a value to a new file, syncs it, and returns the value to store in the
// attribute.
func (l large) store(o owner, value []byte) ([]byte, error) {
	id := rand.Text()
	line, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(l.dir, id), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("keep the attribute %s: %w", o.Attribute, err)
	}
	defer f.Close()
	_, err = f.Write(append(append(line, '\n'), value...))
	if err == nil {
		err = l.disk.sync(f)
	}
	if err == nil {
		err = l.disk.path(l.dir)
	}
	if err == nil {
		l.files.Add(1)
	}
	if system.Is(err, syscall.ENOSPC) {
		err = s3err.GetAPIError(s3err.ErrNoSpaceLeftOnDevice)
	}
	if err != nil {
		os.Remove(f.Name())
		return nil, fmt.Errorf("keep the attribute %s: %w", o.Attribute, err)
	}
	return []byte(largePrefix + id), nil
}

// named returns the name of the file that an attribute's value names. found is false if it
// names none.
func (large) named(value []byte) (id string, found bool) {
	id, found = strings.CutPrefix(string(value), largePrefix)
	return id, found && id != "" && strings.Trim(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
}

// load returns the value of an attribute, which it reads from a file if the stored value names
// one. The error is errGone if there is no such file.
func (l large) load(value []byte) ([]byte, error) {
	id, found := l.named(value)
	if !found {
		return value, nil
	}
	all, err := os.ReadFile(filepath.Join(l.dir, id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errGone
	}
	_, rest, _ := bytes.Cut(all, []byte("\n"))
	return rest, err
}

// errGone means that the attribute was replaced, and its file removed, after its stored value
// was read. The caller reads the attribute again.
var errGone = errors.New("the file with the attribute's value does not exist")

// remove removes the file that a value names, if it names one. If that fails, sweep removes the
// file at the next start.
func (l large) remove(value []byte) {
	if id, found := l.named(value); found && os.Remove(filepath.Join(l.dir, id)) == nil {
		l.files.Add(-1)
	}
}

// sweep removes the files that no attribute names, and counts the others. raw reads an
// attribute as it is stored, by the object's path below the buckets. sweep must not run while
// requests are served.
func (l large) sweep(raw func(path, attribute string) ([]byte, error)) error {
	files, err := entries(l.dir)
	if err != nil {
		return err
	}
	for _, e := range files {
		path := filepath.Join(l.dir, e.Name())
		o, err := ownerOf(path)
		if err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
		var value []byte
		if o.Attribute != "" {
			value, err = raw(o.Path, o.Attribute)
		}
		switch id, found := l.named(value); {
		case found && id == e.Name():
			l.files.Add(1)
			continue
		case err != nil && !isAbsent(err):
			return fmt.Errorf("read the attribute %s of %s: %w", o.Attribute, o.Path, err)
		}
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	return nil
}

// ownerOf reads the first line of a file. It returns the zero owner if that line is incomplete:
// the process died while it wrote the file.
func ownerOf(path string) (o owner, err error) {
	f, err := os.Open(path)
	if err != nil {
		return o, err
	}
	defer f.Close()
	line, err := bufio.NewReader(f).ReadBytes('\n')
	if err != nil || json.Unmarshal(line, &o) != nil {
		return owner{}, nil
	}
	return o, nil
}
