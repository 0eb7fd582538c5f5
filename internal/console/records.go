package console

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/smithy-go"

	"github.com/batholith/batholith/internal/bedrock"
	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/preview"
)

// Bounds of a page that reads outputs.
const (
	pageRecords = 10
	readBytes   = 1 << 20  // of a line that is shown; a longer one is only named
	scanBytes   = 64 << 20 // of an output, when lines with errors are sought
	scanTime    = 10 * time.Second
	shownBytes  = 16 << 10 // of a body
)

// outcome is a line of an output, as people read it.
type outcome struct {
	ID            string
	Prompt        string // the texts of modelInput; "": it has none, or is not repeated in the line
	Answer        string
	Input, Output string // JSON, indented
	Code          int    // of an error
	Error         string
	Untried       string // why the record was never tried
	Long          int64  // bytes of a line that is too long to be shown
}

// recordsView is the page of the records of a job.
type recordsView struct {
	jobView
	Files   []object
	File    string // name of the one that is shown
	Records []outcome
	Only    bool   // errors only
	Next    string // query of the next page
	Later   bool   // it is not the first page
	Hidden  string // why nothing can be shown
	Partial bool   // the job is running: the output grows
	Stopped string // why the search ended before the end of the file
}

// outputs returns the output files of a job that hold records, those with errors of OpenAI's lines last. why says that the visitor may not see them.
func (v *visit) outputs(j bedrock.JobSummary) (records []object, why string, err error) {
	ctx, cancel := context.WithTimeout(v.r.Context(), objectTime)
	defer cancel()
	all, _, err := v.files(ctx, j)
	if err != nil {
		if why = hidden(err); why != "" {
			err = nil
		}
		return nil, why, err
	}
	all = slices.DeleteFunc(all, func(o object) bool { return !o.Records })
	failed := slices.DeleteFunc(slices.Clone(all), func(o object) bool { return !o.failed() })
	return append(slices.DeleteFunc(all, object.failed), failed...), "", nil
}

// isNotFound reports whether an error says that there is no such object or bucket.
func isNotFound(err error) bool {
	var s smithy.APIError
	return errors.As(err, &s) && (s.ErrorCode() == "NotFound" || strings.HasPrefix(s.ErrorCode(), "NoSuch"))
}

// recordsPage shows inputs and answers side by side.
func (c *Console) recordsPage(v *visit) error {
	base, err := v.view("records")
	if err != nil {
		return err
	}
	q := v.r.URL.Query()
	view := recordsView{jobView: base, Only: q.Get("only") == "errors", Partial: !base.Status.Terminal(), Later: q.Get("at") != ""}
	if view.Files, view.Hidden, err = v.outputs(base.JobSummary); err != nil {
		return err
	}
	if view.Hidden != "" || len(view.Files) == 0 {
		return v.show("records", base.JobName, "jobs", view)
	}
	file := view.Files[0]
	if i := slices.IndexFunc(view.Files, func(o object) bool { return o.Name == q.Get("file") }); i >= 0 {
		file = view.Files[i]
	}
	view.File = file.Name
	at, _ := strconv.ParseInt(q.Get("at"), 10, 64) // anything else is the begin
	at = min(max(at, 0), file.Bytes)
	next, err := v.readOutcomes(base.JobSummary, file, at, func(o outcome) (more bool) {
		if !view.Only || o.Error != "" {
			view.Records = append(view.Records, o)
		}
		return len(view.Records) < pageRecords
	})
	switch {
	case errors.Is(err, errScanned):
		view.Stopped = fmt.Sprintf("A search stops after %s or %d s. The next page continues it.", plural(scanBytes>>20, "MiB"), int(scanTime.Seconds()))
	case err != nil:
		if view.Hidden = hidden(err); view.Hidden == "" {
			return err
		}
	}
	if next < file.Bytes {
		page := url.Values{"file": {file.Name}, "at": {strconv.FormatInt(next, 10)}}
		if view.Only {
			page.Set("only", "errors")
		}
		view.Next = page.Encode()
	}
	return v.show("records", base.JobName, "jobs", view)
}

