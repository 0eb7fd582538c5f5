// Package days puts the real program through bad days: model servers that are down, slow, wrong or talking nonsense, disks that are
// full, times that run out. Each says what is wrong, and nothing that was finished is lost.
package days

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/bedrock/types"

	"github.com/batholith/batholith/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// says waits until this is told of a job.
func says(t *testing.T, s *harness.Server, job, part string) *harness.Job {
	t.Helper()
	return s.Until(job, func(j *harness.Job) bool {
		if j.EndTime != nil && !strings.Contains(harness.Told(j), part) {
			t.Fatalf("the job ended %s, message %q", j.Status, harness.Told(j))
		}
		return strings.Contains(harness.Told(j), part)
	})
}

func completed(t *testing.T, s *harness.Server, job string, records, errors int64) *harness.Job {
	t.Helper()
	j := s.End(job)
	if j.Status != types.ModelInvocationJobStatusCompleted || *j.SuccessRecordCount != records-errors || *j.ErrorRecordCount != errors {
		t.Fatalf("the job ended %s: %d answers, %d errors (want %d of %d); message %q", j.Status, *j.SuccessRecordCount, *j.ErrorRecordCount, errors, records,
			harness.Told(j))
	}
	return j
}

func TestAServerThatIsDownIsWaitedFor(t *testing.T) {
	w := harness.NewWitness(t, 0)
	w.Close()
	s := harness.Start(t, harness.Model(w.URL, ""))
	s.Put("a.jsonl", harness.Prompts(50))
	job := s.Create("a.jsonl")
	if j := says(t, s, job, "refuses connections"); j.Status != types.ModelInvocationJobStatusScheduled {
		t.Errorf("the job is %s while its model server is down", j.Status)
	}
	w.Listen(t, w.Address())
	completed(t, s, job, 50, 0)
}

func TestAServerThatGoesAwayIsWaitedFor(t *testing.T) {
	w := harness.NewWitness(t, 20*time.Millisecond)
	s := harness.Start(t, harness.Model(w.URL, ", max_in_flight: 4"))
	s.Put("a.jsonl", harness.Prompts(300))
	job := s.Create("a.jsonl")
	w.Await(t, 50)
	w.Close()
	says(t, s, job, "refuses connections")
	w.Listen(t, w.Address())
	completed(t, s, job, 300, 0)
}

func TestAServerWithoutTheModelIsNamed(t *testing.T) {
	w := harness.NewWitness(t, 0)
	w.Answer = func(rw http.ResponseWriter, _ string, _ int) bool {
		http.Error(rw, `{"error":{"message":"The model does not exist."}}`, http.StatusNotFound)
		return true
	}
	s := harness.Start(t, harness.Model(w.URL, ", model: other"))
	s.Put("a.jsonl", harness.Prompts(5))
	job := s.Create("a.jsonl")
	if j := says(t, s, job, "other"); j.Status != types.ModelInvocationJobStatusScheduled {
		t.Errorf("the job is %s, though nothing was answered", j.Status)
	}
}

// What a list of models says is a doubt and no verdict: servers leave names out that they take.
func TestAServerThatListsOtherNamesIsUsed(t *testing.T) {
	w := harness.NewWitness(t, 0)
	s := harness.Start(t, harness.Model(w.URL, ", model: other"))
	s.Put("a.jsonl", harness.Prompts(5))
	completed(t, s, s.Create("a.jsonl"), 5, 0)
}

func TestASlowServerEndsInErrorLinesThatSaySo(t *testing.T) {
	w := harness.NewWitness(t, 0)
	w.Answer = func(rw http.ResponseWriter, prompt string, _ int) bool {
		if prompt == "p3" {
			time.Sleep(2 * time.Second) // the server's own time
		}
		return false
	}
	s := harness.Start(t, harness.Model(w.URL, ", timeout: 300ms")+"attempts: 2\n")
	s.Put("a.jsonl", harness.Prompts(20))
	job := s.Create("a.jsonl")
	completed(t, s, job, 20, 1)
	if l := s.Lines(job, "a.jsonl.out")[3]; l.Error == nil || !strings.Contains(l.Error.ErrorMessage, "300ms") || !strings.Contains(l.Error.ErrorMessage, "4 attempts") {
		t.Errorf("error %+v", l.Error)
	}
}

