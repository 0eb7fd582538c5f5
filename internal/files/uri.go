package files

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
)

// PathOf is the path in a file:// URI, or a path as it is.
func PathOf(uri string) (string, error) {
	if !strings.HasPrefix(uri, "file://") {
		return uri, nil
	}
	u, err := url.Parse(uri)
	if err != nil {
		return "", fmt.Errorf("read the URI %q: %w", uri, err)
	}
	return filepath.FromSlash(u.Path), nil
}
