package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Traces looks in a data directory for what is made only after its database, and returns the path of what it found first, or "". If there is
// no database beside it, the database was lost.
//
// These are the worker's name, the journal and kept results, which are made once the database is open, and what a job left in a bucket of the
// embedded S3.
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

func there(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// internals returns the first folder .batholith below a folder, or "". It stops at the first, and runs only when there is no database.
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
