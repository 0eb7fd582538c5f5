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
	"sync/atomic"
	"syscall"
	"time"

	"github.com/batholith/batholith/internal/system"
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

	full atomic.Bool // the result of the last test; clients ask for it, and never wait for a test
	mu   sync.Mutex  // held during a test
}

const (
	// probeBytes is the size of the test file: as much as a disk must have free to count as not full.
	probeBytes = 1 << 20
	// probeEvery is the time between two tests of a full disk.
	probeEvery = time.Second
)

// diskIsFull is what Get, List and /readyz say while the disk is full. Any caller may read it, so it names no path.
const diskIsFull = "The disk of the server's data directory is full: finished records wait in memory, and nothing is stored. Make room on it; jobs then continue by themselves."

// newFullDisk returns the watch of dir's disk, which logs with log. It tests nothing until a warning or watch asks
// for it.
func newFullDisk(dir string, log *slog.Logger) *fullDisk {
	d := &fullDisk{dir: dir, log: log, found: make(chan struct{}, 1)}
	d.probe = d.write
	return d
}

// handle returns d's log without the warnings that repeat what d tells.
func (d *fullDisk) handle() *slog.Logger { return slog.New(&roomHandler{d.log.Handler(), d}) }

// Notice is the message for clients while the disk is full, else "".
func (d *fullDisk) Notice() string {
	if d.full.Load() {
		return diskIsFull
	}
	return ""
}

// watch starts a goroutine that tests a full disk every probeEvery until ctx ends. While the disk is not full it
// only waits. The returned function ends the goroutine and waits for it.
func (d *fullDisk) watch(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); d.run(ctx) }()
	return func() { cancel(); <-done }
}

// run waits until a test has found the disk full, repeats the test until there is room, and waits again. It
// returns when ctx ends.
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

// isFull reports the result of the last test.
func (d *fullDisk) isFull() bool { return d.full.Load() }

// test writes the test file and reports whether the disk is full (ENOSPC, or EDQUOT for a quota). It logs only the
// changes: full with the remedy, and room again. Any other error of the file counts as room, because the warnings
// of the parts then name the true cause.
func (d *fullDisk) test() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	err := d.probe()
	full := system.Is(err, syscall.ENOSPC) || system.Is(err, syscall.EDQUOT)
	switch before := d.full.Swap(full); {
	case full && !before:
		d.log.Warn("the disk is full: finished records wait in memory, and nothing is stored; make room on the disk of " + d.dir + ", and jobs continue by themselves")
		select {
		case d.found <- struct{}{}:
		default:
		}
	case before && !full:
		d.log.Info("the disk of " + d.dir + " has room again: jobs continue")
	}
	return full
}

// startedFull adds a remedy to err if the disk of dir is full now. It returns other errors, and nil, unchanged.
func startedFull(dir string, err error) error {
	if err != nil && newFullDisk(dir, slog.New(slog.DiscardHandler)).test() {
		return hint(err, "the disk is full: make room on the disk of %s, and start again", words.Quote(dir))
	}
	return err
}

// write writes, syncs and removes the test file DIR/.room. The bytes are random, so that a compressing file system
// needs the full size for them. A crash may leave the file behind; the next test overwrites it.
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

// Handle drops a record if it is a warning about missing room and the disk is full. A first such warning tests the
// disk. Every other record goes to the wrapped handler.
func (h *roomHandler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn && aboutRoom(r) && (h.disk.isFull() || h.disk.test()) {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs returns a handler that adds attrs and drops the same warnings.
func (h *roomHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &roomHandler{h.Handler.WithAttrs(attrs), h.disk}
}

// WithGroup returns a handler that opens a group and drops the same warnings.
func (h *roomHandler) WithGroup(name string) slog.Handler {
	return &roomHandler{h.Handler.WithGroup(name), h.disk}
}

// noRoom are the texts with which the parts of the process report missing room: the kernel's for ENOSPC and
// EDQUOT, SQLite's, and the code of the embedded S3. A log record has only text, so errors.Is cannot be used.
var noRoom = []string{syscall.ENOSPC.Error(), syscall.EDQUOT.Error(), "database or disk is full", "InsufficientStorage"}

// aboutRoom reports whether an attribute of the record quotes an error about missing room.
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