func TestNonsenseIsAskedForAgainAndThenSaid(t *testing.T) {
	w := harness.NewWitness(t, 0)
	w.Answer = func(rw http.ResponseWriter, prompt string, nth int) bool {
		switch {
		case prompt == "p1" && nth < 3: // a page in place of JSON, twice
			fmt.Fprint(rw, "<html>hello</html>")
		case prompt == "p2" && nth < 3: // torn
			rw.Header().Set("Content-Length", "1000")
			fmt.Fprint(rw, `{"choices":[{"mess`)
		case prompt == "p3" && nth < 3:
			http.Error(rw, "oops", http.StatusInternalServerError)
		case prompt == "p4" && nth < 3: // a third refusal would count like a third failure, if nothing else was in flight beside it
			rw.Header().Set("Retry-After", "0")
			http.Error(rw, "busy", http.StatusTooManyRequests)
		case prompt == "p5":
			fmt.Fprint(rw, `{"choices":[]}`)
		case prompt == "p6":
			http.Error(rw, `{"error":{"message":"this model's maximum context length is 10 tokens"}}`, http.StatusBadRequest)
		default:
			return false
		}
		return true
	}
	s := harness.Start(t, harness.Model(w.URL, "")+"attempts: 3\n")
	s.Put("a.jsonl", harness.Prompts(40))
	job := s.Create("a.jsonl")
	j := completed(t, s, job, 40, 2)
	lines := s.Lines(job, "a.jsonl.out")
	if e := lines[5].Error; e == nil || !strings.Contains(e.ErrorMessage, " attempts") {
		t.Errorf("an answer without choices: %+v", e)
	}
	if e := lines[6].Error; e == nil || e.ErrorCode != 400 || !strings.Contains(e.ErrorMessage, "maximum context length") {
		t.Errorf("a prompt that is too long: %+v", e)
	}
	if !strings.Contains(harness.Told(j), "2 of 40 ended with an error, the first with ") {
		t.Errorf("message %q", harness.Told(j))
	}
}

// brief makes an hour of a job's timeout last 100 ms, so that 24 of them are over in 2.4 s.
const brief = "limits: {hour: 100ms}\n"

func TestAJobThatNeverBeganExpires(t *testing.T) {
	w := harness.NewWitness(t, 0)
	w.Close()
	s := harness.Start(t, harness.Model(w.URL, "")+brief)
	s.Put("a.jsonl", harness.Prompts(5))
	job := s.Create("a.jsonl")
	j := s.End(job)
	if j.Status != types.ModelInvocationJobStatusExpired || !strings.Contains(harness.Told(j), "refuses connections") {
		t.Errorf("%s: %q", j.Status, harness.Told(j))
	}
	if j.EndTime.Before(*j.JobExpirationTime) {
		t.Errorf("ended %s, before %s", j.EndTime, j.JobExpirationTime)
	}
}

func TestAJobWhoseTimeIsOverKeepsWhatItHas(t *testing.T) {
	w := harness.NewWitness(t, 100*time.Millisecond)
	s := harness.Start(t, harness.Model(w.URL, ", max_in_flight: 2")+"limits: {hour: 400ms}\n") // 9.6 s, in which a slow machine answers some of them
	s.Put("a.jsonl", harness.Prompts(500))
	job := s.Create("a.jsonl")
	j := s.End(job)
	lines := s.Lines(job, "a.jsonl.out")
	if j.Status != types.ModelInvocationJobStatusPartiallyCompleted || len(lines) == 0 || int64(len(lines)) != *j.ProcessedRecordCount || len(lines) == 500 {
		t.Errorf("%s, %d lines, %d processed", j.Status, len(lines), *j.ProcessedRecordCount)
	}
	s.Output(job, "manifest.json.out")
}

