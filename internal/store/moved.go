package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// A Moved says where the jobs of a SQLite database were moved to. It is stored in the file PATH.moved beside the database.
type Moved struct {
	ID   string `json:"id"`   // of the move; random
	To   string `json:"to"`   // the new database, for people; without a password
	Done bool   `json:"done"` // false: the move has begun, and the new database may or may not have all jobs
}

// movedMark is the path of the mark of the database at path.
func movedMark(path string) string { return path + ".moved" }

// ReadMoved returns the mark of the SQLite database at path. It returns the zero Moved if its jobs were not moved.
func ReadMoved(path string) (m Moved, err error) {
	text, err := os.ReadFile(movedMark(path))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return m, nil
	case err != nil:
		return m, fmt.Errorf("read where the jobs were moved to: %w", err)
	}
	if err := json.Unmarshal(text, &m); err != nil || m.ID == "" {
		return m, fmt.Errorf("the file %s is damaged. Its presence means that the jobs were moved to another database; if they were not, delete the file", movedMark(path))
	}
	return m, nil
}

// write stores the mark durably: after a crash there is the old mark or the new one.
func (m Moved) write(path string) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	name := movedMark(path)
	f, err := os.OpenFile(name+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(name+".new", name); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// remove removes the mark.
func (m Moved) remove(path string) error {
	if err := os.Remove(movedMark(path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// MovedError says that the jobs of a SQLite database are in another database now, or may be.
type MovedError struct {
	Moved
	Mark string // path of the mark
}

// Error names cause and remedy.
func (e *MovedError) Error() string {
	if !e.Done {
		return fmt.Sprintf("a move of its jobs to %s has begun and not ended: run batholith migrate --to %[1]s again. To stay with this database instead, drop %[1]s and delete the file %s",
			e.To, e.Mark)
	}
	return fmt.Sprintf("its jobs were moved to %s: start with --store %[1]s. To go back to the jobs as they were before the move, stop all processes of %[1]s and delete the file %s",
		e.To, e.Mark)
}

// notMoved returns a [*MovedError] if the jobs of the database at path were moved.
func notMoved(path string) error {
	m, err := ReadMoved(path)
	if err == nil && m.ID != "" {
		err = &MovedError{Moved: m, Mark: movedMark(path)}
	}
	return err
}
