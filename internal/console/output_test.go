package console_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/bedrock"
	"github.com/batholith/batholith/internal/console"
	"github.com/batholith/batholith/internal/sigv4"
)

// farS3 is an external S3 with one output. Each member that is set fails a call, or lets it wait for its context.
type farS3 struct {
	open, list, read error
	hang             string // list, read, or body
	text             string
	errs             string // of OpenAI's lines; "": none
	put              string // where a file was stored
}

func (f *farS3) Output(context.Context, sigv4.Identity, *http.Request, string) (console.Output, error) {
	return f, f.open
}

func (f *farS3) Roles(context.Context, sigv4.Identity) []string {
	return []string{"arn:aws:iam::000000000000:role/" + evil}
}

func (f *farS3) Put(_ context.Context, who sigv4.Identity, _ *http.Request, role, bucket, key string, from io.ReadSeeker, bytes int64) error {
	text, err := io.ReadAll(from)
	if int64(len(text)) != bytes {
		return errors.New("another length")
	}
	f.put = fmt.Sprintf("%s as %s: s3://%s/%s %s", who.Principal, role, bucket, key, text)
	return err
}

func (f *farS3) List(ctx context.Context) iter.Seq2[batholith.Object, error] {
	return func(yield func(batholith.Object, error) bool) {
		if f.hang == "list" {
			<-ctx.Done()
			yield(batholith.Object{}, fmt.Errorf("list s3://b: %w", ctx.Err()))
			return
		}
		if f.list != nil {
			yield(batholith.Object{}, f.list)
			return
		}
		all := []batholith.Object{{Key: ".batholith/index"}, {Key: "a.jsonl.out", Bytes: int64(len(f.text))}, {Key: evil + ".jsonl.out", Bytes: 7}}
		if f.errs != "" {
			all = slices.Insert(all, 1, batholith.Object{Key: "a.jsonl.err", Bytes: int64(len(f.errs))})
		}
		for _, o := range all {
			if !yield(o, nil) {
				return
			}
		}
	}
}

func (f *farS3) Read(ctx context.Context, name string, offset int64) (io.ReadCloser, int64, error) {
	switch {
	case f.read != nil:
		return nil, 0, f.read
	case f.hang == "read":
		<-ctx.Done()
		return nil, 0, fmt.Errorf("read s3://b: %w", ctx.Err())
	case f.hang == "body":
		return io.NopCloser(waiting{ctx}), 7, nil
	case name == "a.jsonl.err":
		return io.NopCloser(strings.NewReader(f.errs[offset:])), int64(len(f.errs)) - offset, nil
	case name != "a.jsonl.out":
		return nil, 0, batholith.ErrNoObject
	}
	return io.NopCloser(strings.NewReader(f.text[offset:])), int64(len(f.text)) - offset, nil
}

// waiting is a body whose bytes never come.
type waiting struct{ ctx context.Context }

func (w waiting) Read([]byte) (int, error) { <-w.ctx.Done(); return 0, w.ctx.Err() }

// explained is an error of an S3 with words for people.
type explained struct{ cause, remedy string }

func (e explained) Error() string               { return e.cause + "; " + e.remedy }
func (e explained) Explained() (string, string) { return e.cause, e.remedy }

func TestOutputsOfAnExternalS3AreShown(t *testing.T) {
	f := &farS3{text: `{"recordId":"r1","modelInput":{"prompt":"what is it"},"modelOutput":{"completion":"` + strings.ReplaceAll(evil, `"`, "") + `"}}` + "\n" + `{"recordId":"r2","error":{"errorCode":400,"errorMessage":"too long"}}` + "\n"}
	s := newSite(t, func(o *console.Options) { o.Far = f })
	s.signIn()
	const of = "/console/jobs/aaaaaaaaaaaa"
	for path, wants := range map[string][]string{of + "/records": {"what is it", "r1", "r2"}, of + "/errors": {"too long", "Example: r2"}, of + "/files": {"a.jsonl.out", "download?file=a.jsonl.out"}, of + "/records?file=a.jsonl.out&only=errors": {"too long"}} {
		status, _, text := s.get(path)
		for _, want := range wants {
			if status != 200 || !strings.Contains(text, want) {
				t.Errorf("%s: %d, without %q", path, status, want)
			}
		}
		if strings.Contains(text, "<script>alert") || strings.Contains(text, ".batholith") {
			t.Errorf("%s shows what it must not", path)
		}
	}
	if status, _, text := s.get(of + "/download?file=a.jsonl.out"); status != 200 || text != f.text {
		t.Errorf("the download: %d %q", status, text)
	}
	for _, name := range []string{"", ".batholith/index", "b.jsonl.out"} {
		if status, _, _ := s.get(of + "/download?file=" + url.QueryEscape(name)); status != http.StatusNotFound {
			t.Errorf("the file %q: %d", name, status)
		}
	}
}

