package s3serve

import (
	"bytes"
	"encoding/binary"
	"errors"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

// appearing watches a directory for names that appear in it. The function tells which did so far.
func appearing(t *testing.T, dir string) func() []string {
	t.Helper()
	fd, err := syscall.InotifyInit1(syscall.IN_CLOEXEC | syscall.IN_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if _, err := syscall.InotifyAddWatch(fd, dir, syscall.IN_CREATE|syscall.IN_MOVED_TO); err != nil {
		t.Fatal(err)
	}
	return func() (names []string) {
		buf := make([]byte, 16<<10)
		n, err := syscall.Read(fd, buf)
		if errors.Is(err, syscall.EAGAIN) {
			return nil
		}
		if err != nil {
			t.Fatal(err)
		}
		for buf = buf[:n]; len(buf) > 0; {
			size := syscall.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(buf[12:]))
			names = append(names, string(bytes.TrimRight(buf[syscall.SizeofInotifyEvent:size], "\x00")))
			buf = buf[size:]
		}
		return names
	}
}

// A name beside the object's, be it for a moment, would be left over by a process that dies then, and listed as an object.
func TestReplacingAnObjectNamesNothingElse(t *testing.T) {
	for name, files := range map[string]bool{"attributes": false, "files": true} {
		t.Run(name, func(t *testing.T) {
			w := openWatched(t, files)
			w.during(t, "a/b/key", w.put("first"))
			names := appearing(t, filepath.Join(w.dir, "box/a/b"))
			w.during(t, "a/b/key", w.put("second"))
			if got := names(); !slices.Equal(got, []string{"key"}) {
				t.Errorf("appeared: %q", got)
			}
		})
	}
}
