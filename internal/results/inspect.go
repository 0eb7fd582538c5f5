package results

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/batholith/batholith"
)

// JournalFile is a journal file as somebody sees it who is not its writer.
type JournalFile struct {
	Path     string
	Bytes    int64
	Modified time.Time
	Damaged  bool           // it was put aside; nothing reads it any more
	Jobs     map[string]int // outcomes in it by job, committed or not; nil when it could not be read
}

// Inspect reads the journal files of a folder and changes nothing. A writer may be at work on them: what it has not finished is
// passed over, and a file that goes away meanwhile is left out. A folder that is not there has none.
func Inspect(dir string) ([]JournalFile, error) {
	paths, err := journalFiles(dir)
	if err != nil {
		return nil, err
	}
	aside, err := filepath.Glob(filepath.Join(dir, "*"+journalExt+damagedExt))
	if err != nil {
		return nil, fmt.Errorf("list journal: %w", err)
	}
	var files []JournalFile
	for i, path := range append(paths, aside...) {
		info, err := os.Stat(path)
		if err != nil {
			continue // its outcomes were committed this moment
		}
		f := JournalFile{Path: path, Bytes: info.Size(), Modified: info.ModTime(), Damaged: i >= len(paths)}
		if !f.Damaged {
			f.Jobs = map[string]int{}
			if err := replay(path, func(_ string, o batholith.Outcome) error { f.Jobs[o.Job]++; return nil }); err != nil {
				f.Jobs = nil
			}
		}
		files = append(files, f)
	}
	return files, nil
}
