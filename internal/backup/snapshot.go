package backup

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/batholith/batholith/internal/files"
)

// version is the version of the format, of the folder and of the lists in it.
const version = 1

// What a snapshot has of the objects.
const (
	ObjectsCopied     = "copy"      // the objects of the embedded S3
	ObjectsReferenced = "reference" // they stay in the folder s3 of the data directory
	ObjectsExternal   = "external"  // another S3 has them
)

// Snapshot describes one backup.
type Snapshot struct {
	Version  int       `json:"version"`
	ID       string    `json:"id"`
	Taken    time.Time `json:"taken"`
	Program  string    `json:"program"`            // version of the program that made it
	Data     string    `json:"data"`               // path of the data directory
	Database bool      `json:"database"`           // it has a SQLite database; otherwise the jobs are in PostgreSQL
	Objects  string    `json:"objects"`            // one of the constants above
	Settings string    `json:"settings,omitempty"` // path of the settings file

	Entries []Entry `json:"-"`
}

// An Entry is a file or folder of a snapshot.
type Entry struct {
	Path       string            `json:"path"` // with slashes: data/…, or settings/ and the path on its machine
	Folder     bool              `json:"folder,omitempty"`
	Mode       fs.FileMode       `json:"mode"`
	Bytes      int64             `json:"bytes,omitempty"`
	Modified   time.Time         `json:"modified,omitzero"`
	Sum        string            `json:"sha256,omitempty"`     // of a file
	Attributes map[string][]byte `json:"attributes,omitempty"` // extended attributes user.*
}

// line is one line of a list: the snapshot first, then the entries, the end last.
type line struct {
	Snapshot *Snapshot `json:"snapshot,omitempty"`
	Entry    *Entry    `json:"entry,omitempty"`
	End      *end      `json:"end,omitempty"`
}

// end closes a list. A list without it was cut off.
type end struct {
	Entries int    `json:"entries"`
	Sum     string `json:"sha256"` // of all lines before
}

// newID returns the id of a snapshot that begins now. IDs sort by time.
func newID(now time.Time) string {
	return now.UTC().Format("20060102T150405Z") + "-" + strings.ToLower(rand.Text()[:6])
}

const (
	markName      = "batholith-backup"
	snapshotsName = "snapshots"
	contentsName  = "contents"
	listExt       = ".jsonl"
)

// Bytes is the number of bytes of all files.
func (s *Snapshot) Bytes() (n int64) {
	for _, e := range s.Entries {
		n += e.Bytes
	}
	return n
}

// find returns the entry with a path.
func (s *Snapshot) find(path string) (Entry, bool) {
	i, ok := slices.BinarySearchFunc(s.Entries, path, func(e Entry, path string) int { return strings.Compare(e.Path, path) })
	if !ok {
		return Entry{}, false
	}
	return s.Entries[i], true
}

// write stores the list in the folder of backups. It appears under its name when all of it is on the disk.
func (s *Snapshot) write(dir string) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	err := enc.Encode(line{Snapshot: s})
	for i := range s.Entries {
		err = errors.Join(err, enc.Encode(line{Entry: &s.Entries[i]}))
	}
	sum := sha256.Sum256(b.Bytes())
	err = errors.Join(err, enc.Encode(line{End: &end{Entries: len(s.Entries), Sum: hex.EncodeToString(sum[:])}}))
	if err != nil {
		return fmt.Errorf("encode the list of the backup: %w", err)
	}
	if err := files.WriteFile(filepath.Join(dir, snapshotsName, s.ID+listExt), b.Bytes(), 0o600); err != nil {
		return fmt.Errorf("write the list of the backup: %w", err)
	}
	return nil
}

// errList is for a list that is not whole.
var errList = errors.New("its list is cut off or changed")

// read reads the list of a snapshot and checks that it is whole.
func read(dir, id string) (*Snapshot, error) {
	f, err := os.Open(filepath.Join(dir, snapshotsName, id+listExt))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s, err := decode(f)
	if err != nil {
		return nil, fmt.Errorf("read the backup %s: %w", id, err)
	}
	if s.ID != id {
		return nil, fmt.Errorf("read the backup %s: %w", id, errList)
	}
	return s, nil
}

// decode reads a list.
func decode(from io.Reader) (*Snapshot, error) {
	sum, in := sha256.New(), bufio.NewReaderSize(from, 1<<20)
	var s *Snapshot
	for {
		text, err := in.ReadBytes('\n')
		if err != nil {
			return nil, errList
		}
		var l line
		if err := json.Unmarshal(text, &l); err != nil {
			return nil, errList
		}
		switch {
		case s == nil && l.Snapshot == nil:
			return nil, errList
		case s == nil:
			if s = l.Snapshot; s.Version > version {
				return nil, fmt.Errorf("its format is version %d, and this program knows versions up to %d: use a newer batholith", s.Version, version)
			}
		case l.Entry != nil:
			if !filepath.IsLocal(filepath.FromSlash(l.Entry.Path)) || !l.Entry.Folder && !isSum(l.Entry.Sum) {
				return nil, errList
			}
			s.Entries = append(s.Entries, *l.Entry)
		case l.End != nil:
			if l.End.Entries != len(s.Entries) || l.End.Sum != hex.EncodeToString(sum.Sum(nil)) {
				return nil, errList
			}
			return s, nil
		}
		sum.Write(text)
	}
}

// isSum reports whether a text is a SHA-256 in lower-case hexadecimal digits.
func isSum(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == sha256.Size && strings.ToLower(s) == s
}

// list returns the ids of the snapshots of a folder, the oldest first.
func list(dir string) ([]string, error) {
	all, err := os.ReadDir(filepath.Join(dir, snapshotsName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var ids []string
	for _, f := range all {
		if id, ok := strings.CutSuffix(f.Name(), listExt); ok {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids, err
}
