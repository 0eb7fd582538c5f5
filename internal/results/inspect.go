package results

import (
	"errors"
	"os"
	"strings"
	"time"

	"github.com/batholith/batholith"
)

// JournalFile describes a journal file for a reader other than its writer.
type JournalFile struct {
	Path       string
	Bytes      int64
	Modified   time.Time
	Damaged    bool           // put aside because a part of it cannot be read; Recover does not read it again
	Foreign    bool           // put aside because no worker of this database can commit its outcomes
	Unreadable int64          // unreadable bytes of a file that is not put aside yet
	Encrypted  bool           // only the worker, which has the key, can read it
	Jobs       map[string]int // number of outcomes by job, committed or not; nil: the file cannot be read
}

// Inspect reads the journal files of a folder and changes nothing. A writer may use them at the same time: an unfinished end is skipped,
// and a file that is deleted meanwhile is left out. A folder that does not exist has none.
func Inspect(dir string) ([]JournalFile, error) {
	paths, err := journalFiles(dir)
	if err != nil {
		return nil, err
	}
	aside, err := asideFiles(dir)
	if err != nil {
		return nil, err
	}
	var files []JournalFile
	for i, path := range append(paths, aside...) {
		info, err := os.Stat(path)
		if err != nil {
			continue // it was deleted, since its outcomes are committed
		}
		f := JournalFile{Path: path, Bytes: info.Size(), Modified: info.ModTime(), Damaged: strings.HasSuffix(path, damagedExt),
			Foreign: strings.HasSuffix(path, foreignExt)}
		if i < len(paths) || f.Foreign {
			f.look(i >= len(paths)-1)
		}
		files = append(files, f)
	}
	return files, nil
}

// look counts the outcomes in the file.
func (f *JournalFile) look(last bool) {
	f.Jobs = map[string]int{}
	_, err := replayFile(f.Path, last, func(_ string, o batholith.Outcome) error { f.Jobs[o.Job]++; return nil })
	var hurt *damage
	if errors.As(err, &hurt) {
		f.Unreadable = hurt.bytes
	} else if err != nil {
		f.Jobs, f.Encrypted = nil, errors.Is(err, errNoKeys)
	}
}
