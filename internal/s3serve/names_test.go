package s3serve

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func mkdir(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(path, 0o700); err != nil {
		t.Fatal(err)
	}
}

func TestDirectoriesAreSyncedUntilTheyAreKnown(t *testing.T) {
	root := t.TempDir()
	n := newNames(realDisk(), root)
	mkdir(t, filepath.Join(root, "box/a/b"))
	if err := n.appeared("box", "a/b/key"); err != nil {
		t.Fatal(err)
	}
	for dir, known := range map[string]bool{"box/a/b": true, "box/a": true, "box": false, "box/a/b/key": false} {
		if n.isKnown(filepath.Join(root, dir)) != known {
			t.Errorf("%s is known: %v", dir, !known)
		}
	}
	n.forget("box", "a/b/key")
	if n.isKnown(filepath.Join(root, "box/a")) {
		t.Error("a directory that may be removed is still known")
	}
}

func TestMissingDirectoriesAreNoFault(t *testing.T) {
	root := t.TempDir()
	n := newNames(realDisk(), root)
	mkdir(t, filepath.Join(root, "box"))
	for _, key := range []string{"key", "gone/with/the/key", ""} {
		if err := n.vanished("box", key); err != nil {
			t.Errorf("%q vanished: %v", key, err)
		}
		if err := n.appeared("box", key); err != nil {
			t.Errorf("%q appeared and is gone already: %v", key, err)
		}
	}
	if err := n.allVanished("box", []string{"a/1", "a/2", "b"}); err != nil {
		t.Error(err)
	}
}

func TestMemoryOfNamesIsBounded(t *testing.T) {
	n := newNames(realDisk(), t.TempDir())
	for i := range 3 * maxKnown {
		n.learn([]string{fmt.Sprint(i)})
		if len(n.known) > maxKnown {
			t.Fatalf("%d names", len(n.known))
		}
	}
}
