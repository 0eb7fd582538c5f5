package days

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrock/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/batholith/batholith/tests/harness"
)

// segments lists the segments of a job that are in the bucket.
func segments(t *testing.T, s *harness.Server) (keys []string) {
	t.Helper()
	for _, key := range s.Left() {
		if strings.Contains(key, "/.batholith/segments/") {
			keys = append(keys, key)
		}
	}
	return keys
}

// harms are what a foreign hand does to an object.
var harms = map[string]func(t *testing.T, s *harness.Server, key string){
	"deletes": func(t *testing.T, s *harness.Server, key string) {
		if _, err := s.S3Client().DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String(harness.Bucket), Key: &key}); err != nil {
			t.Fatal(err)
		}
	},
	"cuts off": func(t *testing.T, s *harness.Server, key string) {
		b := object(t, s, key)
		s.Put(key, b[:len(b)/2])
	},
	"overwrites": func(t *testing.T, s *harness.Server, key string) {
		b := object(t, s, key)
		b[len(b)/2] ^= 1
		s.Put(key, b)
	},
}

func object(t *testing.T, s *harness.Server, key string) []byte {
	t.Helper()
	out, err := s.S3Client().GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(harness.Bucket), Key: &key})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Body.Close()
	b, err := io.ReadAll(out.Body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// failedFor makes sure that a job failed because of an object, and that what is left of its output is whole.
func failedFor(t *testing.T, s *harness.Server, job, key string, records int) {
	t.Helper()
	j := s.End(job)
	m := aws.ToString(j.Message)
	if j.Status != types.ModelInvocationJobStatusFailed || !strings.Contains(m, "s3://"+harness.Bucket+"/"+key) || !strings.Contains(m, "create the job again") {
		t.Fatalf("the job ended %s: %s", j.Status, m)
	}
	t.Logf("%s", m)
	last := -1
	lines := s.Lines(job, "a.jsonl.out")
	for _, l := range lines {
		var n int
		if _, err := fmt.Sscanf(l.RecordID, "r%d", &n); err != nil || n <= last || !strings.Contains(string(l.ModelOutput), fmt.Sprintf("answer to p%d\"", n)) {
			t.Fatalf("record %s comes after r%d: %s", l.RecordID, last, l.ModelOutput)
		}
		last = n
	}
	if len(lines) == 0 || len(lines) >= records {
		t.Errorf("%d lines of %d records", len(lines), records)
	}
	s.OutputAlone(1) // there is no manifest: it would count what is not there
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"verify", harness.ID(job)}, 1, "manifest"},
		{[]string{"doctor"}, 0, ""},
		{[]string{"get", harness.ID(job)}, 0, key},
	} {
		cmd := exec.Command(harness.Binary(t), append(c.args, "--data", s.Data)...)
		cmd.Env = s.Environ()
		out, _ := cmd.CombinedOutput()
		t.Logf("batholith %s: exit status %d\n%s", strings.Join(c.args, " "), cmd.ProcessState.ExitCode(), out)
		if code := cmd.ProcessState.ExitCode(); code != c.code || !strings.Contains(string(out), c.says) {
			t.Errorf("batholith %s: exit status %d (want %d and %q)", strings.Join(c.args, " "), code, c.code, c.says)
		}
	}
}

func TestASegmentThatAForeignHandDestroysFailsTheJobAndIsNamed(t *testing.T) {
	const records = 600
	for name, harm := range harms {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := harness.NewWitness(t, 50*time.Millisecond)
			s := harness.Start(t, harness.Model(w.URL, ", max_in_flight: 8"))
			s.Put("a.jsonl", harness.Prompts(records))
			job := s.Create("a.jsonl")
			s.Until(job, func(j *harness.Job) bool { return aws.ToInt64(j.ProcessedRecordCount) > 0 })
			key := segments(t, s)[0]
			harm(t, s, key)
			failedFor(t, s, job, key, records)
		})
	}
}

func TestASegmentThatIsGoneJustBeforeThePublicationFailsTheJobAndIsNamed(t *testing.T) {
	const records = 300
	w := harness.NewWitness(t, 50*time.Millisecond)
	s := harness.New(t, harness.Model(w.URL, ", max_in_flight: 8"))
	if !s.StartTo("lifecycle.sealed") {
		t.Fatal(s.Log())
	}
	s.Put("a.jsonl", harness.Prompts(records))
	job := s.Create("a.jsonl")
	s.Died()
	paths, err := filepath.Glob(filepath.Join(s.Data, "s3", "buckets", harness.Bucket, "out", harness.ID(job), ".batholith", "segments", "*"))
	if err != nil || len(paths) < 2 {
		t.Fatalf("segments %v, %v", paths, err)
	}
	if err := os.Remove(paths[0]); err != nil {
		t.Fatal(err)
	}
	s.Start()
	failedFor(t, s, job, "out/"+harness.ID(job)+"/.batholith/segments/"+filepath.Base(paths[0]), records)
	if all, prompts, _ := w.Requests(); all != records || prompts != records {
		t.Errorf("%d requests for %d records", all, prompts)
	}
}
