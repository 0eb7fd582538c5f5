package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/gofrs/flock"

	"github.com/batholith/batholith/internal/files"
	"github.com/batholith/batholith/internal/results"
	"github.com/batholith/batholith/internal/system"
	"github.com/batholith/batholith/internal/words"
)

// data checks the data directory. alive reports whether a process has locked it.
func (d *doctor) data(dir string) (alive bool) {
	// A missing directory is normal before the first start.
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		d.find(Finding{Note, "data", dir + " is not there yet", "", "the first batholith serve makes it"})
		return false
	}
	if err != nil || !info.IsDir() {
		why := "it is not a directory"
		if err != nil {
			why = files.PathAndReason(err).Error()
		}
		d.find(Finding{Problem, "data", dir + " cannot be used", why, "name another directory with --data DIR"})
		return false
	}
	if d.foreign(dir, info, os.Geteuid()) {
		return false
	}
	d.private(dir, info, 0o700)
	key := filepath.Join(dir, "credentials")
	if info, err := os.Stat(key); err == nil {
		d.private(key, info, 0o600)
	}
	d.writable(dir)
	d.space(dir)
	// The journal's files mean different things with and without a running process.
	alive = d.holder(dir)
	d.journal(dir, alive)
	return alive
}

// foreign notes a directory of another user that this user, uid, cannot work in, and tells
// whether it is one. The server that its owner runs is right to keep others out, so the owner
// stays as it is.
func (d *doctor) foreign(dir string, info fs.FileInfo, uid int) bool {
	owner := ownerOf(info)
	if owner < 0 || owner == uid || uid == 0 {
		return false
	}
	d.closed = true
	d.find(Finding{Problem, "data", fmt.Sprintf("%s belongs to %s, and this is %s", dir, userName(owner), userName(uid)),
		"what is in it is for its owner alone; whether a server runs there cannot be seen from here",
		fmt.Sprintf("run it as the owner: sudo -u %s batholith doctor --data %s; or name a directory of your own with --data DIR", words.Quote(userName(owner)), words.Quote(dir))})
	return true
}

// ownerOf is the id of the user that owns a file; -1 if the system does not tell.
func ownerOf(info fs.FileInfo) int {
	if uid, ok := system.Owner(info); ok {
		return uid
	}
	return -1
}

// userName is the name of a user, or "#1000" for one without a name, as sudo takes it.
func userName(id int) string {
	if u, err := user.LookupId(strconv.Itoa(id)); err == nil {
		return u.Username
	}
	return fmt.Sprintf("#%d", id)
}

// private reports a path that other users of the machine can open. mode is the permission to
// set.
func (d *doctor) private(path string, info fs.FileInfo, mode fs.FileMode) {
	if system.ModesTell && info.Mode().Perm()&0o077 != 0 {
		d.find(Finding{Problem, "data", fmt.Sprintf("%s can be opened by other users (mode %04o)", path, info.Mode().Perm()),
			"it holds keys, prompts and answers", fmt.Sprintf("chmod %o %s", mode, words.Quote(path))})
	}
}

// writable tests the directory by creating and removing a file.
func (d *doctor) writable(dir string) {
	f, err := os.CreateTemp(dir, ".doctor-*")
	if err != nil {
		d.find(Finding{Problem, "data", "no file can be made in " + dir, files.PathAndReason(err).Error(), unwritable(dir, err)})
		return
	}
	f.Close()
	os.Remove(f.Name())
}

// unwritable is what to do about a directory of this user's own in which no file can be made.
func unwritable(dir string, err error) string {
	switch {
	case system.Is(err, syscall.EROFS):
		return "the disk is mounted read-only: mount it for writing, or name a directory on another with --data DIR"
	case system.Is(err, syscall.ENOSPC), system.Is(err, syscall.EDQUOT):
		return "make room on the disk of " + dir + "; jobs go on by themselves"
	case errors.Is(err, fs.ErrPermission):
		return "chmod u+rwx " + words.Quote(dir)
	}
	return "look at the system's log for faults of the disk"
}

// Minimum free space of a disk: a job's segments and outputs, and 16 journal files, must fit.
const (
	leastFree = 1 << 30
	littleOf  = 50 // and at least 1/50 of the disk
)

// space checks the free space on the disk of a directory.
func (d *doctor) space(dir string) {
	if free, whole, ok := system.Space(dir); ok { // some file systems do not tell
		d.find(spaceOf(dir, free, whole))
	}
}

// spaceOf judges free and total space in bytes.
func spaceOf(dir string, free, whole uint64) Finding {
	what := fmt.Sprintf("%s free of %s on the disk of %s", humanize.IBytes(free), humanize.IBytes(whole), dir)
	if free >= leastFree && free >= whole/littleOf {
		return Finding{Severity: Sound, Check: "data", What: what}
	}
	return Finding{Problem, "data", what, "on a full disk nothing is committed: jobs wait, and what they finish is lost with the process",
		"make room there, or move the directory and name it with --data DIR; jobs go on by themselves"}
}