func TestOutputsInOpenAIsLinesAreShown(t *testing.T) {
	f := &farS3{
		text: `{"id":"batch_req_1","custom_id":"r1","response":{"status_code":200,"request_id":"req_1","body":{"choices":[{"message":{"content":"it is a cat"}}]}},"error":null}` + "\n",
		errs: `{"id":"batch_req_3","custom_id":"r3","response":null,"error":{"code":"batch_expired","message":"The window has ended."}}` + "\n" +
			`{"id":"batch_req_2","custom_id":"r2","response":{"status_code":400,"request_id":"req_2","body":{"error":{"message":"too long"}}},"error":null}` + "\n"}
	s := newSite(t, func(o *console.Options) { o.Far = f })
	s.signIn()
	const of = "/console/jobs/aaaaaaaaaaaa"
	for path, wants := range map[string][]string{
		of + "/records":                              {">r1<", "it is a cat", "a.jsonl.err"},
		of + "/records?file=a.jsonl.err":             {">r2<", "400: too long", ">r3<", "The window has ended."},
		of + "/records?file=a.jsonl.err&only=errors": {">r2<", "400: too long"},
		of + "/errors":                               {"Example: r2", "too long", "in a.jsonl.err"},
	} {
		if status, _, text := s.get(path); status != 200 || slices.ContainsFunc(wants, func(want string) bool { return !strings.Contains(text, want) }) {
			t.Errorf("%s: %d, not all of %q in\n%s", path, status, wants, text)
		}
	}
}

func TestAnExternalS3ThatFailsIsNamed(t *testing.T) {
	defer console.SetObjectTime(50 * time.Millisecond)()
	const says = "user/alice is not authorized to perform: s3:ListBucket"
	for name, c := range map[string]struct {
		far    farS3
		page   string // says on the pages of the job
		status int    // of a download
	}{
		"no role":           {farS3{open: fmt.Errorf("role r is not configured here: %w", batholith.ErrAccessDenied)}, "role r is not configured here", 403},
		"no right":          {farS3{list: bedrock.AccessDenied(says), read: bedrock.AccessDenied(says)}, says, 403},
		"no bucket":         {farS3{list: batholith.ErrNoBucket, read: batholith.ErrNoBucket}, "The bucket does not exist", 404},
		"denied to role":    {farS3{list: fmt.Errorf("list: %w", batholith.ErrAccessDenied), read: fmt.Errorf("read: %w", batholith.ErrAccessDenied)}, "the S3 does not permit it to the role of the job", 403},
		"away":              {farS3{list: explained{"nothing listens at s3:9000", "start it"}, read: explained{"nothing listens at s3:9000", "start it"}}, "Nothing listens at s3:9000. Try again", 502},
		"a list that hangs": {farS3{hang: "list"}, "has not answered within", 404},
		"a read that hangs": {farS3{hang: "read", text: "0123456\n"}, "", 0},
		"a body that hangs": {farS3{hang: "body", text: "0123456\n"}, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, func(o *console.Options) { o.Far = &c.far })
			s.signIn()
			for _, tab := range []string{"records", "errors", "files"} {
				want := c.page
				switch {
				case c.far.hang == "read" && tab != "files":
					want = "has not answered within"
				case c.far.hang == "body" && tab != "files":
					want = "has sent nothing"
				}
				if status, _, text := s.get("/console/jobs/aaaaaaaaaaaa/" + tab); status != 200 || !strings.Contains(text, want) || want != "" && !strings.Contains(text, "Not shown") {
					t.Errorf("%s: %d, without %q\n%s", tab, status, want, text)
				}
			}
			if c.status == 0 {
				return
			}
			if status, _, _ := s.get("/console/jobs/aaaaaaaaaaaa/download?file=b.jsonl.out"); status != c.status {
				t.Errorf("the download: %d, want %d", status, c.status)
			}
		})
	}
}

func TestAFileForAnExternalS3IsStoredWithTheRoleThatIsChosen(t *testing.T) {
	f := &farS3{}
	s := newSite(t, func(o *console.Options) {
		o.Far = f
		o.Validate = func(context.Context, string, string, string, batholith.InvocationType) (console.Validation, error) {
			return console.Validation{OK: true, Records: 1}, nil
		}
	})
	s.signIn()
	token := s.token("/console/models")
	_, at, page := s.upload("/console/submit", token, "a.jsonl", "{}\n")
	if !strings.Contains(page, `name="role"`) || strings.Contains(page, "<script>alert") {
		t.Fatalf("the form at %s\n%s", at, page)
	}
	form := url.Values{"csrf": {token}, "name": {"n"}, "role": {"arn:r"}, "input": {"s3://b/in/a.jsonl"}, "output": {"s3://b/out/"}}
	s.post(at+"/create", form)
	if f.put != "alice as arn:r: s3://b/in/a.jsonl {}\n" || !s.api.did("POST /check-model-invocation-job") || !s.api.did("POST /model-invocation-job as alice") {
		t.Errorf("stored: %q; %v", f.put, s.api.asked)
	}
	// Without the right to create the job nothing is stored.
	f.put = ""
	s.api.set(func() { s.api.denies["/check-model-invocation-job"] = true })
	_, at, _ = s.upload("/console/submit", token, "a.jsonl", "{}\n")
	if status, _, _ := s.post(at+"/create", form); status != http.StatusForbidden || f.put != "" {
		t.Errorf("%d, stored: %q", status, f.put)
	}
}
