package store

import (
	"os"
	"path/filepath"
	"testing"
)

// A connection that is opened later must not make an empty database where the file was: it would hide the loss.
func TestADeletedDatabaseIsNotMadeAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "batholith.db")
	s, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	for range readers { // each holds a connection, so that the pool opens all of them
		if c, err := s.reader.Conn(t.Context()); err == nil {
			defer c.Close()
		}
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the file is there again: %v", err)
	}
}
