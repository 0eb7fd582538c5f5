package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/batholith/batholith/internal/failpoint"
	"github.com/batholith/batholith/internal/managed"
	"github.com/batholith/batholith/internal/object"
	"github.com/batholith/batholith/internal/store"
)

// Names in a data directory.
const (
	databaseName = "batholith.db"
	objectsName  = "s3"
	keptName     = "kept"
	journalName  = "journal"
	workerName   = "worker"
	settingsName = "restored-settings" // made by Restore
)

// apart are the names that a backup leaves out: what belongs to the running process, and the database, of which it makes a copy.
var apart = []string{"lock", "server.json", databaseName, databaseName + "-wal", databaseName + "-shm", "start-anew", managed.Folder, settingsName}

// Options say what to save.
type Options struct {
	Data     string   // the data directory; a server may use it
	Settings string   // path of the settings file; "": none
	Files    []string // paths of files that the settings name
	Objects  string   // ObjectsCopied, ObjectsReferenced or ObjectsExternal
	Program  string   // version of this program
	Keep     int      // snapshots that stay, the latest; 0: all
	Now      func() time.Time
	// Progress, if not nil, is called after each file with the numbers so far.
	Progress func(files int, bytes int64)
}

// Report says what a backup has.
type Report struct {
	Snapshot *Snapshot
	Fresh    int64 // bytes that were copied; the others were there from an earlier backup
	Jobs     int64
	Deleted  int // older backups
	// Lost are objects that the database names and the data directory does not have either, with their jobs.
	Lost []store.Named
}

// attempts is how often the database is copied again because a merge has replaced segments that the copy names.
const attempts = 5

// Make saves a data directory into the folder dir. The order of the steps is that of decision 43: objects, journal, database, objects again.
// The second look at the objects finds what came after the first. If a merge deleted a segment in between which the copied database still
// names, the last two steps are repeated.
func Make(ctx context.Context, dir string, o Options) (r Report, err error) {
	f, err := openFolder(dir)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.sweep(); err != nil {
		return r, fmt.Errorf("clear the folder of backups: %w", err)
	}
	m := &making{ctx: ctx, folder: f, o: o, known: map[string]Entry{}, entries: map[string]Entry{}}
	if err := m.recall(); err != nil {
		return r, err
	}
	r, err = m.run()
	if err != nil {
		return r, fmt.Errorf("back up %s: %w", o.Data, err)
	}
	return r, nil
}

// making is one backup.
type making struct {
	ctx     context.Context
	folder  *folder
	o       Options
	known   map[string]Entry // of the latest snapshot: a file that has not changed is not read again
	entries map[string]Entry // of this one, by path
	fresh   int64
	bytes   int64
}

// recall reads the latest snapshot that is whole.
func (m *making) recall() error {
	ids, err := list(m.folder.dir)
	for _, id := range slices.Backward(ids) {
		if s, err := read(m.folder.dir, id); err == nil {
			for _, e := range s.Entries {
				m.known[e.Path] = e
			}
			return nil
		}
	}
	return err
}

func (m *making) run() (r Report, err error) {
	now := time.Now
	if m.o.Now != nil {
		now = m.o.Now
	}
	s := &Snapshot{Version: version, Taken: now().UTC().Truncate(time.Second), Program: m.o.Program, Data: m.o.Data, Objects: m.o.Objects, Settings: m.o.Settings}
	s.ID = newID(s.Taken)
	if err := m.settings(); err != nil {
		return r, err
	}
	// The journal and what is beside it come before the database: an outcome leaves the journal only after its commit.
	steps := []func() error{m.objects, m.beside}
	for _, step := range steps {
		if err := step(); err != nil {
			return r, err
		}
	}
	failpoint.Here("backup.copied")
	if err := m.whole(&r); err != nil {
		return r, err
	}
	_, s.Database = m.entries["data/"+databaseName]
	for _, e := range m.entries {
		s.Entries = append(s.Entries, e)
	}
	slices.SortFunc(s.Entries, func(a, b Entry) int { return strings.Compare(a.Path, b.Path) })
	if err := m.folder.settle(); err != nil {
		return r, err
	}
	failpoint.Here("backup.settled")
	if err := s.write(m.folder.dir); err != nil {
		return r, err
	}
	r.Snapshot, r.Fresh = s, m.fresh
	if m.o.Keep > 0 {
		r.Deleted, err = m.folder.prune(m.o.Keep)
	}
	return r, err
}

// whole copies the database and then the objects that came meanwhile, until the copy of the database names no object that is not there.
func (m *making) whole(r *Report) error {
	for range attempts {
		c, there, err := m.database()
		if err != nil {
			return err
		}
		if err := m.objects(); err != nil {
			return err
		}
		r.Jobs = c.Jobs
		if r.Lost = nil; !there {
			return nil
		}
		for _, n := range c.Named {
			if path, mine := m.place(n); mine {
				if _, ok := m.entries[path]; !ok {
					r.Lost = append(r.Lost, n)
				}
			}
		}
		if len(r.Lost) == 0 {
			return nil
		}
	}
	return nil
}

// place is the path of an object that the database names. mine is false if it is not among the files of a backup.
func (m *making) place(n store.Named) (path string, mine bool) {
	return placeOf(n, m.o.Objects == ObjectsCopied)
}

// placeOf is the path of an object that a database names, in a snapshot. mine is false if the snapshot cannot have it.
func placeOf(n store.Named, copied bool) (path string, mine bool) {
	if rest, ok := strings.CutPrefix(n.Key, "shelf:"); ok { // shelf:<worker>/<job>/<name>; which worker's shelf this is, its reader knows
		_, file, _ := strings.Cut(rest, "/")
		return "data/" + keptName + "/" + file, true
	}
	bucket, _, err := object.ParseURI(n.Job.Output.URI)
	if err != nil || !copied {
		return "", false
	}
	return "data/" + objectsName + "/buckets/" + bucket + "/" + n.Key, true
}

