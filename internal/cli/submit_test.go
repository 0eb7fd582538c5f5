package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/plain"
)

const submittedARN = "arn:aws:bedrock:us-east-1:000000000000:model-invocation-job/abcdefghijkl"

// aService is a Bedrock API and an S3 with one job, which has ended with this status and one output file.
type aService struct {
	refusal string // of the check; "": it is taken
	unknown bool   // it does not know the check
	status  string

	mu    sync.Mutex
	asked []string
}

func (s *aService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.asked = append(s.asked, r.Method+" "+r.URL.Path)
	s.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	refuse := func(code, message string) {
		w.Header().Set("X-Amzn-ErrorType", code)
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]string{"message": message})
	}
	switch path := r.URL.Path; {
	case path == checkPath && s.unknown:
		refuse("UnknownOperationException", "")
	case path == checkPath && s.refusal != "":
		refuse("ValidationException", s.refusal)
	case path == checkPath:
		_, _ = io.WriteString(w, "{}")
	case path == "/model-invocation-job":
		var in struct{ JobName string }
		_ = json.Unmarshal(body, &in)
		_ = json.NewEncoder(w).Encode(map[string]string{"jobArn": submittedARN})
	case strings.HasPrefix(path, "/model-invocation-job/"):
		_ = json.NewEncoder(w).Encode(map[string]any{"jobArn": submittedARN, "jobName": "n", "status": s.status, "modelId": "m", "roleArn": "r",
			"inputDataConfig":  map[string]any{"s3InputDataConfig": map[string]any{"s3Uri": "s3://b/in"}},
			"outputDataConfig": map[string]any{"s3OutputDataConfig": map[string]any{"s3Uri": "s3://b/out/"}}, "totalRecordCount": 1, "processedRecordCount": 1, "successRecordCount": 1})
	case r.URL.Query().Has("list-type"):
		fmt.Fprint(w, `<ListBucketResult><Contents><Key>out/abcdefghijkl/in.jsonl.out</Key></Contents></ListBucketResult>`)
	case strings.HasSuffix(path, ".out"):
		_, _ = io.WriteString(w, "an answer\n")
	}
}

// submitTo runs submit over one small file, in a new folder.
func submitTo(t *testing.T, s *aService, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	for name, value := range map[string]string{"AWS_ENDPOINT_URL_BEDROCK": server.URL, "AWS_ENDPOINT_URL_S3": server.URL, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x",
		"AWS_REGION": "us-east-1", "AWS_MAX_ATTEMPTS": "1"} {
		t.Setenv(name, value)
	}
	t.Chdir(folder(t, map[string]string{"in.jsonl": `{"recordId":"1","modelInput":{"messages":[]}}` + "\n", "taken": ""}))
	var out, talk bytes.Buffer
	a := &app{stdout: plain.NewWriter(&out), stderr: plain.NewWriter(&talk), env: os.Environ()}
	err = a.execute(t.Context(), append([]string{"submit", "in.jsonl", "--model", "m"}, args...))
	a.complain(err)
	return out.String(), talk.String(), err
}

func TestNothingIsUploadedForAJobThatWouldBeRefused(t *testing.T) {
	for name, c := range map[string]struct {
		refusal string
		args    []string
		says    []string
	}{
		"model": {refusal: "Batch inference is not supported for the requested model. No model is configured as 'm'; configured are: mm, n.",
			says: []string{"nothing was uploaded: Batch inference", "configured are: mm, n", "--model"}},
		"role": {refusal: "1 validation error detected: Value 'nope' at 'roleArn' failed to satisfy constraint: x", args: []string{"--role", "nope"},
			says: []string{"'nope'", "hint: write --role arn:aws:iam::"}},
		"download": {args: []string{"--download", "taken/x"}, says: []string{"--download: the answers cannot be written to taken/x: ", "not a directory", "hint: name a folder that you may write to"}},
		"bucket":   {args: []string{"--bucket", "Bad_Bucket"}, says: []string{"--bucket: \"Bad_Bucket\" is not a valid bucket name", "hint: write 3 to 63"}},
		"hours":    {args: []string{"--timeout-hours", "-3"}, says: []string{"--timeout-hours: -3 is not possible", "hint: write 1 or more"}},
	} {
		t.Run(name, func(t *testing.T) {
			service := &aService{refusal: c.refusal}
			stdout, stderr, err := submitTo(t, service, c.args...)
			if err == nil || stdout != "" {
				t.Errorf("it went on: %s", stdout)
			}
			for _, want := range c.says {
				if !strings.Contains(stderr, want) {
					t.Errorf("lacks %q: %s", want, stderr)
				}
			}
			for _, asked := range service.asked {
				if asked != "POST "+checkPath {
					t.Errorf("it asked for %s", asked)
				}
			}
		})
	}
}

