package batholith

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// InternalFolder is the folder below OUT/<job id>/ for what a job needs while it runs. The job's end deletes all of it. No input and no
// output of a user may lie in a folder of this name, at any depth: another job's end might delete it.
const InternalFolder = ".batholith"

// maxKeyBytes is how long a key may be (Amazon S3: Object key naming guidelines).
const maxKeyBytes = 1024

// RefuseURI says why no job may read from or write to an s3Uri, or "" when one may. The caller names the member.
//
// S3 clients and servers disagree on "." and ".." in a path: some take them literally, some resolve them, and so leave the prefix.
func RefuseURI(uri string) string {
	_, key, _ := strings.Cut(strings.TrimPrefix(uri, "s3://"), "/")
	for segment := range strings.SplitSeq(key, "/") {
		switch segment {
		case ".", "..":
			return fmt.Sprintf("the path must not have a segment %q", segment)
		case InternalFolder:
			return fmt.Sprintf("a folder %s holds the working files of a job, which are deleted when the job ends; name another folder", InternalFolder)
		}
	}
	return ""
}

// RefuseNames says why the outputs of a job's inputs cannot all be written or kept: at is the first such input and why the reason, or
// at is -1. The names are the paths below the job's input s3Uri; the output of NAME is OUT/<job id>/NAME.out. prefix is the key
// OUT/<job id>/.
//
// A file system, and so the embedded S3, cannot hold both an object and objects below it.
func RefuseNames(prefix string, names []string) (at int, why string) {
	outputs := map[string]string{ManifestName: "the job's manifest", ValidationName: "the list of bad lines"}
	for _, name := range names {
		outputs[name+".out"] = fmt.Sprintf("the output of %q", name)
	}
	for i, name := range names {
		output := name + ".out"
		if why := refuseName(output, outputs); why != "" {
			return i, why
		}
		if !utf8.ValidString(name) {
			return i, "its name is not UTF-8; rename it"
		}
		if n := len(prefix) + len(output); n > maxKeyBytes {
			return i, fmt.Sprintf("the key of its output would have %d bytes, and S3 takes %d; shorten it", n, maxKeyBytes)
		}
	}
	return -1, ""
}

// refuseName looks at the folders of an output.
func refuseName(output string, outputs map[string]string) string {
	for at := 0; ; {
		n := strings.IndexByte(output[at:], '/')
		if n < 0 {
			break
		}
		switch segment := output[at : at+n]; segment {
		case ".", "..":
			return fmt.Sprintf("its path has a segment %q; rename the folder", segment)
		case InternalFolder:
			return fmt.Sprintf("its output would lie in a folder %s, which is deleted when a job ends; rename the folder", InternalFolder)
		}
		at += n
		if other := outputs[output[:at]]; other != "" {
			return fmt.Sprintf("its output would lie below %s, which is %s; rename the folder", output[:at], other)
		}
		at++
	}
	if output == ManifestName || output == ValidationName {
		return fmt.Sprintf("its output would have the name %s, which is %s; rename it", output, outputs[output])
	}
	return ""
}
