package files_test

import (
	"errors"
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
