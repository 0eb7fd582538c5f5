package results

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/system"
)

const (
	syncEvery    = 20 * time.Millisecond // from a write to the next fsync
	fileBytes    = 16 << 20              // a file of this size takes no more outcomes
	muteTime     = time.Second           // how long nothing is journalled after an error of the disk
	maxUnwritten = 8 << 20               // with so many bytes queued, no more outcomes are journalled for now
	maxSpare     = 1 << 20               // a longer buffer is not kept for reuse
	maxFiles     = 16                    // with more files, the outcomes in the oldest are journalled again, see Writer.unpin
	journalExt   = ".log"
)

// journal keeps outcomes on the worker's own disk until they are committed. Appended outcomes are written as soon as the goroutine of run
// is scheduled; Add waits for that, so that kill -9 loses only records in flight. They are synced soon after.
//
// The journal is a second safety: outcomes are also in memory until they are committed. If the disk fails, the error is logged and nothing
// is journalled for a while.
type journal struct {
	dir, worker string
	log         *slog.Logger
	keys        Keys          // encrypt new files; nil: none
	size        int64         // fileBytes; tests make it smaller
	disk        disk          // tests replace it by one that hangs or fails
	wake        chan struct{} // 1-buffered, never closed; gets a value when there is something to do
	hasten      chan struct{} // 1-buffered, never closed; gets a value when written bytes are to be synced at once

	mu        sync.Mutex
	next      int        // number of the next file
	files     []*logFile // every file of this process that may exist, oldest first
	muted     time.Time  // nothing is journalled until then
	failing   bool       // an error of the disk is logged, and nothing was synced since
	unwritten int64      // bytes queued in all files
	// written is closed, and replaced, when the bytes queued before are written or given up.
	written chan struct{}
	// settled is closed, and replaced, when an fsync has ended or a file was given up.
	settled chan struct{}
}

// never is the channel of an outcome that is not journalled because too many bytes wait for the disk. It is never closed.
var never = make(chan struct{})

// disk is the operations that a journal needs of an open file.
type disk struct {
	write func(*os.File, []byte) (int, error)
	sync  func(*os.File) error
}

// logFile is one journal file. The journal's mutex guards the first group of fields; the rest belongs to the goroutine of run.
type logFile struct {
	queued []byte  // frames that are not written yet
	bytes  int64   // of head and frames, written or not
	live   int     // outcomes in it that are not settled
	full   bool    // no more outcomes are appended
	safe   int64   // synced bytes
	sealer *sealer // nil: the file is not encrypted
	broken bool    // the disk failed: bytes that are not safe may be lost
	gone   bool    // it is not on the disk any more, or never was

	path    string
	file    *os.File
	spare   []byte // a written buffer, for reuse as queued
	wrote   int64  // written bytes
	named   bool   // the folder was synced after the file was made
	synced  bool   // no bytes were written since the last fsync began
	syncing bool   // an fsync is running
	upTo    int64  // value of wrote when the present fsync began
}

// openJournal makes dir if it does not exist. It leaves the files of earlier processes alone; see replay.
func openJournal(dir, worker string, log *slog.Logger) (*journal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make journal folder: %w", err)
	}
	old, err := journalFiles(dir)
	if err != nil {
		return nil, err
	}
	j := &journal{dir: dir, worker: worker, log: log, size: fileBytes, disk: disk{(*os.File).Write, (*os.File).Sync}, wake: make(chan struct{}, 1), hasten: make(chan struct{}, 1), written: make(chan struct{}),
		settled: make(chan struct{})}
	aside, err := asideFiles(dir)
	if err != nil {
		return nil, err
	}
	for _, path := range append(old, aside...) { // no number is used twice, so that no file that was put aside is overwritten
		var n int
		if _, err := fmt.Sscanf(filepath.Base(path), "%d", &n); err == nil {
			j.next = max(j.next, n+1)
		}
	}
	return j, nil
}

// journalFiles lists the journal files in dir, oldest first.
func journalFiles(dir string) ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*"+journalExt)) // sorted, and numbers have leading zeros
	if err != nil {
		return nil, fmt.Errorf("list journal: %w", err)
	}
	return paths, nil
}

// asideFiles lists the files in dir that Recover has put aside.
func asideFiles(dir string) ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*"+journalExt+".*"))
	if err != nil {
		return nil, fmt.Errorf("list journal: %w", err)
	}
	return paths, nil
}

