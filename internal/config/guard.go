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
)

// LostError says that what a process keeps in its data directory was deleted or replaced while it ran. What it writes from then on is
// in files that no name leads to, and is gone with the process.
type LostError struct {
	Dir      string
	Name     string // what is lost, below Dir; "" for the directory itself
	Replaced bool   // another file or folder has the name now
}

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

// Guard knows what is in a data directory that is in use. Its methods may be called by any goroutine.
type Guard struct {
	data  *Data
	known []known
}

// known is a file or folder as it was when the guard was made.
type known struct {
	name string
	info fs.FileInfo
	// kept tells that the name must stay, and that another file may take it: the process has read the file already, and people edit it.
	kept bool
}

// Guard returns a guard over the directory, its lock, its key if there is one, and these names in it, all of which must be there.
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
	// guardEvery is how often the directory is looked at.
	guardEvery = time.Second
	// guardAgain is how long after a loss was seen it is looked at again, before it is believed.
	guardAgain = 100 * time.Millisecond
)

// Watch looks at the directory until ctx ends, and returns nil then. It returns a [*LostError] about a second after something was lost.
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

// Look returns a [*LostError] when something is lost now. A file system that does not answer is no loss.
func (g *Guard) Look() error {
	var lost *LostError
	for _, k := range g.known {
		info, err := os.Stat(filepath.Join(g.data.Dir, k.name))
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
			lost = &LostError{Dir: g.data.Dir, Name: k.name}
		case err == nil && !k.kept && !os.SameFile(info, k.info):
			lost = &LostError{Dir: g.data.Dir, Name: k.name, Replaced: true}
		default:
			continue
		}
		if k.name != lockFile { // which goes with the directory, and says less
			return lost
		}
	}
	if lost == nil {
		return nil
	}
	return lost
}

// LooseModes names what in the directory other users of the machine can open: it holds keys, prompts and answers.
func (d *Data) LooseModes() []string {
	var loose []string
	for _, name := range []string{"", keyFile} {
		path := filepath.Join(d.Dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o077 != 0 {
			loose = append(loose, fmt.Sprintf("%s (mode %04o)", path, info.Mode().Perm()))
		}
	}
	return loose
}
