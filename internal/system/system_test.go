package system

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestAnErrorIsKnownByItsNumber(t *testing.T) {
	_, err := os.ReadDir(os.Args[0]) // a file
	if !Is(fmt.Errorf("look: %w", err), syscall.ENOTDIR) || Is(err, syscall.ENOSPC) || Is(nil, syscall.ENOSPC) || Is(errors.New("x"), syscall.ENOSPC) {
		t.Errorf("%v is not told apart", err)
	}
}

func TestADiskHasSpaceAndALockHasAPath(t *testing.T) {
	dir := t.TempDir()
	free, whole, ok := Space(dir)
	if !ok || free == 0 || whole < free {
		t.Errorf("%d bytes free of %d, %v", free, whole, ok)
	}
	if _, _, ok := Space(filepath.Join(dir, "absent")); ok {
		t.Error("a folder that is not there has space")
	}
	path, flag := FolderLock(dir)
	f, err := os.OpenFile(path, flag, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}