func TestBadInputIsToldWithFileLineAndReason(t *testing.T) {
	s := harness.Start(t, "")
	long := bytes.Repeat([]byte("x"), 100<<20)
	copy(long, `{"recordId":"1","modelInput":{"messages":"`)
	for name, c := range map[string]struct {
		body []byte
		want string
	}{
		"long":    {append(append(harness.Prompts(2), long...), []byte("\"}}\n"+harness.Prompt(3))...), "s3://batholith/long.jsonl line 3: "},
		"json":    {[]byte(harness.Prompt(0) + "\nhello\n"), "s3://batholith/json.jsonl line 2: "},
		"array":   {[]byte("[]\n"), "s3://batholith/array.jsonl line 1: "},
		"input":   {[]byte(`{"recordId":"1"}`), "modelInput"},
		"utf8":    {[]byte("{\"modelInput\":{\"a\":\"\xff\"}}"), "UTF-8"},
		"empty":   {nil, "less records (0) than the required minimum of: 1"},
		"missing": {nil, "There is no .jsonl file at s3://batholith/missing.jsonl"},
	} {
		t.Run(name, func(t *testing.T) {
			if name != "missing" {
				s.Put(name+".jsonl", c.body)
			}
			j := s.End(s.Create(name+".jsonl", func(in *bedrock.CreateModelInvocationJobInput) {
				in.JobName, in.ModelId = aws.String(name), aws.String("batholith.simulated-v1")
			}))
			if m := harness.Told(j); j.Status != types.ModelInvocationJobStatusFailed || !strings.Contains(m, c.want) || strings.Contains(m, "xxxxxxxx") {
				t.Errorf("%s: %.300q", j.Status, m)
			}
		})
	}
	j := s.End(s.Create("x", func(in *bedrock.CreateModelInvocationJobInput) {
		in.ModelId = aws.String("batholith.simulated-v1")
		in.InputDataConfig = &types.ModelInvocationJobInputDataConfigMemberS3InputDataConfig{
			Value: types.ModelInvocationJobS3InputDataConfig{S3Uri: aws.String("s3://nowhere/x.jsonl")}}
	}))
	if m := harness.Told(j); !strings.Contains(m, "Could not validate GetObject permissions to access Amazon S3 bucket: nowhere at key x.jsonl") {
		t.Errorf("%s: %q", j.Status, m)
	}
}

func TestARoleThatMayNotReadFailsTheJob(t *testing.T) {
	t.Setenv("ROLE_SECRET", "narrowrolesecret")
	s := harness.Start(t, `roles:
- {arn: "arn:aws:iam::000000000000:role/narrow", access_key_id: ROLEKEY, secret_access_key_env: ROLE_SECRET, buckets: [elsewhere]}
- {arn: "arn:aws:iam::000000000000:role/keyless", buckets: [elsewhere]}
- {arn: "arn:aws:iam::000000000000:role/wide", buckets: [elsewhere, batholith]}
- {arn: "arn:aws:iam::000000000000:role/made-*", buckets: [batholith]}
- {arn: "arn:aws:iam::000000000000:role/made-*-elsewhere", buckets: [elsewhere]}
- {arn: "arn:aws:iam::000000000000:role/below", buckets: [batholith/a.jsonl, batholith/out/]}
- {arn: "arn:aws:iam::000000000000:role/below-others", buckets: [batholith/b.jsonl, batholith/out/]}
`)
	if said := s.Log(); !strings.Contains(said, "roles[3].arn (line ") || !strings.Contains(said, "jobs may name every role that matches arn:aws:iam::000000000000:role/made-*, and get rights to batholith only") {
		t.Errorf("the server does not say which roles it lets through:\n%s", said)
	}
	s.Put("a.jsonl", harness.Prompts(5))
	for role, want := range map[string]string{
		"narrow":                 "Could not validate PutObject permissions to access Amazon S3 bucket: batholith at key out/",
		"keyless":                "Could not validate PutObject permissions to access Amazon S3 bucket: batholith at key out/",
		"wide":                   "",
		"made-path/by-a-program": "",
		"below":                  "",
		"below-others":           "Could not validate GetObject permissions to access Amazon S3 bucket: batholith at key a.jsonl",
		"made-1-elsewhere":       "Could not validate PutObject permissions to access Amazon S3 bucket: batholith at key out/",
	} {
		j := s.End(s.Create("a.jsonl", func(in *bedrock.CreateModelInvocationJobInput) {
			in.ModelId, in.RoleArn = aws.String("batholith.simulated-v1"), aws.String("arn:aws:iam::000000000000:role/"+role)
		}))
		failed := j.Status == types.ModelInvocationJobStatusFailed
		if m := harness.Told(j); failed != (want != "") || !strings.HasPrefix(m, want) {
			t.Errorf("role %s: %s: %q, want %q", role, j.Status, m, want)
		}
	}
}

