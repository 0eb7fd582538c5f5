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

	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/s3err"
)

// large keeps the values of attributes that a file system may have no room for: ext4 gives all attributes of a file 4 KiB together, and S3
// allows 10 tags of 384 characters, policies of 20 KiB and uploads of 10,000 parts. Such a value is a file of its own, and the attribute holds
// the file's name:
//
//	large/ID   a line of JSON that names the object's path below the buckets and the attribute, then the value
//
// The file is on disk before the attribute names it, and goes after the attribute does, so a crash leaves at most files that no attribute
// names. sweep, before anything is served, removes them.
type large struct {
	dir   string
	disk  disk
	files *atomic.Int64 // how many there are at most
}

const (
	mostInline  = 512                    // bytes of a value that is kept in the attribute itself
	largePrefix = "\x00batholith:large:" // of an attribute that names a file
)

// owner is the first line of a file: whose attribute it is.
type owner struct{ Path, Attribute string }

// store writes a value to a file and returns what the attribute is to hold.
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
	if errors.Is(err, syscall.ENOSPC) {
		err = s3err.GetAPIError(s3err.ErrNoSpaceLeftOnDevice)
	}
	if err != nil {
		os.Remove(f.Name())
		return nil, fmt.Errorf("keep the attribute %s: %w", o.Attribute, err)
	}
	return []byte(largePrefix + id), nil
}

// named is the name of the file that an attribute's value names.
func (large) named(value []byte) (id string, found bool) {
	id, found = strings.CutPrefix(string(value), largePrefix)
	return id, found && id != "" && strings.Trim(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
}

// load reads the value of an attribute whose value may be in a file.
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

// errGone is the error for a file that was replaced between the reading of its name and its own.
var errGone = errors.New("the attribute was replaced")

// remove removes the file that a value names, if it names one.
func (l large) remove(value []byte) {
	if id, found := l.named(value); found && os.Remove(filepath.Join(l.dir, id)) == nil { // what is left, sweep removes
		l.files.Add(-1)
	}
}

// sweep removes the files that no attribute names. raw reads an attribute as it is stored.
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
		case err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, meta.ErrNoSuchKey) && !isNotDir(err):
			return fmt.Errorf("read the attribute %s of %s: %w", o.Attribute, o.Path, err)
		}
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	return nil
}

// ownerOf reads the first line of a file. One that was being written when the process died has none, and nobody's attribute.
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
