package files_test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/files"
)

// An open that waited for a writer would let this test run into the time limit.
func TestOpenNeverWaitsForWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	pipe, socket, link, device, good := filepath.Join(dir, "pipe"), filepath.Join(dir, "s"), filepath.Join(dir, "link"), filepath.Join(dir, "device"), filepath.Join(dir, "good")
	loop := filepath.Join(dir, "loop")
	ln, err := net.Listen("unix", socket)
	if err == nil {
		defer ln.Close()
	}
	if err := errors.Join(err, syscall.Mkfifo(pipe, 0o600), os.Symlink(pipe, link), os.Symlink("/dev/zero", device), os.Symlink(loop, loop),
		os.WriteFile(good, []byte("x"), 0o600)); err != nil {
		t.Fatal(err)
	}
	out, err := files.NewOutput(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	for path, kind := range map[string]string{pipe: "a named pipe", link: "a named pipe", socket: "a socket", device: "a device", dir: "a directory"} {
		_, err := files.Open(path)
		var not *files.NotAFileError
		if !errors.As(err, &not) || not.Kind != kind || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want %s", path, err, kind)
		}
		in := files.NewInput(map[string]string{"k.jsonl": path})
		if _, err := in.Read(t.Context(), "k.jsonl", "", 0, -1); !errors.Is(err, batholith.ErrNoObject) {
			t.Errorf("input %s: %v", path, err)
		}
		if _, err := out.Head(t.Context(), filepath.Base(path)); err == nil {
			t.Errorf("output %s is an object", path)
		}
	}
	if _, err := files.Open(loop); err == nil {
		t.Error("a link to itself was opened")
	}
	f, err := files.Open(good)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}

// What a private directory holds is its owner's alone, also where the umask takes nothing away.
func TestAPrivateOutputIsForItsOwnerAlone(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	dir := filepath.Join(t.TempDir(), "kept")
	out, err := files.NewPrivateOutput(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	_, err = out.CreateUpload(t.Context(), "job/b")
	if err := errors.Join(err, out.Put(t.Context(), "job/sub/a", []byte("x"))); err != nil {
		t.Fatal(err)
	}
	seen := 0
	if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if seen++; err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has the mode %v", path, info.Mode())
		}
		return err
	}); err != nil || seen < 5 {
		t.Errorf("%d seen, %v", seen, err)
	}
}
