package sdk_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// environment is how the AWS tools are told of a server, and nothing of the machine's own settings.
func (s server) environment() []string {
	kept := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "AWS_") })
	return append(kept,
		"AWS_ENDPOINT_URL_BEDROCK="+s.Bedrock, "AWS_ENDPOINT_URL_BEDROCK_RUNTIME="+s.Bedrock, "AWS_ENDPOINT_URL_S3="+s.S3, "AWS_REGION="+region, "AWS_DEFAULT_REGION="+region,
		"AWS_ACCESS_KEY_ID="+keyID, "AWS_SECRET_ACCESS_KEY="+secret, "AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull,
		"AWS_EC2_METADATA_DISABLED=true", "AWS_PAGER=", "QUICK="+quick, "HELD="+held, "ROLE="+role, "API_KEY="+apiKey)
}

// run runs a client and returns what it printed.
func (s server) run(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = s.environment(), &out, &errs
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	if err != nil {
		out.Write(errs.Bytes())
	}
	return out.String(), err
}

// mustRun runs a program that fails where the server does not answer as the program expects.
func (s server) mustRun(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := s.run(t, name, args...); err != nil {
		t.Errorf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// need fails the test when a client is not there; "go test" alone does not install it.
func need(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s\nThe client of this test is missing. Install it with: make deps", name, strings.Join(args, " "), err, out)
	}
}

func TestJavaScriptTellsTheSameStory(t *testing.T) {
	t.Parallel()
	need(t, "node", "--input-type=module", "-e", `import "@aws-sdk/client-bedrock"; import "@aws-sdk/client-s3"`)
	for _, profile := range []string{"default", "aws"} {
		if out, err := serve(t, profile).run(t, "node", "story.mjs"); err != nil {
			t.Errorf("profile %s: %v\n%s", profile, err, out)
		}
	}
}

func TestPythonTellsTheSameStory(t *testing.T) {
	t.Parallel()
	want(t, "boto3", "python3", "-c", boto3Knows)
	for _, profile := range []string{"default", "aws"} {
		if out, err := serve(t, profile).run(t, "python3", "story.py"); err != nil {
			t.Errorf("profile %s: %v\n%s", profile, err, out)
		}
	}
}

func TestTheDescriptionIsWhatBedrockPublishes(t *testing.T) {
	t.Parallel()
	want(t, "boto3 (with PyYAML)", "python3", "-c", "import yaml\n"+boto3Knows)
	(server{}).mustRun(t, "python3", "conform.py")
}

// TestTheCatalogueIsWhatBedrockPublishes reads the catalogue with boto3 and checks every value against the service model: also that of models
// with long names, with names that are not Amazon's, and of those that make embeddings.
func TestTheCatalogueIsWhatBedrockPublishes(t *testing.T) {
	t.Parallel()
	want(t, "boto3", "python3", "-c", boto3Knows)
	data := filepath.Join(t.TempDir(), "data")
	s := serveSettings(t, data, fmt.Appendf(nil, settings+`  - id: amazon.titan-embed-text-v2:0
    aliases: [global.amazon.titan-embed-text-v2:0, eu.amazon.titan-embed-text-v2:0]
    backends: [{url: %[3]s/quick/v1}]
  - id: meta.llama4-maverick-17b-instruct-with-a-very-long-name-v1:0
    backends: [{url: %[3]s/quick/v1}]
  - id: Qwen/Qwen2.5-VL-72B-Instruct-AWQ
    backends: [{url: %[3]s/quick/v1}]
  - {id: m, aliases: [us.m.2], family: nova, backends: [{url: %[3]s/quick/v1}]}
`, data, "default", backend(t)))
	s.mustRun(t, "python3", "catalogue.py")
}

// want skips the test when a client is not there, or does not know batch inference: boto3 and the AWS CLI come from a package index
// that not every machine reaches, and distributions ship older ones.
func want(t *testing.T, client string, command ...string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), command[0], command[1:]...).Output()
	if err != nil || !bytes.Contains(out, []byte("modelInvocationType")) {
		t.Skipf("%s is not here, or too old to know batch inference; make deps installs it where a package index can be reached", client)
	}
}

// boto3Knows prints what boto3 knows of a job.
const boto3Knows = `import boto3, botocore.session
print(list(botocore.session.get_session().get_service_model("bedrock").operation_model("CreateModelInvocationJob").input_shape.members))`

// shell is the AWS CLI against a server.
type shell struct {
	*testing.T
	server server
}