// settings saves the settings and the files that they name.
func (m *making) settings() error {
	paths := slices.Clone(m.o.Files)
	if m.o.Settings != "" {
		paths = append(paths, m.o.Settings)
	}
	for _, path := range paths {
		full, err := filepath.Abs(path)
		if err != nil {
			return err
		}
		name := "settings/" + strings.TrimLeft(strings.ReplaceAll(filepath.ToSlash(full), ":", ""), "/")
		if err := m.file(full, name); err != nil {
			return err
		}
	}
	return nil
}

// beside saves all of the data directory but the objects, the database and what belongs to the process.
func (m *making) beside() error {
	all, err := os.ReadDir(m.o.Data)
	if err != nil {
		return err
	}
	for _, d := range all {
		name := d.Name()
		if name == objectsName || slices.Contains(apart, name) || passing(name) {
			continue
		}
		if err := m.tree(filepath.Join(m.o.Data, name), "data/"+name); err != nil {
			return err
		}
	}
	return nil
}

// objects saves the objects of the embedded S3 and the shelf. A file that was saved before and is gone now stays in the backup only
// if it is one of a job that runs: the copy of the database may name it.
func (m *making) objects() error {
	roots := []string{keptName}
	if m.o.Objects == ObjectsCopied {
		roots = append(roots, objectsName)
	}
	for _, root := range roots {
		before := map[string]Entry{}
		for path, e := range m.entries {
			if path == "data/"+root || strings.HasPrefix(path, "data/"+root+"/") {
				before[path] = e
				delete(m.entries, path)
			}
		}
		for path, e := range before { // found again without reading it
			m.known[path] = e
		}
		if err := m.tree(filepath.Join(m.o.Data, root), "data/"+root); err != nil {
			return err
		}
		for path, e := range before {
			if _, again := m.entries[path]; !again && (root == keptName || strings.Contains(path, "/.batholith/")) {
				m.entries[path] = e
			}
		}
	}
	return nil
}

// passing reports whether a file exists only while it is being written.
func passing(name string) bool {
	return strings.HasSuffix(name, ".new") || strings.HasPrefix(name, ".doctor-") || strings.HasPrefix(name, ".attributes-") || name == ".sgwtmp"
}

// tree saves a file, or a folder with all below it. What disappears meanwhile is left out.
func (m *making) tree(path, name string) error {
	info, err := os.Stat(path) // the folder itself may be a link to another disk
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return m.file(path, name)
	}
	if err := m.dir(path, name); err != nil {
		return err
	}
	all, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, d := range all {
		if err := m.ctx.Err(); err != nil {
			return context.Cause(m.ctx)
		}
		if passing(d.Name()) || d.Type()&fs.ModeSymlink != 0 {
			continue
		}
		below, called := filepath.Join(path, d.Name()), name+"/"+d.Name()
		if d.IsDir() {
			err = m.tree(below, called)
		} else {
			err = m.file(below, called)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// dir saves a folder without its files.
func (m *making) dir(path, name string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	attributes, err := attributesOf(f)
	m.entries[name] = Entry{Path: name, Folder: true, Mode: info.Mode().Perm(), Attributes: attributes}
	return err
}

// file saves a regular file. If it is as in the latest backup, by size and time, its bytes are not read.
func (m *making) file(path, name string) error {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil // to open a pipe could wait for ever
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	e := Entry{Path: name, Mode: info.Mode().Perm(), Modified: info.ModTime().UTC()}
	if e.Attributes, err = attributesOf(f); err != nil {
		return fmt.Errorf("save %s: %w", path, err)
	}
	if k, ok := m.known[name]; ok && !k.Folder && k.Bytes == info.Size() && k.Modified.Equal(e.Modified) && m.folder.has(k.Sum, k.Bytes) {
		e.Sum, e.Bytes = k.Sum, k.Bytes
	} else {
		var fresh int64
		if e.Sum, e.Bytes, fresh, err = m.folder.put(f); err != nil {
			return fmt.Errorf("save %s: %w", path, err)
		}
		m.fresh += fresh
	}
	m.entries[name] = e
	if m.bytes += e.Bytes; m.o.Progress != nil {
		m.o.Progress(len(m.entries), m.bytes)
	}
	return nil
}

// database saves a copy of the SQLite database. there is false if the data directory has none.
func (m *making) database() (c store.Contents, there bool, err error) {
	path := filepath.Join(m.o.Data, databaseName)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, false, nil
	}
	if err != nil {
		return c, false, err
	}
	temp, err := os.MkdirTemp(m.folder.dir, "database-")
	if err != nil {
		return c, false, err
	}
	defer os.RemoveAll(temp)
	copied := filepath.Join(temp, databaseName)
	if err := store.Snapshot(m.ctx, path, copied); err != nil {
		return c, false, err
	}
	if c, err = store.Examine(m.ctx, copied); err != nil {
		return c, false, err
	}
	f, err := os.Open(copied)
	if err != nil {
		return c, false, err
	}
	defer f.Close()
	sum, bytes, fresh, err := m.folder.put(f)
	m.fresh += fresh
	m.entries["data/"+databaseName] = Entry{Path: "data/" + databaseName, Mode: info.Mode().Perm() & 0o600, Bytes: bytes, Modified: info.ModTime().UTC(), Sum: sum}
	return c, true, err
}
