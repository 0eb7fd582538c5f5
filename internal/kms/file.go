package kms

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"github.com/google/uuid"

	"github.com/batholith/batholith/internal/system"
)

// KeySize is the size of every key, in bytes.
const KeySize = 32

// A key file is text:
//
//	# comment
//	batholith-kms-key 1 ID
//	VERSION CREATED KEY CHECK
//	…
//
// VERSION counts from 1, one line each. CREATED is a time in RFC 3339. KEY is 32 bytes in
// Base64. CHECK is the first 8 bytes of HMAC-SHA256(KEY, "batholith-kms-check") in hexadecimal;
// it finds a key that was copied with a mistake.
const (
	fileHead   = "batholith-kms-key 1 "
	fileNote   = "# Encryption key of Batholith. Keep it secret, and keep a copy in another place: without it, what it encrypted is lost.\n"
	mostFile   = 1 << 20 // bytes of a key file
	mostSerial = 1 << 30
)

// Version is one version of a key. Its secret is never printed or encoded.
type Version struct {
	Number  int
	Created time.Time
	secret  [KeySize]byte
}

// File is the content of a key file. It is not changed after it was read or made, except by add.
type File struct {
	ID       string
	Versions []Version // by number, from 1; the last one encrypts
}

// newest returns the version that encrypts.
func (f *File) newest() Version { return f.Versions[len(f.Versions)-1] }

// version returns a version by its number; ok is false if the file does not have it.
func (f *File) version(n int) (v Version, ok bool) {
	if n < 1 || n > len(f.Versions) {
		return Version{}, false
	}
	return f.Versions[n-1], true
}

// add appends a version with a random secret. now is stored in whole seconds.
func (f *File) add(now time.Time) {
	v := Version{Number: len(f.Versions) + 1, Created: now.UTC().Truncate(time.Second)}
	rand.Read(v.secret[:]) // never fails
	f.Versions = append(f.Versions, v)
}

// Create makes a key with one version and writes its file with mode 0600. An empty id gets a random UUID. It never
// replaces an existing file: the error is then ErrUnusable. The file is complete and synced before it has its
// name; a crash before that leaves only a temporary file .kms-*.
func Create(path, id string, now time.Time) (*File, error) {
	if id == "" {
		id = uuid.NewString()
	}
	if !ValidID(id) {
		return nil, fault(ErrUnusable, "use letters, digits, dashes and underscores, at most 128", "%q is not the id of a key", id)
	}
	f := &File{ID: id}
	f.add(now)
	tmp, err := f.stage(path)
	if err != nil {
		return nil, err
	}
	defer os.Remove(tmp)
	err = os.Link(tmp, path) // which fails if there is one, where a rename would replace it
	if errors.Is(err, fs.ErrExist) {
		return nil, fault(ErrUnusable, "name another file", "the key file %s cannot be made: there is a file already, and a key in it would be lost", path)
	}
	if err != nil {
		return nil, fmt.Errorf("make the key file: %w", err)
	}
	return f, syncDir(path)
}

// Rotate adds a version to the key of a file, which encrypts from then on. The file is replaced in one step, so a
// crash leaves the old or the new one. Rotations of one file run one after the other, also those of other processes
// and through other names of the file: each of them adds its version. The file that a symbolic link names is
// replaced, not the link. The new file has the owner of the old one.
func Rotate(path string, now time.Time) (*File, error) {
	if real, err := filepath.EvalSymlinks(path); err == nil { // else ReadFile says why
		path = real
	}
	unlock, err := lockDir(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer unlock()
	f, err := ReadFile(path)
	if err != nil {
		return nil, err
	}
	f.add(now)
	tmp, err := f.stage(path)
	if err != nil {
		return nil, err
	}
	if err := keepOwner(tmp, path); err != nil {
		os.Remove(tmp)
		return nil, fault(ErrUnusable, "rotate it as that user, or as root", "the new key file cannot be given to the owner of %s: %v", path, err)
	}
	if err := os.Rename(tmp, path); err != nil {
		os.Remove(tmp)
		return nil, fmt.Errorf("replace the key file: %w", err)
	}
	return f, syncDir(path)
}

// lockWait limits the wait for another rotation, which takes milliseconds.
const lockWait = 10 * time.Second

// lockDir locks the directory of a key file against other rotations. The system releases the lock of a process that
// dies. If the directory cannot be locked, as on some network file systems, lockDir does nothing; then a file must not
// be rotated twice at the same time. The error is ErrUnusable if another process holds the lock for lockWait.
func lockDir(dir string) (unlock func() error, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), lockWait)
	defer cancel()
	lock := flock.New(dir, flock.SetFlag(os.O_RDONLY)) // on the directory, because the file is replaced
	if _, err := lock.TryLockContext(ctx, time.Millisecond); err != nil && ctx.Err() != nil {
		return nil, errors.Join(fault(ErrUnusable, "end that process, then try again", "another process has locked the directory %s of the key file", dir), lock.Close())
	}
	return lock.Close, nil
}

