package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/batholith/batholith/internal/failpoint"
	"github.com/batholith/batholith/internal/files"
)

// Names in the data directory that this package keeps.
const (
	lockFile   = "lock"
	keyFile    = "credentials"
	serverFile = "server.json"
)

// Data is a data directory that this process alone uses until Close. The kernel drops the lock when the process ends, however
// it ends, so that a kill leaves nothing to clear away.
type Data struct {
	Dir  string
	lock *flock.Flock
}

// InUseError says that another process has the data directory.
type InUseError struct {
	Dir string
	PID int // 0 when the other process has not written it yet
}

func (e *InUseError) Error() string {
	who := "another process"
	if e.PID > 0 {
		who = fmt.Sprintf("process %d", e.PID)
	}
	return fmt.Sprintf("the data directory %s is in use by %s", e.Dir, who)
}

// OpenData makes the directory if it is not there (mode 0700) and locks it. The error is an [*InUseError] when another process
// holds the lock.
func OpenData(dir string) (*Data, error) {
	full, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("find the data directory: %w", err)
	}
	if err := os.MkdirAll(full, 0o700); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	_ = files.SyncDir(filepath.Dir(full)) // its own name; where that folder cannot be synced, the kernel does it soon
	lock := flock.New(filepath.Join(full, lockFile))
	free, err := lock.TryLock()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock the data directory %s: %w", full, err), lock.Close())
	}
	if !free {
		return nil, errors.Join(&InUseError{Dir: full, PID: readPID(lock.Path())}, lock.Close())
	}
	d := &Data{Dir: full, lock: lock}
	if !d.holds() { // it was deleted between the open and the lock, and locks nobody out
		d.Close()
		return nil, fmt.Errorf("lock the data directory %s: it was deleted at this moment", full)
	}
	if err := d.sign(); err != nil {
		d.Close()
		return nil, fmt.Errorf("write the lock of the data directory: %w", err)
	}
	failpoint.Here("config.data-made")
	return d, nil
}

// holds tells whether the lock file that this process holds is the one in the directory.
func (d *Data) holds() bool {
	held, err := d.lock.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(filepath.Join(d.Dir, lockFile))
	return err == nil && os.SameFile(held, there)
}

// sign writes the process id into the lock. It is for people; the lock itself is the kernel's.
func (d *Data) sign() error {
	f, err := os.OpenFile(d.lock.Path(), os.O_WRONLY|os.O_TRUNC, 0) // to close it again does not give the lock up
	if err != nil {
		return err
	}
	_, err = f.WriteString(strconv.Itoa(os.Getpid()) + "\n")
	return errors.Join(err, f.Close())
}

// readPID reads who holds the lock; 0 when that cannot be told.
func readPID(path string) int {
	text, err := files.ReadFile(path)
	if err != nil {
		return 0
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return pid
}

// Close lets another process have the directory.
func (d *Data) Close() error {
	return d.lock.Close()
}

// Server says where the server of a data directory can be reached. It is written once the listeners are open, since a port of 0
// is known only then.
type Server struct {
	Bedrock string `json:"bedrock"` // http://host:port
	S3      string `json:"s3"`      // http://host:port, or the external endpoint; "aws" for Amazon's own
	Region  string `json:"region"`
	// What clients must know of an S3 that is not the embedded one; its keys are not written here.
	ExternalS3   bool      `json:"externalS3,omitempty"`
	S3Region     string    `json:"s3Region,omitempty"`
	VirtualHosts bool      `json:"s3VirtualHosts,omitempty"` // buckets are in the host of a URL, not in its path
	CABundle     string    `json:"s3CABundle,omitempty"`     // absolute path of a PEM file
	Account      string    `json:"account"`
	PID          int       `json:"pid"`
	Started      time.Time `json:"started"`
}

// Announce writes the addresses for the commands that look for this server.
func (d *Data) Announce(s Server) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the addresses: %w", err)
	}
	return files.WriteFile(filepath.Join(d.Dir, serverFile), append(text, '\n'), 0o600)
}

// Withdraw takes the addresses away when the server ends. A server that was killed leaves them; whoever dials them then is
// refused, and says so.
func (d *Data) Withdraw() error {
	if !d.holds() {
		return nil // the directory was replaced: what lies there is another server's
	}
	err := os.Remove(filepath.Join(d.Dir, serverFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// ReadServer reads the addresses of the server of a data directory; os.ErrNotExist when none has announced itself.
func ReadServer(dir string) (Server, error) {
	var s Server
	path := filepath.Join(dir, serverFile)
	text, err := files.ReadFile(path)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("read %s: %w", path, err)
	}
	return s, nil
}
