package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/batholith/batholith/internal/words"
)

// fullDisk tells that the disk of a data directory is full: once in the log, and in Notice while it lasts.
//
// On a full disk the journal, the database, the embedded S3 and the lease fail all at once, and each repeats its attempts. The handler of
// handle sees all their warnings. At the first one about missing room it tests the disk with a file of probeBytes. If that file does not
// fit, it logs one message with the remedy instead, and leaves out every warning about missing room until the file fits again.
type fullDisk struct {
	dir   string
	log   *slog.Logger  // without handle
	probe func() error  // writes the test file; tests replace it
	found chan struct{} // 1-buffered, never closed; gets a value when the disk is found full

	mu   sync.Mutex
	full bool
}

const (
	// probeBytes is the size of the test file: as much as a disk must have free to count as not full.
	probeBytes = 1 << 20
	// probeEvery is the time between two tests of a full disk.
	probeEvery = time.Second
)

// diskIsFull is what Get, List and /readyz say while the disk is full. Any caller may read it, so it names no path.
const diskIsFull = "The disk of the server's data directory is full: finished records wait in memory, and nothing is stored. Make room on it; jobs then continue by themselves."

// newFullDisk watches the disk of dir. It logs with log.
func newFullDisk(dir string, log *slog.Logger) *fullDisk {
	d := &fullDisk{dir: dir, log: log, found: make(chan struct{}, 1)}
	d.probe = d.write
	return d
}

// handle returns d's log without the warnings that repeat what d tells.
func (d *fullDisk) handle() *slog.Logger { return slog.New(&roomHandler{d.log.Handler(), d}) }

// Notice is the message for clients while the disk is full, else "".
func (d *fullDisk) Notice() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.full {
		return diskIsFull
	}
	return ""
}

// watch tests a full disk once a second until ctx ends. The function that it returns ends it, and waits for the end.
func (d *fullDisk) watch(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); d.run(ctx) }()
	return func() { cancel(); <-done }
}

func (d *fullDisk) run(ctx context.Context) {
	for {
		select {
		case <-d.found:
		case <-ctx.Done():
			return
		}
		for d.isFull() {
			select {
			case <-time.After(probeEvery):
				d.test()
			case <-ctx.Done():
				return
			}
		}
	}
}

func (d *fullDisk) isFull() bool { return d.Notice() != "" }

// test writes the test file, and logs when the disk has become full or has room again. It reports whether the disk is full.
func (d *fullDisk) test() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	err := d.probe()
	before := d.full
	d.full = errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
	switch {
	case d.full && !before:
		d.log.Warn("the disk is full: finished records wait in memory, and nothing is stored; make room on the disk of " + d.dir + ", and jobs continue by themselves")
		select {
		case d.found <- struct{}{}:
		default:
		}
	case before && !d.full:
		d.log.Info("the disk of " + d.dir + " has room again: jobs continue")
	}
	return d.full
}

// startedFull adds the remedy to the error of a start that failed because the disk of dir is full.
func startedFull(dir string, err error) error {
	if err != nil && newFullDisk(dir, slog.New(slog.DiscardHandler)).test() {
		return hint(err, "the disk is full: make room on the disk of %s, and start again", words.Quote(dir))
	}
	return err
}

// write writes and removes the test file. The bytes are random, so that a file system cannot compress them.
func (d *fullDisk) write() error {
	path := filepath.Join(d.dir, ".room")
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer os.Remove(path)
	b := make([]byte, probeBytes)
	_, _ = rand.Read(b) // it never fails
	if _, err := f.Write(b); err != nil {
		return errors.Join(err, f.Close())
	}
	return errors.Join(f.Sync(), f.Close()) // some file systems report missing room only here
}

// roomHandler leaves out warnings about missing room while the disk is full.
type roomHandler struct {
	slog.Handler
	disk *fullDisk
}

// Handle is part of slog.Handler, as are WithAttrs and WithGroup.
func (h *roomHandler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn && aboutRoom(r) && (h.disk.isFull() || h.disk.test()) {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs keeps the handler around the one with these.
func (h *roomHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &roomHandler{h.Handler.WithAttrs(attrs), h.disk}
}

// WithGroup keeps the handler around the one with this group.
func (h *roomHandler) WithGroup(name string) slog.Handler {
	return &roomHandler{h.Handler.WithGroup(name), h.disk}
}

// noRoom are the texts by which the parts of the process tell missing room: the kernel, SQLite, and the embedded S3.
var noRoom = []string{syscall.ENOSPC.Error(), syscall.EDQUOT.Error(), "database or disk is full", "InsufficientStorage"}

// aboutRoom reports whether a record quotes an error about missing room.
func aboutRoom(r slog.Record) (found bool) {
	r.Attrs(func(a slog.Attr) bool {
		text := a.Value.String()
		for _, s := range noRoom {
			found = found || strings.Contains(text, s)
		}
		return !found
	})
	return found
}
