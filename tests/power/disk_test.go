//go:build linux

package power

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// needsFUSE skips the test where a file system of our own cannot be mounted: without /dev/fuse, without root, and in containers and chroots
// whose root may not mount.
func needsFUSE(t *testing.T) {
	t.Helper()
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil || os.Geteuid() != 0 {
		t.Skipf("the power cannot be taken away here: it takes /dev/fuse (%v) and root, if only of a namespace (uid %d)", err, os.Geteuid())
	}
	must(t, f.Close())
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=4k"); err != nil {
		t.Skipf("the power cannot be taken away here: mounting is not permitted (%v), as in most containers", err)
	}
	must(t, unix.Unmount(dir, 0))
}

// mount mounts an empty disk for the length of a test.
func mount(t *testing.T, dir string) *Keeper {
	t.Helper()
	needsFUSE(t)
	k, err := StartKeeper(dir)
	must(t, err)
	t.Cleanup(func() { must(t, k.Stop()) })
	return k
}

// on does something with a mounted disk and returns what the loss of power leaves, as the names of the files and what is in them.
func on(t *testing.T, seed uint64, do func(dir string)) map[string]string {
	t.Helper()
	dir := t.TempDir()
	k := mount(t, dir)
	do(dir)
	must(t, k.Lose(seed))
	left := map[string]string{}
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() {
			var b []byte
			b, err = os.ReadFile(path)
			left[info.Name()] = string(b)
		}
		return err
	})
	must(t, err)
	return left
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func fsync(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	must(t, f.Sync())
	must(t, f.Close())
}

func TestAFileIsThereWhenItAndItsNameWereSynced(t *testing.T) {
	left := on(t, 0, func(dir string) {
		for _, name := range []string{"both", "name"} {
			must(t, os.WriteFile(filepath.Join(dir, name), []byte("old"), 0o600))
		}
		fsync(t, filepath.Join(dir, "both"))
		fsync(t, dir)
		must(t, os.WriteFile(filepath.Join(dir, "bytes"), []byte("old"), 0o600))
		fsync(t, filepath.Join(dir, "bytes"))
		must(t, os.WriteFile(filepath.Join(dir, "neither"), []byte("old"), 0o600))
		must(t, os.WriteFile(filepath.Join(dir, "both"), []byte("newer"), 0o600)) // not synced
	})
	if len(left) != 2 || left["both"] != "old" || left["name"] != "" {
		t.Errorf("left: %q", left)
	}
}

func TestARenameIsThereWhenItsFolderWasSynced(t *testing.T) {
	for _, synced := range []bool{false, true} {
		left := on(t, 0, func(dir string) {
			for _, name := range []string{"old", "new"} {
				must(t, os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600))
				fsync(t, filepath.Join(dir, name))
			}
			fsync(t, dir)
			must(t, os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "old")))
			if synced {
				fsync(t, dir)
			}
		})
		if synced && (len(left) != 1 || left["old"] != "new") || !synced && (len(left) != 2 || left["old"] != "old") {
			t.Errorf("synced %v, left %q", synced, left)
		}
	}
}

func TestAnUnnamedFileGetsItsNameWhole(t *testing.T) {
	left := on(t, 0, func(dir string) {
		fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_WRONLY, 0o600)
		must(t, err)
		f := os.NewFile(uintptr(fd), "unnamed")
		_, err = f.WriteString("whole")
		must(t, err)
		must(t, unix.Fsetxattr(fd, "user.etag", []byte("x"), 0))
		must(t, f.Sync())
		must(t, unix.Linkat(unix.AT_FDCWD, fmt.Sprint("/proc/self/fd/", fd), unix.AT_FDCWD, filepath.Join(dir, "named"), unix.AT_SYMLINK_FOLLOW))
		must(t, f.Close())
		fsync(t, dir)
	})
	if left["named"] != "whole" {
		t.Errorf("left %q", left)
	}
}

func TestADiskMayKeepPagesThatWereNotSynced(t *testing.T) {
	const pages = 64
	left := on(t, 1, func(dir string) {
		path := filepath.Join(dir, "file")
		must(t, os.WriteFile(path, bytes.Repeat([]byte{'a'}, pages*pageBytes), 0o600))
		fsync(t, path)
		fsync(t, dir)
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		must(t, err)
		_, err = f.WriteAt(bytes.Repeat([]byte{'b'}, pages*pageBytes), 0)
		must(t, err)
		must(t, f.Close())
	})
	kept := 0
	for p := range pages {
		page := left["file"][p*pageBytes : (p+1)*pageBytes]
		if page == string(bytes.Repeat([]byte{'b'}, pageBytes)) {
			kept++
		} else if page != string(bytes.Repeat([]byte{'a'}, pageBytes)) {
			t.Fatalf("page %d was written in part", p)
		}
	}
	if kept == 0 || kept == pages {
		t.Errorf("%d of %d pages were kept", kept, pages)
	}
}
