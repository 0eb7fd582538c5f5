package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
)

// Options configure a log.
type Options struct {
	File     string   // "stdout", or a path; it is made with mode 0600
	MaxBytes int64    // size at which a file is set aside as FILE.1, FILE.1 as FILE.2, and so on
	Keep     int      // files set aside; older ones are deleted
	Required bool     // requests are refused while lines cannot be written
	Stdout   *os.File // nil: os.Stdout
	Log      *slog.Logger
}

// Log is an open audit log. It is safe for concurrent use. A nil *Log writes nothing.
type Log struct {
	o Options

	mu    sync.Mutex // guards the fields below
	f     *os.File   // nil: it must be opened again
	bytes int64
	lost  int   // lines that could not be written
	err   error // why the last line could not be written; nil: it was
}

// Open opens the log. A file is continued.
func Open(o Options) (*Log, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	l := &Log{o: o}
	if err := l.open(); err != nil {
		return nil, fmt.Errorf("open the audit log: %w", err)
	}
	return l, nil
}

func (l *Log) open() error {
	if l.o.File == "stdout" {
		if l.f = l.o.Stdout; l.f == nil {
			l.f = os.Stdout
		}
		return nil
	}
	f, err := os.OpenFile(l.o.File, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	if !info.Mode().IsRegular() {
		return errors.Join(fmt.Errorf("%s is not a regular file", l.o.File), f.Close())
	}
	l.f, l.bytes = f, info.Size()
	return nil
}

// Write adds a line.
func (l *Log) Write(e Entry) {
	if l == nil {
		return
	}
	line, err := json.Marshal(e)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		err = l.write(append(line, '\n'))
	}
	switch {
	case err == nil && l.err != nil:
		l.o.Log.Warn("the audit log is written again", "file", l.o.File, "lost", l.lost)
	case err != nil && l.err == nil:
		l.o.Log.Error("the audit log cannot be written: requests leave no line", "file", l.o.File, "err", err)
	}
	if l.err = err; err != nil {
		l.lost++
	}
}

// write writes one whole line, in a file that has room for it.
func (l *Log) write(line []byte) error {
	if l.f != nil && l.o.File != "stdout" && l.o.MaxBytes > 0 && l.bytes > 0 && l.bytes+int64(len(line)) > l.o.MaxBytes {
		if err := l.rotate(); err != nil {
			return err
		}
	}
	if l.f == nil {
		if err := l.open(); err != nil {
			return err
		}
	}
	n, err := l.f.Write(line)
	l.bytes += int64(n)
	if err != nil && l.o.File != "stdout" {
		if n > 0 { // half a line would spoil the next one
			l.f.Truncate(l.bytes - int64(n))
		}
		l.f.Close()
		l.f = nil
	}
	return err
}

// rotate sets the file aside. It renames from the oldest on, so that a crash between two renames loses nothing. A
// file that is gone, because somebody moved it away, needs no place.
func (l *Log) rotate() error {
	err := l.f.Close()
	l.f = nil
	name := func(n int) string {
		if n == 0 {
			return l.o.File
		}
		return l.o.File + "." + strconv.Itoa(n)
	}
	if l.o.Keep == 0 {
		if e := os.Remove(l.o.File); !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
		return err
	}
	for n := l.o.Keep - 1; n >= 0; n-- {
		if e := os.Rename(name(n), name(n+1)); e != nil && !errors.Is(e, fs.ErrNotExist) {
			return errors.Join(err, e)
		}
	}
	return err
}

// Refuses reports whether requests are to be refused, because the last line could not be written and
// Options.Required is set. It tries again, with a line that says how many are missing.
func (l *Log) Refuses(e Entry) bool {
	if l == nil || !l.o.Required {
		return false
	}
	l.mu.Lock()
	failing := l.err != nil
	l.mu.Unlock()
	if !failing {
		return false
	}
	e.Decision, e.Code = "retried", "AuditLogFailed"
	l.Write(e)
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err != nil
}

// Note says that lines are missing; "" if none is.
func (l *Log) Note() string {
	if l == nil {
		return ""
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost == 0 {
		return ""
	}
	state := "it is written again"
	if l.err != nil {
		state = "it cannot be written now; see the log"
	}
	return fmt.Sprintf("%d lines are missing in the audit log %s: %s", l.lost, filepath.Base(l.o.File), state)
}

// Close closes the file.
func (l *Log) Close() error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f == nil || l.o.File == "stdout" {
		return nil
	}
	return l.f.Close()
}
