package backup

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/pkg/xattr"
)

// attributesOf returns the extended attributes user.* of an open file. A file system without attributes has none.
func attributesOf(f *os.File) (map[string][]byte, error) {
	if !xattr.XATTR_SUPPORTED {
		return nil, nil
	}
	names, err := xattr.FList(f)
	if err != nil {
		return nil, nil //nolint:nilerr // the embedded S3 then has its attributes in files
	}
	var all map[string][]byte
	for _, name := range names {
		if !strings.HasPrefix(name, "user.") {
			continue
		}
		value, err := xattr.FGet(f, name)
		if errors.Is(err, xattr.ENOATTR) { // it was removed meanwhile
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read the attribute %s: %w", name, err)
		}
		if all == nil {
			all = map[string][]byte{}
		}
		all[name] = value
	}
	return all, nil
}

// setAttributes stores attributes on a file or folder.
func setAttributes(path string, all map[string][]byte) error {
	for name, value := range all {
		if !xattr.XATTR_SUPPORTED {
			return errors.New("this system has no extended attributes, in which the embedded S3 of the backup keeps its metadata")
		}
		if err := xattr.Set(path, name, value); err != nil {
			return fmt.Errorf("store the attribute %s, in which the embedded S3 keeps its metadata (the file system must support extended attributes): %w", name, err)
		}
	}
	return nil
}
