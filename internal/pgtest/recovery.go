//go:build unix

package pgtest

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Archiving starts a cluster that copies its WAL to a folder, from which BaseBackup and Recover restore it.
func Archiving(t testing.TB) *Cluster {
	t.Helper()
	c := Start(t, Options{Set: []string{"archive_mode = on", "archive_command = 'mkdir -p ../archive && cp %p ../archive/%f'"}})
	return c
}

// BaseBackup copies the data of a running cluster to a new folder, as pg_basebackup does.
func (c *Cluster) BaseBackup(t testing.TB) (dir string) {
	t.Helper()
	dir = filepath.Join(c.dir, "base")
	require(t, c.run("pg_basebackup", "-D", dir, "-d", "host="+c.dir+" port="+port+" user=postgres", "-X", "none", "-c", "fast", "--no-sync"))
	return dir
}

// RestorePoint names the present moment, to which Recover can restore.
func (c *Cluster) RestorePoint(t testing.TB, name string) {
	t.Helper()
	c.query(t, `SELECT pg_create_restore_point('`+name+`')::text`)
	c.query(t, `SELECT pg_switch_wal()::text`)
}

// Recover stops the cluster, replaces its data by a base backup, and replays the archived WAL up to a restore point. The cluster then takes
// changes, on a new timeline.
func (c *Cluster) Recover(t testing.TB, base, point string) {
	t.Helper()
	c.Shutdown(t) // archives the rest
	require(t, os.RemoveAll(c.data()))
	require(t, os.Rename(base, c.data()))
	signal := filepath.Join(c.data(), "recovery.signal")
	require(t, errors.Join(os.WriteFile(signal, nil, 0o600), c.as.own(signal)))
	require(t, appendFile(filepath.Join(c.data(), "postgresql.conf"), strings.Join([]string{"restore_command = 'cp " + filepath.Join(c.dir, "archive") + "/%f %p'",
		"recovery_target_name = '" + point + "'", "recovery_target_action = 'promote'", ""}, "\n")))
	c.Launch(t)
	for recovering := "true"; recovering != "false"; {
		recovering = c.query(t, `SELECT pg_is_in_recovery()::text FROM pg_sleep(0.05)`)
	}
}
