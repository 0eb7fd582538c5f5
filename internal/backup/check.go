package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/batholith/batholith/internal/store"
)

// A Fault is something wrong with a backup.
type Fault struct {
	Snapshot string `json:"snapshot,omitempty"`
	Path     string `json:"path,omitempty"` // of a file in the snapshot
	What     string `json:"what"`
}

// Checked is what a check has found.
type Checked struct {
	Snapshots []*Snapshot
	Faults    []Fault
	Unknown   []string // ids of jobs with working files in the snapshot that its database does not know
	CutOff    bool     // a backup was cut off; the next one uses what it copied
	Jobs      int64    // of the latest snapshot
	Files     int
	Bytes     int64
}

// List returns the snapshots of a folder, the oldest first. A list that cannot be read is a fault.
func List(dir string) (all []*Snapshot, faults []Fault, err error) {
	if err := isFolder(dir); err != nil {
		return nil, nil, err
	}
	ids, err := list(dir)
	if err != nil {
		return nil, nil, err
	}
	for _, id := range ids {
		s, err := read(dir, id)
		if err != nil {
			faults = append(faults, Fault{Snapshot: id, What: err.Error()})
			continue
		}
		all = append(all, s)
	}
	return all, faults, nil
}

// Check reads all that the snapshots of a folder name, and compares the sums. Of each it checks the database, and that the objects which
// rows name are there. ids are the snapshots to check; none: all.
func Check(ctx context.Context, dir string, ids ...string) (c Checked, err error) {
	if c.Snapshots, c.Faults, err = List(dir); err != nil {
		return c, err
	}
	if len(ids) > 0 {
		c.Snapshots = slices.DeleteFunc(c.Snapshots, func(s *Snapshot) bool { return !slices.Contains(ids, s.ID) })
	}
	parts, err := filepath.Glob(filepath.Join(dir, contentsName, "new-*"))
	c.CutOff = len(parts) > 0 || err != nil
	sums := map[string]string{} // what is wrong with a content; "": nothing
	for _, s := range c.Snapshots {
		files := 0
		for _, e := range s.Entries {
			if ctx.Err() != nil {
				return c, context.Cause(ctx)
			}
			if e.Folder {
				continue
			}
			files++
			what, known := sums[e.Sum]
			if !known {
				what = wrong(dir, e)
				sums[e.Sum] = what
				c.Bytes += e.Bytes
			}
			if what != "" {
				c.Faults = append(c.Faults, Fault{Snapshot: s.ID, Path: e.Path, What: what})
			}
		}
		c.Files = files
		if err := c.database(ctx, dir, s); err != nil {
			return c, err
		}
	}
	return c, nil
}

// wrong says what is wrong with the content of an entry, or "".
func wrong(dir string, e Entry) string {
	f, err := os.Open(contentPath(dir, e.Sum))
	if errors.Is(err, os.ErrNotExist) {
		return "its content is missing"
	}
	if err != nil {
		return "its content cannot be read: " + err.Error()
	}
	defer f.Close()
	hash := sha256.New()
	switch _, err := io.Copy(hash, f); {
	case err != nil:
		return "its content cannot be read: " + err.Error()
	case hex.EncodeToString(hash.Sum(nil)) != e.Sum:
		return "its content has changed since the backup"
	}
	return ""
}

// database checks the database of a snapshot and the objects that it names.
func (c *Checked) database(ctx context.Context, dir string, s *Snapshot) error {
	e, ok := s.find("data/" + databaseName)
	if !ok {
		if s.Database {
			c.Faults = append(c.Faults, Fault{Snapshot: s.ID, What: "its database is missing"})
		}
		return nil
	}
	db, err := store.Examine(ctx, contentPath(dir, e.Sum))
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		c.Faults = append(c.Faults, Fault{Snapshot: s.ID, Path: e.Path, What: err.Error()})
		return nil
	}
	c.Jobs = db.Jobs
	for _, n := range db.Named {
		if place, mine := placeOf(n, s.Objects == ObjectsCopied); mine {
			if _, ok := s.find(place); !ok {
				c.Faults = append(c.Faults, Fault{Snapshot: s.ID, Path: place, What: fmt.Sprintf("the database names it for job %s, and it is missing", n.Job.ID)})
			}
		}
	}
	c.Unknown = unknown(s, db.Known)
	return nil
}

// unknown lists the jobs whose working files are in a snapshot and that its database does not know.
func unknown(s *Snapshot, known map[string]bool) (ids []string) {
	for _, e := range s.Entries {
		above, _, below := strings.Cut(e.Path, "/.batholith/")
		if id := path.Base(above); below && strings.HasPrefix(e.Path, "data/"+objectsName+"/buckets/") && !known[id] && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}
