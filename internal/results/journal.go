package results

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/batholith/batholith"
)

const (
	syncEvery    = 20 * time.Millisecond // what is written is on the disk this much later, and the time of one fsync
	fileBytes    = 16 << 20              // a journal file that has grown to this takes no more
	muteTime     = time.Second           // how long nothing is journalled after the disk refused
	maxUnwritten = 8 << 20               // a disk that is so far behind gets nothing more for now
	maxSpare     = 1 << 20               // a longer buffer is not kept for what comes next
	maxFiles     = 16                    // when there are more, what pins the oldest is journalled once more, see Writer.unpin
	journalExt   = ".log"
)

// journal keeps outcomes on the worker's own disk until they are committed. What is appended is written as soon as the
// writing goroutine runs, which Add waits for, so that kill -9 loses only what was in flight, and synced soon after.
//
// It is a second net: a disk that refuses is logged and the journal falls silent for a while. Outcomes are in memory until
// they are committed in any case.
type journal struct {
	dir, worker string
	log         *slog.Logger
	size        int64         // fileBytes; tests make it smaller
	disk        disk          // tests make one that hangs or refuses
	wake        chan struct{} // holds one token when there is something to do; never closed
	hasten      chan struct{} // holds one token when what is written is to be synced at once; never closed

	mu        sync.Mutex
	next      int        // number of the next file
	files     []*logFile // every file of this process that may exist, by number
	muted     time.Time  // until then nothing is journalled
	unwritten int64      // bytes queued in all files
	// written is closed, and replaced, when what was queued before is written or given up.
	written chan struct{}
	// settled is closed, and replaced, when an fsync has ended or a file was given up.
	settled chan struct{}
}

// never is the channel of an outcome that is not journalled because the disk is too far behind.
var never = make(chan struct{})

// disk is what a journal does with an open file.
type disk struct {
	write func(*os.File, []byte) (int, error)
	sync  func(*os.File) error
}

// logFile is one journal file. The journal's mutex guards the first group, the rest belongs to the goroutine of run.
type logFile struct {
	queued []byte // frames that are not written yet
	bytes  int64  // of head and frames, written or not
	live   int    // outcomes in it that are neither committed nor refused
	full   bool   // takes no more
	safe   int64  // bytes that are synced
	broken bool   // the disk refused it: what is not safe may never be

	path    string
	file    *os.File
	spare   []byte // written, and to be queued into again
	wrote   int64  // bytes that are written
	named   bool   // its name is durable
	synced  bool
	syncing bool
	upTo    int64 // wrote, when the present fsync began
}

// openJournal prepares dir, which it makes if need be. Files of earlier processes stay as they are; see replay.
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
	for _, path := range append(old, aside...) { // a number is not used twice: a file that was put aside would be overwritten
		var n int
		if _, err := fmt.Sscanf(filepath.Base(path), "%d", &n); err == nil {
			j.next = max(j.next, n+1)
		}
	}
	return j, nil
}

// journalFiles lists the journal files in dir by age.
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

// append queues an outcome for writing and returns the file that it is in. The caller gives the file back with release when the
// outcome needs it no longer. The channel is closed once the outcome is written, from when on kill -9 does not lose it, or is given up.
// Without a file the outcome is not journalled: the channel is nil when the disk refused a moment ago, and never closes when the disk
// is too far behind.
func (j *journal) append(o *batholith.Outcome) (*logFile, <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if time.Now().Before(j.muted) {
		return nil, nil
	}
	if j.unwritten > maxUnwritten {
		return nil, never
	}
	f := j.current()
	start := len(f.queued)
	f.queued = appendBytes(openFrame(f.queued), o.Job)
	f.queued = appendOutcome(f.queued, o)
	closeFrame(f.queued, start)
	f.bytes += int64(len(f.queued) - start)
	j.unwritten += int64(len(f.queued) - start)
	f.live++
	f.full = f.bytes >= j.size
	j.nudge()
	return f, j.written
}