// append queues an outcome for writing, and returns its file. The caller must call release for the file when the outcome is settled. The
// channel is closed when the outcome is written, and survives kill -9, or when it is given up. If the outcome is not journalled, the file
// is nil; the channel is then nil after an error of the disk, and is never closed while too many bytes wait for the disk.
func (j *journal) append(o *batholith.Outcome) (*logFile, <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if time.Now().Before(j.muted) {
		return nil, nil
	}
	if j.unwritten > maxUnwritten {
		return nil, never
	}
	f, err := j.current()
	if err != nil {
		j.log.Error("outcomes are not journalled for now, since the journal cannot be encrypted; they are safe once committed", "err", err)
		j.muted = time.Now().Add(muteTime)
		return nil, nil
	}
	start := len(f.queued)
	if s := f.sealer; s != nil {
		s.plain = appendOutcome(appendBytes(s.plain[:0], o.Job), o)
		f.queued = s.seal(openFrame(f.queued), s.plain)
		if cap(s.plain) > maxSpare {
			s.plain = nil
		}
	} else {
		f.queued = appendBytes(openFrame(f.queued), o.Job)
		f.queued = appendOutcome(f.queued, o)
	}
	closeFrame(f.queued, start)
	f.bytes += int64(len(f.queued) - start)
	j.unwritten += int64(len(f.queued) - start)
	f.live++
	f.full = f.bytes >= j.size
	j.nudge()
	return f, j.written
}

// current returns the file for the next outcome, and makes it if needed. It fails if the file must
// be encrypted and cannot be. The caller holds mu.
func (j *journal) current() (*logFile, error) {
	if n := len(j.files); n > 0 && !j.files[n-1].full {
		return j.files[n-1], nil
	}
	head, s, err := beginSealed(j.keys)
	if err != nil {
		return nil, err
	}
	f := &logFile{path: filepath.Join(j.dir, fmt.Sprintf("%010d%s", j.next, journalExt)), sealer: s}
	j.next++
	if s != nil {
		f.queued = s.seal(openFrame(head), []byte(j.worker))
		closeFrame(f.queued, len(head))
	} else {
		f.queued = openFrame(appendHead(nil, journalMagic))
		f.queued = append(f.queued, j.worker...)
		closeFrame(f.queued, headBytes)
	}
	f.bytes = int64(len(f.queued))
	j.unwritten += f.bytes
	j.files = append(j.files, f)
	return f, nil
}

