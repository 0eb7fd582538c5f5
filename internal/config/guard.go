package config

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/batholith/batholith/internal/system"
)

// LostError means that a file of the data directory was deleted or replaced while the process
// used it. Whatever the process writes to it from then on is lost when the process ends.
type LostError struct {
	Dir      string
	Name     string // relative to Dir; "": the directory itself
	Replaced bool   // another file or directory has the name now
}

// Error names what was lost, and how.
func (e *LostError) Error() string {
	what := "the data directory " + e.Dir
	if e.Name != "" {
		what = filepath.Join(e.Dir, e.Name) + " in the data directory"
	}
	how := "deleted"
	if e.Replaced {
		how = "replaced"
	}
	return fmt.Sprintf("%s was %s while it was in use", what, how)
}

// Guard detects the loss of files in a data directory that is in use. It is safe for concurrent
// use.
type Guard struct {
	data  *Data
	known []known
}

// known is a file or directory as it was when the guard was created.
type known struct {
	name string
	info fs.FileInfo
	// kept means that the name must exist but may belong to another file: the process has read
	// the file already, and editors replace files.
	kept bool
}

// Guard returns a guard over the directory, its lock, its key file if there is one, and the
// given names in it. All must exist.
func (d *Data) Guard(names ...string) (*Guard, error) {
	lock, err := d.lock.Stat()
	if err != nil {
		return nil, fmt.Errorf("look at the lock of the data directory: %w", err)
	}
	g := &Guard{data: d, known: []known{{name: lockFile, info: lock}}}
	for _, name := range append([]string{""}, names...) {
		info, err := os.Stat(filepath.Join(d.Dir, name))
		if err != nil {
			return nil, fmt.Errorf("look at the data directory: %w", err)
		}
		g.known = append(g.known, known{name: name, info: info})
	}
	if info, err := os.Stat(filepath.Join(d.Dir, keyFile)); err == nil {
		g.known = append(g.known, known{name: keyFile, info: info, kept: true})
	}
	return g, nil
}

const (
	// guardEvery is the interval between two checks.
	guardEvery = time.Second
	// guardAgain is the delay before a loss is confirmed by a second check.
	guardAgain = 100 * time.Millisecond
)

// Watch checks the directory until ctx ends and then returns nil. It returns a [*LostError]
// about one second after a loss.
func (g *Guard) Watch(ctx context.Context) error {
	for every := guardEvery; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every):
		}
		err := g.Look()
		if err != nil && every == guardAgain {
			return err
		}
		every = guardEvery
		if err != nil {
			every = guardAgain
		}
	}
}

// Look checks once and returns a [*LostError] if something is lost. Other errors of the file
// system are ignored.
func (g *Guard) Look() error {
	var lost *LostError
	for _, k := range g.known {
		info, err := os.Stat(filepath.Join(g.data.Dir, k.name))
		switch {
		case errors.Is(err, fs.ErrNotExist), system.Is(err, syscall.ENOTDIR):
			lost = &LostError{Dir: g.data.Dir, Name: k.name}
		case err == nil && !k.kept && !os.SameFile(info, k.info):
			lost = &LostError{Dir: g.data.Dir, Name: k.name, Replaced: true}
		default:
			continue
		}
		if k.name != lockFile { // the lock is lost together with the directory, whose error says more
			return lost
		}
	}
	if lost == nil {
		return nil
	}
	return lost
}

// LooseModes returns what other users of the machine can open in the directory, which holds
// keys, prompts and answers.
func (d *Data) LooseModes() []string {
	var loose []string
	for _, name := range []string{"", keyFile} {
		path := filepath.Join(d.Dir, name)
		if info, err := os.Stat(path); err == nil && system.ModesTell && info.Mode().Perm()&0o077 != 0 {
			loose = append(loose, fmt.Sprintf("%s (mode %04o)", path, info.Mode().Perm()))
		}
	}
	return loose
}