func TestJobsWaitForAFullDiskWhichIsToldOnce(t *testing.T) {
	const records = 2000
	w := harness.NewWitness(t, 10*time.Millisecond)
	s := harness.StartOnDisk(t, 64, harness.Model(w.URL, ", max_in_flight: 8"))
	s.Put("a.jsonl", harness.Prompts(records))
	job := s.Create("a.jsonl")
	w.Await(t, 200)
	filler := filepath.Join(s.Data, "filler")
	fill(t, filler)
	w.Await(t, 1000) // what was read ahead is sent all the same
	if j := s.Job(job); j.EndTime != nil {
		t.Fatalf("the job ended %s on a full disk: %s", j.Status, harness.Told(j))
	}
	says(t, s, job, "data directory is full")
	if said := ready(t, s); !strings.Contains(said, "data directory is full") {
		t.Errorf("/readyz says %q", said)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if j := completed(t, s, job, records, 0); strings.Contains(harness.Told(j), "is full") {
		t.Errorf("with room again, the job says %q", harness.Told(j))
	}
	if said := ready(t, s); said != "ready\n" {
		t.Errorf("with room again, /readyz says %q", said)
	}
	said := s.Log()
	for text, times := range map[string]int{"the disk is full": 1, "make room on the disk of ": 1, "has room again": 1, "no space left": 0, "database or disk is full": 0, "InsufficientStorage": 0} {
		if strings.Count(said, text) != times {
			t.Errorf("%q is not logged %d times", text, times)
		}
	}
	if t.Failed() {
		t.Log(said)
	}
	if lines := s.Lines(job, "a.jsonl.out"); len(lines) != records {
		t.Errorf("%d lines", len(lines))
	}
	if all, prompts, _ := w.Requests(); all != records || prompts != records {
		t.Errorf("%d requests for %d records", all, prompts)
	}
}

// ready is what /readyz answers.
func ready(t *testing.T, s *harness.Server) string {
	t.Helper()
	resp, err := http.Get(s.At.Bedrock + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s, %v", resp.Status, err)
	}
	return string(b)
}

// fill writes a file until the disk is full.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 1<<16); err == nil; {
		if _, err = f.Write(block); err != nil && len(block) > 1 {
			block, err = block[:1], nil // to the last byte
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}

func TestAnOutputThatTheS3CannotHoldFailsTheJob(t *testing.T) {
	s := harness.Start(t, "")
	s.Put("a.jsonl", harness.Prompts(5))
	j := s.End(s.Create("a.jsonl", func(in *bedrock.CreateModelInvocationJobInput) {
		in.ModelId = aws.String("batholith.simulated-v1")
		in.OutputDataConfig = &types.ModelInvocationJobOutputDataConfigMemberS3OutputDataConfig{
			Value: types.ModelInvocationJobS3OutputDataConfig{S3Uri: aws.String("s3://batholith/a//b/")}}
	}))
	if m := harness.Told(j); j.Status != types.ModelInvocationJobStatusFailed || !strings.Contains(m, "PutObject") || !strings.Contains(m, "empty") {
		t.Errorf("%s: %q", j.Status, m)
	}
}