func plural(n int64, unit string) string { return fmt.Sprintf("%d %s", n, unit) }

// errSlow says that no line came in the time of a page.
var errSlow = &fault{http.StatusGatewayTimeout, "The S3 does not answer", "The S3 has sent nothing within the time limit of the page. Try again."}

// errScanned says that a search has read enough for one page.
var errScanned = errors.New("the search has read its share")

// readOutcomes passes the lines of an output from an offset on to do, until it returns false, and returns the offset after the last line.
func (v *visit) readOutcomes(j bedrock.JobSummary, o object, from int64, do func(outcome) (more bool)) (next int64, err error) {
	if from >= o.Bytes {
		return from, nil
	}
	out, done, err := v.output(j)
	if err != nil {
		return from, err
	}
	defer done()
	ctx, cancel := context.WithTimeout(v.r.Context(), min(scanTime, objectTime))
	defer cancel()
	if err := v.c.heavy.Acquire(ctx, 1); err != nil {
		return from, &fault{http.StatusServiceUnavailable, "The server is busy", "Too many pages read outputs now. Try again."}
	}
	defer v.c.heavy.Release(1)
	body, _, err := out.Read(ctx, o.Name, from)
	if err != nil {
		return from, err
	}
	defer body.Close()
	r := bufio.NewReaderSize(body, 64<<10)
	next = from
	for next-from < scanBytes {
		line, n, err := readLine(r)
		if n > 0 && (err == nil || errors.Is(err, io.EOF)) {
			next += n
			if len(bytes.TrimSpace(line)) > 0 && !do(parseOutcome(line, n)) {
				return next, nil
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return max(next, o.Bytes), nil
		case err != nil && ctx.Err() != nil && next > from:
			return next, errScanned
		case err != nil && ctx.Err() != nil:
			return next, errSlow
		case err != nil:
			return next, err
		}
	}
	return next, errScanned
}

// readLine reads a line and its length with the end. Of a line longer than readBytes only the begin is kept.
func readLine(r *bufio.Reader) (line []byte, n int64, err error) {
	for {
		piece, err := r.ReadSlice('\n')
		n += int64(len(piece))
		if len(line) < readBytes {
			line = append(line, piece[:min(len(piece), readBytes-len(line))]...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, n, err
		}
	}
}

// parseOutcome reads a line of an output. n is its whole length.
func parseOutcome(line []byte, n int64) (o outcome) {
	if n > int64(len(line)) {
		return outcome{ID: idAtBegin(line), Long: n}
	}
	l, err := preview.ParseLine(line)
	if err != nil {
		return outcome{Error: "The line is not JSON.", Output: plain.Line(plain.Short(string(line), 500))}
	}
	o = outcome{ID: l.ID, Prompt: cut(preview.Conversation(l.Input)), Answer: cut(strings.Join(preview.Answer(l.Output), "\n")), Input: indent(l.Input), Output: indent(l.Output), Untried: l.Untried}
	if l.Error != nil {
		o.Code, o.Error = l.Error.Code, cmp.Or(l.Error.Message, "The record failed.")
	}
	return o
}

// idForm is the begin of a line of either form, as Batholith writes it.
var idForm = regexp.MustCompile(`^\{(?:"id":"[^"]*","custom_id"|"recordId"):"((?:[^"\\]|\\.)*)"`)

func idAtBegin(line []byte) string {
	if m := idForm.FindSubmatch(line[:min(len(line), 1<<10)]); m != nil {
		return string(m[1])
	}
	return ""
}

// indent returns JSON with indentation, cut to shownBytes.
func indent(raw json.RawMessage) string {
	if len(raw) == 0 || string(raw) == "null" {
		return ""
	}
	var b bytes.Buffer
	if json.Indent(&b, raw, "", "  ") != nil {
		b.Reset()
		b.Write(raw)
	}
	return cut(b.String())
}

// cut bounds a text.
func cut(s string) string {
	if len(s) <= shownBytes {
		return s
	}
	return strings.ToValidUTF8(s[:shownBytes], "") + "\n… (cut; download the file for all of it)"
}

// kindView is the page of the errors of a job.
type kindView struct {
	jobView
	Kinds   []kind
	Hidden  string
	Read    int64 // error lines that were counted
	Stopped bool  // not all of the output was read
}

// kind is errors that differ only in numbers, names and ids.
type kind struct {
	Code    int
	Message string // of the example
	Count   int64
	Example outcome
	File    string
}

// mostKinds is the number of kinds that are told apart.
const mostKinds = 50

// errorsPage groups the errors of a job by their kind, with an example of each.
func (c *Console) errorsPage(v *visit) error {
	base, err := v.view("errors")
	if err != nil {
		return err
	}
	view := kindView{jobView: base}
	if base.ErrorRecordCount == 0 {
		return v.show("errors", base.JobName, "jobs", view)
	}
	files, why, err := v.outputs(base.JobSummary)
	if err != nil {
		return err
	}
	if view.Hidden = why; why != "" {
		return v.show("errors", base.JobName, "jobs", view)
	}
	if i := slices.IndexFunc(files, object.failed); i >= 0 {
		files = files[i:] // the others have answers only
	}
	kinds := map[string]*kind{}
	for end := time.Now().Add(scanTime); len(files) > 0; files = files[1:] {
		if view.Stopped = time.Now().After(end); view.Stopped {
			break
		}
		_, err := v.readOutcomes(base.JobSummary, files[0], 0, func(o outcome) bool {
			if o.Error != "" {
				view.Read++
				count(kinds, o, files[0].Name)
			}
			return view.Read < base.ErrorRecordCount
		})
		switch {
		case errors.Is(err, errScanned):
			view.Stopped = true
		case err != nil:
			if view.Hidden = hidden(err); view.Hidden == "" {
				return err
			}
		}
		if view.Hidden != "" || view.Read >= base.ErrorRecordCount {
			break
		}
	}
	for _, k := range kinds {
		view.Kinds = append(view.Kinds, *k)
	}
	slices.SortFunc(view.Kinds, func(a, b kind) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.Message, b.Message))
	})
	return v.show("errors", base.JobName, "jobs", view)
}