// holder reports which process has locked the directory. It tests the lock itself, not the
// process id in the file.
func (d *doctor) holder(dir string) bool {
	// Read-only, so that doctor also works for a user who may only read.
	lock := flock.New(filepath.Join(dir, "lock"), flock.SetFlag(os.O_RDONLY))
	defer lock.Close()
	free, err := lock.TryRLock() // Close releases the lock; a server that starts at this moment would fail
	if err != nil {
		return false
	}
	if !free {
		text, _ := os.ReadFile(system.HolderOf(lock.Path()))
		d.find(Finding{Severity: Sound, Check: "data", What: fmt.Sprintf("%s is in use by process %s", dir, strings.TrimSpace(string(text)))})
		return true
	}
	if _, err := os.Stat(filepath.Join(dir, "server.json")); err == nil {
		d.find(Finding{Note, "data", "the last server of " + dir + " was killed", "", "nothing that was finished is lost; start it again with: batholith serve --data " + words.Quote(dir)})
	}
	return false
}

// pinned is the maximum age of a running server's journal file: normally its outcomes are
// committed within seconds.
const pinned = 10 * time.Minute

// journal looks for outcomes that are not committed, and for damaged journal files.
func (d *doctor) journal(dir string, alive bool) {
	files, err := results.Inspect(filepath.Join(dir, "journal"))
	if err != nil {
		d.find(Finding{Severity: Problem, Check: "data", What: "the journal cannot be read", Why: err.Error()})
		return
	}
	// jobs: outcomes per job; held: files that wait for the next start; last: index of the
	// newest undamaged file
	jobs, held, last := map[string]int{}, int64(0), -1
	for i, f := range files {
		if !f.Damaged {
			last = i // the current file: it receives the next outcomes until it is full
		}
	}
	for i, f := range files {
		if f.Unreadable > 0 && (!alive || i < last) {
			d.find(Finding{Problem, "data", fmt.Sprintf("%s of the journal file %s cannot be read", humanize.IBytes(uint64(f.Unreadable)), f.Path), "a disk fault",
				"the next start commits what can be read of it and keeps the file beside the journal; do not delete it"})
		}
		switch {
		case f.Damaged:
			d.find(Finding{Note, "data", f.Path + " was damaged and put aside", "a disk fault; what could be read of it was committed, other records were asked again",
				"keep an eye on the disk; then delete the file: rm " + words.Quote(f.Path)})
		case f.Foreign && len(f.Jobs) > 0 && f.Unreadable == 0 && alive:
			d.aside = append(d.aside, f) // the server says whether its jobs are over
		case f.Foreign:
			d.find(foreignJournal(f.Path))
		case !alive && f.Encrypted:
			d.find(Finding{Note, "data", "the journal file " + f.Path + " is encrypted", "the process that wrote it has ended", "the next start, which needs its key in kms.keys, commits what is not committed yet; do not delete it"})
		case !alive:
			held++
			for job, n := range f.Jobs {
				jobs[job] += n
			}
		case d.now().Sub(f.Modified) > pinned && i < last:
			d.find(Finding{Problem, "data", fmt.Sprintf("the journal file %s is held since %s by outcomes of %s", f.Path, words.Age(d.now().Sub(f.Modified)), jobNames(f.Jobs)),
				"they cannot be committed: the output bucket of the job, or the disk, does not take them",
				"see the job's message: batholith get JOB; they are committed as soon as it can be"})
		}
	}
	if held > 0 && len(jobs) > 0 {
		d.find(Finding{Note, "data", fmt.Sprintf("%s with outcomes of %s", words.Plural(held, "journal file"), jobNames(jobs)), "the process that wrote them has ended",
			"the next start commits what is not committed yet; do not delete them"})
	}
}

// foreignJournal is the finding of a journal file that was put aside.
func foreignJournal(path string) Finding {
	return Finding{Note, "data", path + " holds outcomes of another database or worker, and was put aside", "their jobs are not in this database, or their records were given to another worker",
		"start the server with the database and data directory that belong together; then delete the file: rm " + words.Quote(path)}
}

// asides examines the journal files that were put aside. A file whose jobs are all of this service, and over, is a leftover, which --fix deletes.
func (d *doctor) asides(ctx context.Context, jobs Jobs) {
	for _, f := range d.aside {
		found := foreignJournal(f.Path)
		over := true
		for id := range f.Jobs {
			ended, err := d.isOver(ctx, jobs, id)
			over = over && ended && err == nil
		}
		if over {
			found.Why, found.Remedy = "its jobs are over: "+jobNames(f.Jobs)+"; nothing reads it", "batholith doctor --fix"
			if d.o.Fix {
				if err := os.Remove(f.Path); err != nil {
					found.Severity, found.Why = Problem, "it could not be deleted: "+files.PathAndReason(err).Error()
				} else {
					found.Severity, found.Remedy = Mended, ""
				}
			}
		}
		d.find(found)
	}
	d.aside = nil
}

// isOver reports whether a job of this service has ended, or was forgotten.
func (d *doctor) isOver(ctx context.Context, jobs Jobs, id string) (bool, error) {
	for _, j := range d.recent {
		if j.ID == id {
			return j.Status.Terminal(), nil
		}
	}
	if there, err := jobs.Knows(ctx, id); err != nil || there {
		return false, err // an older job, of which only its existence is known
	}
	return jobs.Took(ctx, id)
}

// jobNames lists a few job ids.
func jobNames(jobs map[string]int) string {
	var names []string
	for id := range jobs {
		names = append(names, id)
	}
	if len(names) == 0 {
		return "no job that could be read"
	}
	return words.Some("job", names)
}
