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
	"github.com/batholith/batholith/internal/system"
)

// Files in the data directory that this package owns.
const (
	lockFile   = "lock"
	keyFile    = "credentials"
	serverFile = "server.json"
)

// Data is a data directory that this process has locked. The lock ends with Close or with the
// process, however it ends, so a killed process leaves nothing to clean up.
type Data struct {
	Dir  string
	lock *flock.Flock
}

// InUseError means that another process has locked the data directory.
type InUseError struct {
	Dir string
	PID int // 0: not known yet
}

// Error names the directory and the process.
func (e *InUseError) Error() string {
	who := "another process"
	if e.PID > 0 {
		who = fmt.Sprintf("process %d", e.PID)
	}
	return fmt.Sprintf("the data directory %s is in use by %s", e.Dir, who)
}

// OpenData creates the directory if necessary (mode 0700) and locks it. It returns an
// [*InUseError] if another process holds the lock.
func OpenData(dir string) (*Data, error) {
	full, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("find the data directory: %w", err)
	}
	if err := os.MkdirAll(full, 0o700); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	_ = files.SyncDir(filepath.Dir(full)) // makes the directory's own name durable; an error is not fatal, the kernel writes it soon
	lock := flock.New(filepath.Join(full, lockFile))
	free, err := lock.TryLock()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock the data directory %s: %w", full, err), lock.Close())
	}
	if !free {
		return nil, errors.Join(&InUseError{Dir: full, PID: readPID(system.HolderOf(lock.Path()))}, lock.Close())
	}
	d := &Data{Dir: full, lock: lock}
	if !d.holds() { // the lock file was deleted between open and lock, so the lock protects nothing
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

// holds reports whether the locked file is still the one in the directory.
func (d *Data) holds() bool {
	held, err := d.lock.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(filepath.Join(d.Dir, lockFile))
	return err == nil && os.SameFile(held, there)
}

// sign writes the process id to the lock file, for people. The lock itself is held by the
// kernel.
func (d *Data) sign() error {
	f, err := os.OpenFile(system.HolderOf(d.lock.Path()), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600) // closing this file does not release the lock (flock)
	if err != nil {
		return err
	}
	_, err = f.WriteString(strconv.Itoa(os.Getpid()) + "\n")
	return errors.Join(err, f.Close())
}

// readPID returns the process id in the lock file; 0: unknown.
func readPID(path string) int {
	text, err := files.ReadFile(path)
	if err != nil {
		return 0
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return pid
}

// Close releases the lock.
func (d *Data) Close() error {
	return d.lock.Close()
}

// Server contains the addresses of the server of a data directory. It is written when the
// listeners are open, because only then a port of 0 is resolved.
type Server struct {
	Bedrock string `json:"bedrock"`          // http://host:port, or https
	Worker  bool   `json:"worker,omitempty"` // the process has no API: there is only its health at the address above
	S3      string `json:"s3"`               // http://host:port, or the external endpoint; "aws": Amazon's
	Region  string `json:"region"`
	// What clients need to know about an external S3. Its keys are not stored here.
	ExternalS3   bool      `json:"externalS3,omitempty"`
	S3Region     string    `json:"s3Region,omitempty"`
	VirtualHosts bool      `json:"s3VirtualHosts,omitempty"` // the bucket is in the host name of a URL, not in its path
	CABundle     string    `json:"s3CABundle,omitempty"`     // absolute path of a PEM file; "": none
	CA           string    `json:"ca,omitempty"`             // of this server's own listeners: absolute path of a PEM file; "": they need none
	ClientCA     bool      `json:"clientCA,omitempty"`       // clients must show a certificate, to the API or the S3
	Account      string    `json:"account"`
	PID          int       `json:"pid"`
	Started      time.Time `json:"started"`
}

// Announce writes the addresses to the data directory, where other commands find them.
func (d *Data) Announce(s Server) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the addresses: %w", err)
	}
	return files.WriteFile(filepath.Join(d.Dir, serverFile), append(text, '\n'), 0o600)
}

// Withdraw removes the addresses when the server ends. A killed server leaves them; a client
// then gets "connection refused".
func (d *Data) Withdraw() error {
	if !d.holds() {
		return nil // the directory was replaced: its addresses belong to another server
	}
	err := os.Remove(filepath.Join(d.Dir, serverFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// ReadServer reads the addresses of the server of a data directory. It returns os.ErrNotExist
// if there are none.
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

// InUse reports whether a process holds the lock of a data directory.
func InUse(dir string) bool {
	path := filepath.Join(dir, lockFile)
	if _, err := os.Stat(path); err != nil {
		return false
	}
	lock := flock.New(path, flock.SetFlag(os.O_RDONLY))
	defer lock.Close()
	free, err := lock.TryRLock()
	return err == nil && !free
}
