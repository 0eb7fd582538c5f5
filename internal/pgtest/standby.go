//go:build unix

package pgtest

import (
	"errors"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
)

// Standby starts a synchronous standby of the cluster by streaming replication, and stops it when the test ends. From then on a commit on the
// cluster is acknowledged when the standby has it too.
func (c *Cluster) Standby(t testing.TB) *Cluster {
	t.Helper()
	s, err := c.standby()
	require(t, err)
	t.Cleanup(s.close)
	c.Reload(t, "synchronous_standby_names = '*'")
	// A commit that begins after this one has been answered waits for the standby.
	for state := ""; state != "sync"; {
		state = c.query(t, `SELECT coalesce((SELECT sync_state FROM pg_stat_replication LIMIT 1), '') FROM pg_sleep(0.01)`)
	}
	return s
}

// standby makes and starts a standby.
func (c *Cluster) standby() (*Cluster, error) {
	s, err := prepare(Options{})
	if err != nil {
		return nil, err
	}
	source := "host=" + c.dir + " port=" + port + " user=postgres application_name=standby"
	err = c.run("pg_basebackup", "-D", s.data(), "-d", source, "-R", "-X", "stream", "-c", "fast", "--no-sync")
	if err == nil { // the copy has the settings of the cluster, with its folder
		err = appendFile(filepath.Join(s.data(), "postgresql.conf"), "unix_socket_directories = '"+s.dir+"'\nsynchronous_standby_names = ''\n")
	}
	if err == nil {
		err = s.launch()
	}
	if err != nil {
		return nil, errors.Join(err, s.guard.Close())
	}
	return s, nil
}

// Promote makes a standby a primary, and waits until it takes changes.
func (c *Cluster) Promote(t testing.TB) {
	t.Helper()
	c.must(t, c.run("pg_ctl", "promote", "-w", "-s", "-t", "120", "-D", c.data()))
}

// Either returns the address of a database that is on one of two clusters, whichever takes changes.
func Either(t testing.TB, address string, a, b *Cluster) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("host", strings.Join([]string{a.dir, b.dir}, ","))
	q.Set("port", port+","+port)
	u.RawQuery = q.Encode()
	return u.String()
}
