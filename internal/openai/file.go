package openai

import (
	"cmp"
	"context"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/bedrock"
	"github.com/batholith/batholith/internal/blob"
)

// Folders in the bucket of files. The key of an uploaded file is filesFolder + id + "/" + its name, escaped. The outputs of batches over uploaded
// files are where the output of any job is.
const (
	filesFolder  = "openai/files/"
	outputFolder = "openai/batches/"
)

// Purposes of files.
const (
	purposeInput  = "batch"
	purposeOutput = "batch_output"
)

// file is an uploaded file, or an output of a batch.
type file struct {
	id, name string
	bytes    int64
	created  time.Time
	expires  time.Time // zero: never
	key      string    // "": the file is gone, or its upload has not come to its end
	mark     string    // key of the object that says when an uploaded file expires; "": there is none
	etag     string
}

// isOutput reports whether the file is an output of a batch.
func (f file) isOutput() bool { return strings.HasPrefix(f.key, outputFolder) }

// purpose returns why the file is there.
func (f file) purpose() string {
	if f.isOutput() {
		return purposeOutput
	}
	return purposeInput
}

// fileObject is a file as clients read it.
type fileObject struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Bytes   int64  `json:"bytes"`
	Created int64  `json:"created_at"`
	Name    string `json:"filename"`
	Purpose string `json:"purpose"`
	Status  string `json:"status"`
	Expires *int64 `json:"expires_at"`
}

func (f file) object() fileObject {
	return fileObject{ID: f.id, Object: "file", Bytes: f.bytes, Created: f.created.Unix(), Name: f.name, Purpose: f.purpose(), Status: "processed", Expires: seconds(f.expires)}
}

// Ids of files: of uploads, file-TIME-RANDOM; of outputs, file-JOB-out and file-JOB-err, with -SECONDS behind them if they expire.
const (
	idPrefix = "file-"
	timeLen  = 13 // letters of eight bytes
	idLen    = timeLen + 16
)

// letters sort as the numbers that they encode.
var letters = base32.HexEncoding.WithPadding(base32.NoPadding)

// newFileID returns the id of a file that is uploaded now. Ids sort by time.
func newFileID(now time.Time) string {
	return idPrefix + strings.ToLower(letters.EncodeToString(binary.BigEndian.AppendUint64(nil, uint64(now.UnixMilli())))) + newID()
}

// timeOf is the time of an uploaded file's id. ok is false for other ids.
func timeOf(id string) (t time.Time, ok bool) {
	rest, ok := strings.CutPrefix(id, idPrefix)
	if !ok || len(rest) != idLen {
		return t, false
	}
	for _, c := range rest {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return t, false
		}
	}
	b, err := letters.DecodeString(strings.ToUpper(rest[:timeLen]))
	if err != nil {
		return t, false
	}
	return time.UnixMilli(int64(binary.BigEndian.Uint64(b))), true
}

// outputID is the id of an output of a job, which expires after so many seconds; 0: never.
func outputID(job, suffix string, seconds int64) string {
	id := idPrefix + job + "-" + strings.TrimPrefix(suffix, ".")
	if seconds > 0 {
		id += "-" + strconv.FormatInt(seconds, 10)
	}
	return id
}

// jobOfOutput is the job of an output's id, and the seconds after which it expires.
func jobOfOutput(id string) (job string, seconds int64, ok bool) {
	rest, ok := strings.CutPrefix(id, idPrefix)
	job, rest, found := strings.Cut(rest, "-")
	suffix, digits, expires := strings.Cut(rest, "-")
	if expires {
		if seconds, expires = secondsOf(expiresMark + digits); !expires {
			return "", 0, false
		}
	}
	suffix = "." + suffix
	return job, seconds, ok && found && batholith.ValidJobID(job) && (suffix == batholith.OutputSuffix || suffix == batholith.ErrorSuffix)
}

// longestFileName is the longest name of a file in bytes, so that its key and that of its output fit.
const longestFileName = 100

// escape returns a name as the last part of a key of an input: what an s3Uri may have stays, and other bytes become _XX. It ends in .jsonl.
func escape(name string) string {
	whole := strings.HasSuffix(name, inputSuffix)
	var b strings.Builder
	for _, c := range []byte(strings.TrimSuffix(name, inputSuffix)) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' && b.Len() > 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "_%02X", c)
		}
	}
	if !whole {
		b.WriteByte('_')
	}
	return b.String() + inputSuffix
}

// unescape is the inverse of escape.
func unescape(key string) string {
	rest, whole := strings.TrimSuffix(key, inputSuffix), true
	var b strings.Builder
	for i := 0; i < len(rest); i++ {
		var c byte
		switch {
		case rest[i] != '_':
			b.WriteByte(rest[i])
		case i == len(rest)-1:
			whole = false
		default:
			if _, err := fmt.Sscanf(rest[i+1:min(len(rest), i+3)], "%02X", &c); err != nil {
				return key // nobody here has written it
			}
			b.WriteByte(c)
			i += 2
		}
	}
	if whole {
		b.WriteString(inputSuffix)
	}
	return b.String()
}

// uploaded is the file of an object below filesFolder. It has no name and no key if the object only says when the file expires.
func uploaded(o batholith.Object) (f file, ok bool) {
	id, name, _ := strings.Cut(strings.TrimPrefix(o.Key, filesFolder), "/")
	created, ok := timeOf(id)
	if n, is := secondsOf(name); is {
		return file{id: id, created: created, expires: after(created, n), mark: o.Key}, ok
	}
	return file{id: id, name: unescape(name), bytes: o.Bytes, created: created, key: o.Key, etag: o.ETag}, ok && strings.HasSuffix(name, inputSuffix) && !strings.Contains(name, "/")
}