// current is the file that takes the next outcome. The caller holds mu.
func (j *journal) current() *logFile {
	if n := len(j.files); n > 0 && !j.files[n-1].full {
		return j.files[n-1]
	}
	f := &logFile{path: filepath.Join(j.dir, fmt.Sprintf("%010d%s", j.next, journalExt))}
	j.next++
	f.queued = openFrame(appendHead(nil, journalMagic))
	f.queued = append(f.queued, j.worker...)
	closeFrame(f.queued, headBytes)
	f.bytes = int64(len(f.queued))
	j.unwritten += f.bytes
	j.files = append(j.files, f)
	return f
}

// endOf returns how long a file is with all that is queued for it.
func (j *journal) endOf(f *logFile) int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return f.bytes
}

// release says that n outcomes in f are committed or refused. A full file without any other is deleted.
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

// crowded returns the oldest file when there are too many, or nil. It is asked after every append, so that one at a time is enough.
func (j *journal) crowded() *logFile {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.files) <= maxFiles || j.files[0].live == 0 {
		return nil
	}
	return j.files[0]
}

// nudge wakes the writing goroutine. A token that is there already will do.
func (j *journal) nudge() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// run writes and syncs until ctx ends; then it writes what is queued, syncs it, and deletes the files that nobody needs.
// An fsync and a deletion may take seconds on a busy disk. Each has a goroutine, of which there is one at most, so that writing,
// which Add waits for, goes on meanwhile.
func (j *journal) run(ctx context.Context) {
	timer := time.NewTimer(syncEvery)
	timer.Stop()
	synced := make(chan []*logFile) // an fsync that began sends once
	removed := make(chan struct{})  // a deletion that began sends once
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

// write writes what is queued and tells whether anything is unsynced.
func (j *journal) write() (dirty bool) {
	j.mu.Lock()
	files := append([]*logFile(nil), j.files...)
	written := j.written
	j.written = make(chan struct{})
	j.mu.Unlock()
	defer close(written)
	// Only this goroutine removes files, so the copy stays true; the mutex is not held while the disk works.
	for _, f := range files {
		j.mu.Lock()
		b := f.queued
		f.queued, f.spare = f.spare, nil
		j.unwritten -= int64(len(b)) // what is being written is a second share, no more
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

// put writes b to the end of f, which it makes when it has not been. What the disk took of b when it refused the rest is cut off again:
// replay takes bytes that end inside a frame for damage, unless they end the last file.
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

// giveUp ends the use of a file that the disk refused. What was written to it is read at the next start.
func (j *journal) giveUp(f *logFile, err error) {
	j.log.Error("outcomes are not journalled for now; they are safe once committed", "err", err)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.unwritten -= int64(len(f.queued))
	f.full, f.broken, f.queued = true, true, nil
	j.muted = time.Now().Add(muteTime)
	close(j.settled)
	j.settled = make(chan struct{})
}

// dirty lists the files that have bytes to be synced, and says that they are being.
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

// sync makes files and their names durable and returns the files. After a failed fsync nobody knows what is on the
// disk, and asking again would answer nothing: the file takes no more.
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
			f.safe = f.upTo
		}
	}
	close(j.settled)
	j.settled = make(chan struct{})
	return files
}

// hurry has what is queued synced as soon as it is written.
func (j *journal) hurry() {
	select {
	case j.hasten <- struct{}{}:
	default:
	}
}

// await waits until the first end bytes of a file are synced, which is true, or will not be.
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

// tidy takes the files off the list that nobody needs, and returns those of them that are on the disk.
func (j *journal) tidy() (needless []*logFile) {
	j.mu.Lock()
	defer j.mu.Unlock()
	kept := j.files[:0]
	for _, f := range j.files {
		switch {
		case !f.full || f.live > 0 || f.syncing:
			kept = append(kept, f)
		case f.file != nil: // one that was never written has no name yet
			needless = append(needless, f)
		}
	}
	clear(j.files[len(kept):])
	j.files = kept
	return needless
}

// remove deletes files.
func (j *journal) remove(files []*logFile) {
	for _, f := range files {
		f.file.Close()
		if err := os.Remove(f.path); err != nil {
			j.log.Warn("delete journal file", "err", err)
		}
	}
}

// end makes the journal complete on the disk: only files with outcomes that are not committed stay.
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

// syncFolder makes the names in dir durable.
func syncFolder(dir string) error {
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
