//go:build unix

package pgtest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// A Cluster is one PostgreSQL server with its own data.
type Cluster struct {
	dir    string // holds data/, log and the socket
	as     account
	bin    string
	guard  io.Closer    // its end stops the server
	shared bool         // it runs until the process ends
	last   atomic.Int64 // number of the latest database
}

// Options are the settings of a cluster.
type Options struct {
	Durable bool     // write commits to the disk (fsync), as a server in use does; otherwise a crash of the machine may lose them
	Set     []string // further settings, as lines of postgresql.conf
	HBA     []string // lines of pg_hba.conf; without them everybody who reaches the socket is let in
}

// port names the socket file. It is no port of the machine.
const port = "5432"

var shared struct {
	mu      sync.Mutex
	cluster *Cluster
	err     error
}

// Shared returns the cluster of this test process, and starts it at the first call, which takes some seconds. It does not write to the
// disk at each commit. It must not be called in a bubble of synctest, since the process outlives it.
func Shared(t testing.TB) *Cluster {
	t.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.cluster == nil && shared.err == nil {
		shared.cluster, shared.err = start(Options{})
	}
	require(t, shared.err)
	shared.cluster.shared = true
	return shared.cluster
}

// Start starts a cluster for one test, and stops it when the test ends.
func Start(t testing.TB, o Options) *Cluster {
	t.Helper()
	c, err := start(o)
	require(t, err)
	t.Cleanup(c.close)
	return c
}

// require skips the test if this machine has no PostgreSQL, and fails it for any other error.
func require(t testing.TB, err error) {
	t.Helper()
	switch {
	case err == nil:
	case errors.Is(err, errMissing) && os.Getenv("CI") == "":
		t.Skip(err)
	default:
		t.Fatal(err)
	}
}

// start makes and starts a cluster.
func start(o Options) (*Cluster, error) {
	c, err := prepare(o)
	if err != nil {
		return nil, err
	}
	initdb := []string{"-D", c.data(), "-U", "postgres", "-E", "UTF8", "--locale=C", "-A", "trust", "--no-sync", "--no-instructions"}
	if err := c.run("initdb", initdb...); err != nil {
		return nil, errors.Join(err, c.guard.Close())
	}
	if err := c.configure(o); err != nil {
		return nil, errors.Join(err, c.guard.Close())
	}
	if err := c.launch(); err != nil {
		return nil, errors.Join(err, c.guard.Close())
	}
	return c, nil
}

// prepare makes the folder of a cluster and its guard.
func prepare(o Options) (*Cluster, error) {
	c := &Cluster{}
	var err error
	if c.bin, err = binaries(); err != nil {
		return nil, err
	}
	if c.as, err = serverAccount(); err != nil {
		return nil, err
	}
	if c.dir, err = os.MkdirTemp("", "pgtest"); err != nil { // its mode is 0700: nobody else reaches the socket
		return nil, err
	}
	if err := c.as.own(c.dir); err != nil {
		return nil, errors.Join(err, os.RemoveAll(c.dir))
	}
	if c.guard, err = c.watch(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(c.dir))
	}
	return c, nil
}

func (c *Cluster) data() string { return filepath.Join(c.dir, "data") }

// configure appends the settings to postgresql.conf, and replaces pg_hba.conf if the options have lines of it.
func (c *Cluster) configure(o Options) error {
	set := []string{
		"listen_addresses = ''", "unix_socket_directories = '" + c.dir + "'", "port = " + port,
		"max_connections = 200", "shared_buffers = 32MB", "dynamic_shared_memory_type = mmap", "wal_level = replica", "max_wal_senders = 8",
		"hot_standby = on", "wal_sender_timeout = 10s", "autovacuum_naptime = 10s", "deadlock_timeout = 20ms", "log_min_messages = warning", "max_wal_size = 256MB",
	}
	if !o.Durable {
		set = append(set, "fsync = off", "full_page_writes = off")
	}
	text := "\n" + strings.Join(append(set, o.Set...), "\n") + "\n"
	if err := appendFile(filepath.Join(c.data(), "postgresql.conf"), text); err != nil {
		return err
	}
	if len(o.HBA) == 0 {
		return nil
	}
	return os.WriteFile(filepath.Join(c.data(), "pg_hba.conf"), []byte(strings.Join(o.HBA, "\n")+"\n"), 0o600)
}

func appendFile(path, text string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// launch starts the server and waits until it takes connections.
func (c *Cluster) launch() error {
	return c.run("pg_ctl", "start", "-w", "-s", "-t", "120", "-D", c.data(), "-l", filepath.Join(c.dir, "log"))
}

// run runs a program of PostgreSQL as the server's user.
func (c *Cluster) run(program string, args ...string) error {
	cmd := c.as.command(filepath.Join(c.bin, program), args...)
	cmd.Dir = "/" // the user may not be allowed to read the test's folder
	// A file, not a pipe: the server inherits it, and would keep the pipe open.
	out, err := os.CreateTemp("", "pgtest-out")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		said, _ := os.ReadFile(out.Name())
		log, _ := os.ReadFile(filepath.Join(c.dir, "log"))
		return fmt.Errorf("%s: %w: %s\n%s", program, err, bytes.TrimSpace(said), tail(log))
	}
	return nil
}

// tail is the end of a log.
func tail(log []byte) []byte { return log[max(0, len(log)-2000):] }

// URL is the address of a database of the cluster, for user postgres.
func (c *Cluster) URL(database string) string { return c.URLFor("postgres", database) }

// URLFor is the address of a database of the cluster, for another user.
func (c *Cluster) URLFor(user, database string) string {
	return "postgres://" + url.PathEscape(user) + "@/" + url.PathEscape(database) + "?" + url.Values{"host": {c.dir}, "port": {port}}.Encode()
}

// Socket is the path of the server's socket.
func (c *Cluster) Socket() string { return filepath.Join(c.dir, ".s.PGSQL."+port) }

// close stops the server and deletes its folder.
func (c *Cluster) close() { c.guard.Close() }

// errMissing says that this machine has no PostgreSQL.
var errMissing = errors.New("PostgreSQL is not installed: scripts/deps.sh installs it (Debian: apt-get install postgresql)")

// binaries returns the folder of PostgreSQL's programs: that of pg_ctl in PATH, or the newest of Debian's folders.
func binaries() (string, error) {
	if path, err := exec.LookPath("pg_ctl"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), "initdb")); err == nil {
				return filepath.Dir(path), nil
			}
		}
	}
	newest, version := "", 0
	dirs, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", err
	}
	for _, d := range dirs {
		var v int
		dir := filepath.Dir(d)
		if _, err := fmt.Sscan(filepath.Base(filepath.Dir(dir)), &v); err == nil && v > version {
			newest, version = dir, v
		}
	}
	if newest == "" {
		return "", errMissing
	}
	return newest, nil
}