// written is the file of an object below outputFolder: an output of a batch. An empty one is none, as the batch says: a job that was stopped before its
// first answer has such an object.
func written(o batholith.Object) (f file, ok bool) {
	if o.Bytes == 0 {
		return f, false
	}
	folder, name, _ := strings.Cut(strings.TrimPrefix(o.Key, outputFolder), "/")
	n, expires := secondsOf(folder)
	job := folder
	if expires {
		job, name, _ = strings.Cut(name, "/")
	} else {
		n = 0
	}
	for _, suffix := range []string{batholith.OutputSuffix, batholith.ErrorSuffix} {
		if input, is := strings.CutSuffix(name, suffix); is && strings.HasSuffix(input, inputSuffix) && batholith.ValidJobID(job) && !strings.Contains(name, "/") {
			return file{id: outputID(job, suffix, n), name: unescape(input) + suffix, bytes: o.Bytes, created: o.Modified, expires: after(o.Modified, n), key: o.Key, etag: o.ETag}, true
		}
	}
	return f, false
}

// outputs returns the files below a prefix of outputFolder. Other objects are files without a key.
func outputs(ctx context.Context, b blob.Bucket, prefix string) iter.Seq2[file, error] {
	return func(yield func(file, error) bool) {
		for o, err := range b.List(ctx, prefix) {
			f, ok := written(o)
			if !ok {
				f = file{}
			}
			if !yield(f, err) || err != nil {
				return
			}
		}
	}
}

// noFile is the refusal of an unknown file.
func noFile(id string) error {
	return refusal(http.StatusNotFound, "not_found", "id", "No such File object: %s.", show(id))
}

// open opens the bucket of the caller's files.
func (h *handler) open(ctx context.Context, who bedrock.Caller, action, key string) (blob.Bucket, error) {
	return h.Open(ctx, who, action, h.Bucket(who.Account), key)
}

// file finds a file on which the caller may do an action.
func (h *handler) file(ctx context.Context, who bedrock.Caller, id, action string) (f file, err error) {
	prefix, all := filesFolder+id+"/", uploads
	if job, n, ok := jobOfOutput(id); ok {
		prefix, all = outputsOf(n)+job+"/", outputs
	} else if _, ok := timeOf(id); !ok {
		return f, noFile(id)
	}
	b, err := h.open(ctx, who, action, prefix)
	if err != nil {
		return f, err
	}
	for f, err := range all(ctx, b, prefix) {
		if err != nil {
			return f, err
		}
		if f.id == id && f.key != "" && !f.expired(h.Now()) {
			return f, nil
		}
	}
	return f, noFile(id)
}

// mostListed is the number of objects that a list of files looks at. Working files of jobs that run are among them.
const mostListed = 200_000

// listFiles answers a page of files: uploads and the outputs of batches.
func (h *handler) listFiles(ctx context.Context, c *call) error {
	q := c.r.URL.Query()
	limit, err := c.limit(usualFiles, mostFiles)
	if err != nil {
		return err
	}
	order := cmp.Or(q.Get("order"), "desc")
	if order != "asc" && order != "desc" {
		return wrong("order", "order is '%s'; it is asc or desc.", show(order))
	}
	var all []file
	looked := 0
	for _, kind := range []struct {
		folder, purpose string
		all             func(context.Context, blob.Bucket, string) iter.Seq2[file, error]
	}{{filesFolder, purposeInput, uploads}, {outputFolder, purposeOutput, outputs}} {
		if p := q.Get("purpose"); p != "" && p != kind.purpose {
			continue
		}
		b, err := h.open(ctx, c.who, ActionList, kind.folder)
		if err != nil {
			return err
		}
		for f, err := range kind.all(ctx, b, kind.folder) {
			if err != nil {
				return err
			}
			if looked++; looked > mostListed {
				return refusal(http.StatusBadRequest, "too_many_files", "", "There are more than %d objects below s3://%s/openai/. Delete files that are not needed.", mostListed, h.Bucket(c.who.Account))
			}
			if f.key != "" && !f.expired(h.Now()) {
				all = append(all, f)
			}
		}
	}
	slices.SortFunc(all, func(a, b file) int {
		n := cmp.Or(a.created.Compare(b.created), strings.Compare(a.id, b.id))
		if order == "desc" {
			return -n
		}
		return n
	})
	if after := q.Get("after"); after != "" {
		at := slices.IndexFunc(all, func(f file) bool { return f.id == after })
		if at < 0 {
			return noFile(after)
		}
		all = all[at+1:]
	}
	objects := make([]fileObject, 0, min(len(all), limit+1))
	for _, f := range all[:min(len(all), limit+1)] {
		objects = append(objects, f.object())
	}
	return c.send(pageOf(objects, limit, func(f fileObject) string { return f.ID }))
}

// getFile answers one file.
func (h *handler) getFile(ctx context.Context, c *call) error {
	f, err := h.file(ctx, c.who, c.name, ActionRead)
	if err != nil {
		return err
	}
	return c.send(f.object())
}

// deleteFile deletes a file. A batch that reads it fails; a batch that has ended is not changed.
func (h *handler) deleteFile(ctx context.Context, c *call) error {
	f, err := h.file(ctx, c.who, c.name, ActionDelete)
	if err != nil {
		return err
	}
	b, err := h.open(ctx, c.who, ActionDelete, f.key)
	if err != nil {
		return err
	}
	if err := remove(ctx, b, f); err != nil {
		return err
	}
	return c.send(struct {
		ID      string `json:"id"`
		Object  string `json:"object"`
		Deleted bool   `json:"deleted"`
	}{f.id, "file", true})
}
