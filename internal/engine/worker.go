package engine

import (
	"crypto/rand"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/batholith/batholith/internal/files"
)

// workerID is the name under which the process of this data directory claims chunks. It is made once and stored in the directory, since the
// journal beside it holds outcomes of chunks that were claimed under this name.
func workerID(dir string) (string, error) {
	path := filepath.Join(dir, "worker")
	if b, err := files.ReadFile(path); err == nil && len(strings.TrimSpace(string(b))) > 0 {
		return strings.TrimSpace(string(b)), nil
	}
	id := "w-" + strings.ToLower(rand.Text())[:10]
	if err := files.WriteFile(path, []byte(id+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("name the worker: %w", err)
	}
	return id, nil
}
