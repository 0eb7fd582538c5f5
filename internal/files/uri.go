package files

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
)

// PathOf is the path of a file:// URI. Any other text is returned unchanged, as a path.
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
