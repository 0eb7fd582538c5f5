package object

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Folder is where objects may be that the bodies of a job name: a bucket and a prefix that is empty
// or ends in a slash.
type Folder struct{ Bucket, Prefix string }

// String returns the folder's URI.
func (f Folder) String() string { return uri(f.Bucket, f.Prefix) }

// ParseFolder reads the URI of a folder: s3://bucket/prefix/. The slash at the end may be missing.
func ParseFolder(s string) (Folder, error) {
	bucket, key, err := ParseURI(s)
	if err == nil && key != "" && devious(strings.TrimSuffix(key, "/")) {
		err = fmt.Errorf("%q has an empty part or a dot part", s)
	}
	return Folder{bucket, Below(key)}, err
}

// FolderOf returns the folder of an input: what an s3Uri that names a folder names, or the folder
// that holds the object (Bedrock: media lie in the bucket and folder of the input).
func FolderOf(bucket, key string) Folder {
	if strings.HasSuffix(key, ".jsonl") {
		return Folder{bucket, key[:strings.LastIndexByte(key, '/')+1]}
	}
	return Folder{bucket, Below(key)}
}

// Media splits the URI of an object that a body names. why says what is wrong with it, and what to
// do; "": it is below one of the folders. A key whose parts are empty or are dots, also after one
// percent-decoding, is refused: a store on a file system could resolve it to another folder.
func Media(s string, folders []Folder) (bucket, key, why string) {
	if bucket, key, why = Named(s); why != "" {
		return "", "", why
	}
	if Within(bucket, key, folders) {
		return bucket, key, ""
	}
	return "", "", fmt.Sprintf("%s is not below %s; put the object beside the input, or have the operator add its folder to the setting media", s, folders[0])
}

// Within reports whether an object is below one of the folders.
func Within(bucket, key string, folders []Folder) bool {
	return slices.ContainsFunc(folders, func(f Folder) bool { return f.Bucket == bucket && strings.HasPrefix(key, f.Prefix) })
}

// Named is Media without folders.
func Named(s string) (bucket, key, why string) {
	bucket, key, err := ParseURI(s)
	switch {
	case err != nil:
		return "", "", fmt.Sprintf("%q is not an S3 URI; write s3://bucket/key", s)
	case key == "" || strings.HasSuffix(key, "/"):
		return "", "", fmt.Sprintf("%s names no object; write s3://bucket/key", s)
	case devious(key):
		return "", "", fmt.Sprintf("%s has an empty part, a dot part or a control character in its key; write the key as the object has it", s)
	}
	return bucket, key, ""
}

// devious reports whether a key, as it is or percent-decoded, could be resolved to another one.
func devious(key string) bool {
	decoded, err := url.PathUnescape(key)
	if err != nil { // a percent sign of its own, as in "100%.png"
		decoded = key
	}
	for _, k := range []string{key, decoded} {
		odd := func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' }
		dots := func(part string) bool { return part == "" || part == "." || part == ".." }
		if strings.ContainsFunc(k, odd) || slices.ContainsFunc(strings.Split(k, "/"), dots) {
			return true
		}
	}
	return false
}