// varying are the parts of a message that differ between errors of one kind: quoted text, numbers, ids.
var varying = regexp.MustCompile(`"[^"]*"|'[^']*'|\b[0-9a-fA-F]{8,}\b|\d+`)

// count adds an error to its kind.
func count(kinds map[string]*kind, o outcome, file string) {
	key := strconv.Itoa(o.Code) + varying.ReplaceAllString(o.Error, "…")
	k := kinds[key]
	if k == nil {
		if len(kinds) >= mostKinds {
			if k = kinds[""]; k == nil {
				k = &kind{Message: "errors of other kinds", Example: o, File: file}
				kinds[""] = k
			}
			k.Count++
			return
		}
		k = &kind{Code: o.Code, Message: o.Error, Example: o, File: file}
		kinds[key] = k
	}
	k.Count++
}

// filesView is the page of the files of a job.
type filesView struct {
	jobView
	Files  []object
	More   bool
	Hidden string
}

// filesPage lists the output files of a job.
func (c *Console) filesPage(v *visit) error {
	base, err := v.view("files")
	if err != nil {
		return err
	}
	view := filesView{jobView: base}
	ctx, cancel := context.WithTimeout(v.r.Context(), objectTime)
	defer cancel()
	if view.Files, view.More, err = v.files(ctx, base.JobSummary); err != nil {
		if view.Hidden = hidden(err); view.Hidden == "" {
			return err
		}
	}
	return v.show("files", base.JobName, "jobs", view)
}

// silent reports whether the output of a job is known to have no modelInput in its lines.
func (v *visit) silent(j bedrock.JobSummary) bool {
	files, _, err := v.outputs(j)
	if err != nil || len(files) == 0 {
		return false
	}
	silent := false
	_, _ = v.readOutcomes(j, files[0], 0, func(o outcome) bool { // an output that cannot be read is found out by the new job
		silent = o.Long == 0 && o.Input == "" && o.ID != ""
		return false
	})
	return silent
}

func pathEscape(s string) string { return url.PathEscape(s) }
