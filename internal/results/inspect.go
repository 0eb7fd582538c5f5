package results

import (
	"errors"
	"os"
	"strings"
	"time"

	"github.com/batholith/batholith"
)

// JournalFile is a journal file as somebody sees it who is not its writer.
type JournalFile struct {
	Path       string
	Bytes      int64
	Modified   time.Time
	Damaged    bool           // it was put aside, since a part of it could not be read; nothing reads it any more
	Foreign    bool           // it was put aside, since its outcomes can be committed by nobody here
	Unreadable int64          // bytes of a file that was not put aside yet
	Jobs       map[string]int // outcomes in it by job, committed or not; nil when it could not be read
}

// Inspect reads the journal files of a folder and changes nothing. A writer may be at work on them: what it has not finished is
// passed over, and a file that goes away meanwhile is left out. A folder that is not there has none.
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
			continue // its outcomes were committed this moment
		}
		f := JournalFile{Path: path, Bytes: info.Size(), Modified: info.ModTime(), Damaged: strings.HasSuffix(path, damagedExt),
			Foreign: strings.HasSuffix(path, foreignExt)}
		if i < len(paths) {
			f.look(i == len(paths)-1)
		}
		files = append(files, f)
	}
	return files, nil
}

// look counts what is in the file.
func (f *JournalFile) look(last bool) {
	f.Jobs = map[string]int{}
	_, err := replayFile(f.Path, last, func(_ string, o batholith.Outcome) error { f.Jobs[o.Job]++; return nil })
	var hurt *damage
	if errors.As(err, &hurt) {
		f.Unreadable = hurt.bytes
	} else if err != nil {
		f.Jobs = nil
	}
}
