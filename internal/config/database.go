package config

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/batholith/batholith/internal/files"
)

// Files of a data directory that say what else it belongs to.
const (
	databaseFile = "database" // id of its PostgreSQL database
	objectsFile  = "s3.id"    // id of its embedded S3
)

// DatabaseID returns the id of the PostgreSQL database that a data directory belongs to; "": none yet. The journal in the
// directory holds outcomes of that database's jobs.
func DatabaseID(dir string) (string, error) { return readID(dir, databaseFile) }

// AdoptDatabase makes a data directory belong to a PostgreSQL database, unless it belongs to one already. It returns the
// id of the one that it belongs to.
func AdoptDatabase(dir, id string) (string, error) { return adoptID(dir, databaseFile, id) }

// LeaveDatabase makes a data directory belong to no PostgreSQL database.
func LeaveDatabase(dir string) error {
	if err := os.Remove(filepath.Join(dir, databaseFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove an id from the data directory: %w", err)
	}
	return nil
}

// ObjectsID returns the id of the embedded S3 of a data directory, and makes it at the first call.
func ObjectsID(dir string) (string, error) { return adoptID(dir, objectsFile, rand.Text()) }

// adoptID returns the id in a file, and writes id if there is none.
func adoptID(dir, name, id string) (string, error) {
	known, err := readID(dir, name)
	if err != nil || known != "" {
		return known, err
	}
	if err := files.WriteFile(filepath.Join(dir, name), []byte(id+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("write an id into the data directory: %w", err)
	}
	return id, nil
}

func readID(dir, name string) (string, error) {
	text, err := files.ReadFile(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read an id in the data directory: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}