// aws runs a command of the CLI and decodes what it printed; empty when it printed nothing.
func (s shell) aws(args ...string) (v map[string]any) {
	s.Helper()
	out, err := s.server.run(s.T, "aws", args...)
	if err != nil {
		s.Fatalf("aws %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	if strings.HasPrefix(out, "{") {
		if err := json.Unmarshal([]byte(out), &v); err != nil {
			s.Fatalf("aws %s: %v in\n%s", strings.Join(args, " "), err, out)
		}
	}
	return v
}

func (s shell) refused(says string, args ...string) {
	s.Helper()
	if out, err := s.server.run(s.T, "aws", args...); err == nil || !strings.Contains(out, says) {
		s.Errorf("aws %s: %v, want %q in\n%s", strings.Join(args, " "), err, says, out)
	}
}

func (s shell) job(name, model string, more ...string) []string {
	return append([]string{"bedrock", "create-model-invocation-job", "--job-name", name, "--model-id", model, "--role-arn", role,
		"--input-data-config", "s3InputDataConfig={s3Uri=s3://cli-in/}", "--output-data-config", "s3OutputDataConfig={s3Uri=s3://cli-out/}"}, more...)
}

func (s shell) until(arn, status string) map[string]any {
	s.Helper()
	for deadline := time.Now().Add(patience); ; {
		job := s.aws("bedrock", "get-model-invocation-job", "--job-identifier", arn)
		if job["status"] == status {
			return job
		}
		if time.Now().After(deadline) {
			s.Fatalf("the job is %v and not %s: %v", job["status"], status, job["message"])
		}
	}
}

func TestTheCLITellsTheSameStory(t *testing.T) {
	t.Parallel()
	want(t, "the AWS CLI", "aws", "bedrock", "create-model-invocation-job", "--generate-cli-skeleton")
	s := shell{t, serve(t, "default")}
	file := filepath.Join(t.TempDir(), "in.jsonl")
	line := `{"recordId":"R0","modelInput":{"anthropic_version":"bedrock-2023-05-31","max_tokens":16,"messages":[{"role":"user","content":"?"}]}}` + "\n"
	if err := os.WriteFile(file, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	s.aws("s3", "mb", "s3://cli-in")
	s.aws("s3", "mb", "s3://cli-out")
	s.aws("s3", "cp", "--quiet", file, "s3://cli-in/in.jsonl")

	arn, _ := s.aws(s.job("cli-quick", quick, "--tags", "key=team,value=cli", "--timeout-duration-in-hours", "48")...)["jobArn"].(string)
	job := s.until(arn, "Completed")
	if job["message"] != nil || job["modelId"] != foundation+quick || job["successRecordCount"] != 1.0 || job["timeoutDurationInHours"] != 48.0 {
		t.Errorf("%v", job)
	}
	_, id, _ := strings.Cut(arn, "/")
	if out, err := s.server.run(t, "aws", "s3", "cp", "s3://cli-out/"+id+"/in.jsonl.out", "-"); err != nil || !strings.Contains(out, "Good day.") {
		t.Errorf("%v: %s", err, out)
	}

	held1, _ := s.aws(s.job("cli-held", held, "--client-request-token", "cli-token")...)["jobArn"].(string)
	if again := s.aws(s.job("cli-held", held, "--client-request-token", "cli-token")...)["jobArn"]; again != held1 {
		t.Errorf("the same token made %v beside %s", again, held1)
	}
	s.refused("(ConflictException)", s.job("cli-held", held)...)
	s.refused("(ValidationException)", s.job("a b", held)...)
	s.refused("(ResourceNotFoundException)", "bedrock", "get-model-invocation-job", "--job-identifier", "zzzzzzzzzzzz")

	all := s.aws("bedrock", "list-model-invocation-jobs", "--page-size", "1", "--submit-time-after", "2026-01-01", "--sort-order", "Ascending")
	if jobs, _ := all["invocationJobSummaries"].([]any); len(jobs) != 2 {
		t.Errorf("%v", all)
	}
	some := s.aws("bedrock", "list-model-invocation-jobs", "--max-items", "1", "--status-equals", "Completed")
	if jobs, _ := some["invocationJobSummaries"].([]any); len(jobs) != 1 {
		t.Errorf("%v", some)
	}

	s.aws("bedrock", "tag-resource", "--resource-arn", arn, "--tags", "key=more,value=1")
	s.aws("bedrock", "untag-resource", "--resource-arn", arn, "--tag-keys", "team")
	tags, _ := json.Marshal(s.aws("bedrock", "list-tags-for-resource", "--resource-arn", arn))
	if string(tags) != `{"tags":[{"key":"more","value":"1"}]}` {
		t.Errorf("%s", tags)
	}

	s.aws("bedrock", "stop-model-invocation-job", "--job-identifier", held1)
	s.until(held1, "Stopped")
	s.refused("State was: Stopped", "bedrock", "stop-model-invocation-job", "--job-identifier", held1)
}
