package batholith

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// InternalFolder is the name of the folder below OUT/<job id>/ for a job's working files. All of it is deleted
// when the job ends. A user's input or output must not be in a folder of this name at any depth, because the
// end of another job might delete it.
const InternalFolder = ".batholith"

// maxKeyBytes is the longest object key in bytes (Amazon S3: Object key naming guidelines).
const maxKeyBytes = 1024

// RefuseURI returns the reason why a job must not read from or write to an s3Uri, or "" if it may. The caller
// adds the member's name to the message.
//
// Segments "." and ".." are rejected because S3 implementations differ: some take them literally, others
// resolve them and leave the prefix.
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

// RefuseNames checks whether the outputs of all inputs of a job can be written. It returns the index of the
// first input whose output cannot, and the reason; or -1. names are the inputs' paths below the job's input
// s3Uri, and prefix is the key OUT/<job id>/. The output of NAME is OUT/<job id>/NAME.out.
//
// A file system, and so the embedded S3, cannot store an object "a" together with an object "a/b".
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

// refuseName checks the folders and the name of one output. outputs maps each output name of the job to its
// description.
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