// turn begins a new file with the next outcome, and waits until every file of before is deleted, since its outcomes are settled; or until ctx
// ends.
func (j *journal) turn(ctx context.Context) error {
	j.mu.Lock()
	before := append([]*logFile(nil), j.files...)
	for _, f := range before {
		f.full = true
	}
	j.mu.Unlock()
	for len(before) > 0 {
		j.nudge()
		j.mu.Lock()
		before = slices.DeleteFunc(before, func(f *logFile) bool { return !slices.Contains(j.files, f) && f.gone })
		j.mu.Unlock()
		if len(before) == 0 {
			break
		}
		select {
		case <-time.After(syncEvery):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// endOf returns the length of a file including its queued bytes.
func (j *journal) endOf(f *logFile) int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return f.bytes
}

// release notes that n outcomes in f are settled. A full file whose outcomes are all settled is deleted. f may be nil.
func (j *journal) release(f *logFile, n int) {
	if f == nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if f.live -= n; f.live == 0 && f.full {
		j.nudge()
	}
}

// crowded returns the oldest file if there are too many files, else nil. It is called after every append.
func (j *journal) crowded() *logFile {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.files) <= maxFiles || j.files[0].live == 0 {
		return nil
	}
	return j.files[0]
}

// nudge wakes the goroutine of run. It does not block.
func (j *journal) nudge() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// run writes and syncs until ctx ends. Then it writes and syncs the rest, and deletes files without unsettled outcomes. An fsync or a
// deletion may take seconds on a busy disk. Each runs in a goroutine of its own, at most one of each kind, so that writing continues, for
// which Add waits.
func (j *journal) run(ctx context.Context) {
	timer := time.NewTimer(syncEvery)
	timer.Stop()
	synced := make(chan []*logFile) // each fsync sends one value
	removed := make(chan struct{})  // each deletion sends one value
	armed, syncing, removing, hurried := false, false, false, false
	sync := func() {
		armed, syncing, hurried = false, true, false
		dirty := j.dirty()
		go func() { synced <- j.sync(dirty) }()
	}
	for {
		select {
		case <-j.wake:
		case <-timer.C:
			sync()
		case <-j.hasten:
			hurried = true
		case done := <-synced:
			syncing = false
			for _, f := range done {
				f.syncing = false
			}
		case <-removed:
			removing = false
		case <-ctx.Done():
			if syncing {
				<-synced
			}
			if removing {
				<-removed
			}
			j.end()
			return
		}
		switch dirty := j.write(); {
		case !dirty || syncing:
		case hurried:
			timer.Stop()
			sync()
		case !armed:
			armed = true
			timer.Reset(syncEvery)
		}
		if !removing {
			if needless := j.tidy(); len(needless) > 0 {
				removing = true
				go func() { j.remove(needless); removed <- struct{}{} }()
			}
		}
	}
}

// write writes the queued bytes of all files, and reports whether bytes are unsynced.
func (j *journal) write() (dirty bool) {
	j.mu.Lock()
	files := append([]*logFile(nil), j.files...)
	written := j.written
	j.written = make(chan struct{})
	j.mu.Unlock()
	defer close(written)
	// Only this goroutine removes files, so the copy stays valid. The mutex is not held during a write.
	for _, f := range files {
		j.mu.Lock()
		b := f.queued
		f.queued, f.spare = f.spare, nil
		j.unwritten -= int64(len(b)) // bytes that are being written do not count as queued
		full, needless := f.full, f.full && f.live == 0
		j.mu.Unlock()
		if len(b) > 0 && !needless {
			if err := j.put(f, b); err != nil {
				j.giveUp(f, err)
				continue
			}
			f.synced = false
		}
		if !full && cap(b) <= maxSpare {
			f.spare = b[:0]
		}
		dirty = dirty || f.file != nil && !f.synced
	}
	return dirty
}

// put appends b to the file, which it makes if needed. After a failed write it truncates the file: replay takes an unfinished frame for
// damage, unless it is the end of the last file.
func (j *journal) put(f *logFile, b []byte) error {
	if f.file == nil {
		file, err := os.OpenFile(f.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return fmt.Errorf("make journal file: %w", err)
		}
		f.file = file
	}
	if _, err := j.disk.write(f.file, b); err != nil {
		return errors.Join(fmt.Errorf("write journal: %w", err), f.file.Truncate(f.wrote))
	}
	f.wrote += int64(len(b))
	return nil
}

// giveUp ends the use of a file after an error of the disk. The bytes that were written are read at the next start.
func (j *journal) giveUp(f *logFile, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.failing {
		j.log.Error("outcomes are not journalled until the disk takes them again; they are safe once committed", "err", err)
	}
	j.failing = true
	j.unwritten -= int64(len(f.queued))
	f.full, f.broken, f.queued = true, true, nil
	j.muted = time.Now().Add(muteTime)
	close(j.settled)
	j.settled = make(chan struct{})
}

// dirty returns the files with unsynced bytes, and marks them as being synced.
func (j *journal) dirty() []*logFile {
	j.mu.Lock()
	defer j.mu.Unlock()
	var dirty []*logFile
	for _, f := range j.files {
		if f.file != nil && !f.synced {
			f.synced, f.syncing, f.upTo = true, true, f.wrote
			dirty = append(dirty, f)
		}
	}
	return dirty
}

// sync makes files and their names durable, and returns the files. After a failed fsync it is unknown what is on the disk, and another
// fsync would not tell: the file takes no more.
func (j *journal) sync(files []*logFile) []*logFile {
	for _, f := range files {
		err := j.disk.sync(f.file)
		if err == nil && !f.named {
			err = syncFolder(j.dir)
			f.named = err == nil
		}
		if err != nil {
			j.giveUp(f, fmt.Errorf("sync journal: %w", err))
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, f := range files {
		if !f.broken {
			f.safe, j.failing = f.upTo, false
		}
	}
	close(j.settled)
	j.settled = make(chan struct{})
	return files
}

// hurry makes run sync the queued bytes as soon as they are written.
func (j *journal) hurry() {
	select {
	case j.hasten <- struct{}{}:
	default:
	}
}

// await waits until the first end bytes of a file are synced, and returns true; false if they will not be, or ctx ends.
func (j *journal) await(ctx context.Context, f *logFile, end int64) bool {
	for {
		j.mu.Lock()
		safe, broken, settled := f.safe >= end, f.broken, j.settled
		j.mu.Unlock()
		if safe || broken {
			return safe
		}
		select {
		case <-settled:
		case <-ctx.Done():
			return false
		}
	}
}

// tidy removes the full files without unsettled outcomes from the list, and returns those of them that are on the disk.
func (j *journal) tidy() (needless []*logFile) {
	j.mu.Lock()
	defer j.mu.Unlock()
	kept := j.files[:0]
	for _, f := range j.files {
		switch {
		case !f.full || f.live > 0 || f.syncing:
			kept = append(kept, f)
		case f.file != nil: // a file that was never written does not exist on the disk
			needless = append(needless, f)
		default:
			f.gone = true
		}
	}
	clear(j.files[len(kept):])
	j.files = kept
	return needless
}

// remove closes and deletes files.
func (j *journal) remove(files []*logFile) {
	for _, f := range files {
		f.file.Close()
		if err := os.Remove(f.path); err != nil {
			j.log.Warn("delete journal file", "err", err)
		}
		j.mu.Lock()
		f.gone = true
		j.mu.Unlock()
	}
}

// end completes the journal on the disk: only files with unsettled outcomes stay.
func (j *journal) end() {
	j.mu.Lock()
	for _, f := range j.files {
		f.full, f.syncing = true, false
	}
	j.mu.Unlock()
	j.write()
	j.sync(j.dirty())
	for _, f := range j.files {
		f.syncing = false
	}
	j.remove(j.tidy())
	for _, f := range j.files {
		if f.file != nil {
			f.file.Close()
		}
	}
}

// syncFolder makes the names of the files in dir durable.
func syncFolder(dir string) error {
	if !system.FoldersSync {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync journal folder: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync journal folder: %w", err)
	}
	return nil
}
