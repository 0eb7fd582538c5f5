package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Traces returns a function that searches the data directory for files that exist only if there
// was a database, and returns the first path found, or "". If such a file exists but the
// database does not, the database was lost.
//
// It looks for the worker's name, the journal and kept results, which are created after the
// database was opened, and for a job's working files in the embedded S3.
func Traces(dir string) func() (string, error) {
	return func() (string, error) {
		if worker := filepath.Join(dir, "worker"); there(worker) {
			return worker, nil
		}
		for _, folder := range []string{filepath.Join(dir, "journal"), filepath.Join(dir, "kept")} {
			if files, err := os.ReadDir(folder); err == nil && len(files) > 0 {
				return filepath.Join(folder, files[0].Name()), nil
			}
		}
		return internals(filepath.Join(dir, "s3"))
	}
}

// IsData reports whether a directory is a data directory: some process has used it.
func IsData(dir string) bool {
	return there(filepath.Join(dir, lockFile)) || there(filepath.Join(dir, "worker"))
}

func there(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// internals returns the first directory named .batholith below dir, or "". It walks the whole
// tree, and runs only if there is no database.
func internals(dir string) (found string, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err == nil && d.IsDir() && d.Name() == ".batholith":
			found = path
			return fs.SkipAll
		}
		return err
	})
	return found, err
}