func TestAServerThatCannotCheckAJobIsAskedForIt(t *testing.T) {
	s := &aService{unknown: true}
	if stdout, stderr, err := submitTo(t, s); err != nil || strings.TrimSpace(stdout) != submittedARN {
		t.Errorf("%s %s %v", stdout, stderr, err)
	}
}

func TestSubmitPrintsOneJSONValueWithTheResult(t *testing.T) {
	for name, c := range map[string]struct {
		args   []string
		status string
		code   int
		want   map[string]any
	}{
		"created":    {nil, "Submitted", exitDone, map[string]any{"jobArn": submittedARN, "jobName": "n"}},
		"waited":     {[]string{"--wait"}, "Completed", exitDone, map[string]any{"jobArn": submittedARN, "status": "Completed", "successRecordCount": 1.0}},
		"downloaded": {[]string{"--download", "got"}, "Completed", exitDone, map[string]any{"status": "Completed", "files": []any{filepath.Join("got", "abcdefghijkl", "in.jsonl.out")}}},
		"stopped":    {[]string{"--wait"}, "Stopped", exitUnfinished, map[string]any{"status": "Stopped"}},
	} {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, err := submitTo(t, &aService{status: c.status}, append(c.args, "--json", "--name", "n")...)
			if code := exitCode(err); code != c.code {
				t.Errorf("exit code %d, want %d: %s", code, c.code, stderr)
			}
			var got map[string]any
			if err := json.Unmarshal([]byte(stdout), &got); err != nil { // also of two values
				t.Fatalf("%v: %s", err, stdout)
			}
			for key, want := range c.want {
				if d := cmp.Diff(want, got[key]); d != "" {
					t.Errorf("%s: %s", key, d)
				}
			}
		})
	}
}

func TestOnlyTroubleIsAWarningToAWatcher(t *testing.T) {
	at := func(minute int) *time.Time { m := time.Date(2026, 1, 2, 3, minute, 0, 5e8, time.UTC); return &m }
	note := func(f batholith.Forecast) *jobNotes {
		n := &jobNotes{Note: f.String(), Position: int64(f.Position)}
		if !f.Begin.IsZero() {
			n.Begin = &f.Begin
		}
		if !f.End.IsZero() {
			n.End = &f.End
		}
		return n
	}
	var told watched
	for i, step := range []struct {
		notes      *jobNotes
		kind, text string
	}{
		{nil, "", ""},
		{note(batholith.Forecast{Position: 2, Begin: *at(1), End: *at(9)}), "note", "number 2 of the jobs that wait for this model"},
		{note(batholith.Forecast{Position: 2, Begin: *at(2), End: *at(8)}), "", ""},
		{note(batholith.Forecast{Position: 1, Begin: *at(2), End: *at(8)}), "note", "number 1 of the jobs that wait for this model"},
		{note(batholith.Forecast{End: *at(7)}), "", ""},
		{note(batholith.Forecast{End: *at(6)}), "", ""},
		{&jobNotes{Note: "Records wait: x", End: at(6)}, "warning", "Records wait: x"},
		{&jobNotes{Note: "Records wait: x"}, "", ""},
		{note(batholith.Forecast{End: *at(7)}), "", ""},
		{&jobNotes{Note: "Records wait: x"}, "warning", "Records wait: x"},
		{note(batholith.Forecast{End: *at(7), Late: true}), "warning", note(batholith.Forecast{End: *at(7), Late: true}).Note},
		{note(batholith.Forecast{End: *at(8), Late: true}), "", ""},
	} {
		kind, text := told.news(jobFacts{Status: batholith.StatusInProgress, Notes: step.notes})
		if text != step.text || text != "" && kind != step.kind {
			t.Errorf("step %d: %s %q, want %s %q", i, kind, text, step.kind, step.text)
		}
	}
}