// stage writes the file under another name in the directory of path, and syncs it.
func (f *File) stage(path string) (name string, err error) {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".kms-*") // of mode 0600
	if err != nil {
		return "", fmt.Errorf("write the key file %s: %w", path, err)
	}
	_, err = tmp.Write(f.text())
	if err == nil {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err != nil {
		os.Remove(tmp.Name())
		return "", fmt.Errorf("write the key file %s: %w", path, err)
	}
	return tmp.Name(), nil
}

// syncDir makes the new name of a file durable.
func syncDir(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("sync the directory of the key file: %w", err)
	}
	defer d.Close()
	_ = d.Sync() // some file systems cannot sync a directory, and need not
	return nil
}

// text returns the content of the file.
func (f *File) text() []byte {
	var b bytes.Buffer
	b.WriteString(fileNote)
	fmt.Fprintf(&b, "%s%s\n", fileHead, f.ID)
	for _, v := range f.Versions {
		fmt.Fprintf(&b, "%d %s %s %s\n", v.Number, v.Created.Format(time.RFC3339), base64.StdEncoding.EncodeToString(v.secret[:]), v.check())
	}
	return b.Bytes()
}

// check returns the check value of the secret, 16 hexadecimal digits.
func (v *Version) check() string {
	h := hmac.New(sha256.New, v.secret[:])
	h.Write([]byte("batholith-kms-check"))
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// ReadFile reads a key file. It refuses a file that other users of the machine may open (mode & 077). Errors are
// *Fault of the kind ErrUnusable; they name the file and the remedy, and never its content.
func ReadFile(path string) (*File, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fault(ErrUnusable, "put it back from your copy, or make a key with: batholith kms create "+path, "the key file %s does not exist", path)
	case err != nil:
		return nil, fault(ErrUnusable, "make it readable for this process", "the key file cannot be read: %v", err)
	case !info.Mode().IsRegular(), info.Size() > mostFile:
		return nil, fault(ErrUnusable, "name the file that batholith kms create made", "%s is not a key file", path)
	case system.ModesTell && info.Mode().Perm()&0o077 != 0:
		return nil, fault(ErrUnusable, "chmod 600 "+path, "other users of this machine may open the key file %s (mode %04o)", path, info.Mode().Perm())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fault(ErrUnusable, "make it readable for this process", "the key file cannot be read: %v", err)
	}
	f, err := parseFile(text)
	if err != nil {
		return nil, fault(ErrUnusable, "put it back from your copy", "the key file %s is damaged: %v", path, err)
	}
	return f, nil
}

// parseFile reads the text of a key file. Its errors name a line and quote nothing.
func parseFile(text []byte) (*File, error) {
	f := &File{}
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		line = strings.TrimRight(line, "\r\n")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case f.ID == "":
			id, found := strings.CutPrefix(line, fileHead)
			if !found || !ValidID(id) {
				return nil, fmt.Errorf("line %d is not %q and an id", n, strings.TrimSpace(fileHead))
			}
			f.ID = id
		default:
			v, err := parseVersion(line)
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", n, err)
			}
			if v.Number != len(f.Versions)+1 {
				return nil, fmt.Errorf("line %d has version %d where %d is expected", n, v.Number, len(f.Versions)+1)
			}
			f.Versions = append(f.Versions, v)
		}
	}
	if len(f.Versions) == 0 {
		return nil, errors.New("it holds no key")
	}
	return f, nil
}

func parseVersion(line string) (v Version, err error) {
	fields := strings.Split(line, " ")
	if len(fields) != 4 {
		return v, errors.New("it has not four fields")
	}
	n, err := strconv.ParseUint(fields[0], 10, 32)
	if err != nil || n == 0 || n > mostSerial {
		return v, errors.New("the version is not a number")
	}
	v.Number = int(n)
	if v.Created, err = time.Parse(time.RFC3339, fields[1]); err != nil {
		return v, errors.New("the second field is not a time")
	}
	secret, err := base64.StdEncoding.Strict().DecodeString(fields[2])
	if err != nil || len(secret) != KeySize {
		return v, fmt.Errorf("the third field is not a key of %d bits", KeySize*8)
	}
	copy(v.secret[:], secret)
	if !hmac.Equal([]byte(v.check()), []byte(fields[3])) {
		return v, errors.New("the key does not match its check")
	}
	return v, nil
}
