package sdk_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// OpenAI's library runs batches through both paths, and "batholith verify" finds that the outputs are whole.
func TestBatchesOfOpenAIsLibrary(t *testing.T) {
	need(t, "node", "--input-type=module", "-e", `import "openai"`)
	dir := t.TempDir()
	data, policy := filepath.Join(dir, "data"), filepath.Join(dir, "policy.cedar")
	text := `permit(principal, action, resource);
forbid(principal, action in [Action::"s3:GetObject", Action::"s3:PutObject", Action::"s3:ListBucket", Action::"s3:DeleteObject"], resource) when { principal.name == "other" };`
	if err := os.WriteFile(policy, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	yaml := fmt.Sprintf(settings, data, "default", backend(t))
	yaml = strings.Replace(yaml, "  - {key: bedrock-test-key, principal: admin}\n", "  - {key: bedrock-test-key, principal: admin}\n  - {key: other-test-key, principal: other}\n", 1)
	yaml += "policy: " + policy + "\n"
	s := serveSettings(t, data, []byte(yaml))
	objects := s3.New(s3.Options{BaseEndpoint: &s.S3, UsePathStyle: true, Region: region, Credentials: credentials.NewStaticCredentialsProvider(keyID, secret, "")})
	body := ""
	for _, line := range []string{`"messages":[{"role":"user","content":"Hi"}]`, `"messages":3`} {
		body += fmt.Sprintf(`{"custom_id":"r","method":"POST","url":"/v1/chat/completions","body":{%s}}`+"\n", line)
	}
	if _, err := objects.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("batholith"), Key: aws.String("in/day.jsonl"), Body: strings.NewReader(body)}); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "batches.mjs")
	cmd.Env = append(os.Environ(), "BATHOLITH="+s.Bedrock, "KEY="+apiKey, "OTHER_KEY=other-test-key", "INPUT=s3://batholith/in/day.jsonl", "QUICK="+quick, "HELD="+held)
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	cmd = exec.CommandContext(t.Context(), "node", "--input-type=module", "-e", documented(t, dir))
	cmd.Env = append(os.Environ(), "OPENAI_BASE_URL="+s.Bedrock+"/openai/v1", "OPENAI_API_KEY="+apiKey)
	if said, err := cmd.CombinedOutput(); err != nil || !strings.HasPrefix(string(said), `{"id":"batch_req_`) || !strings.Contains(string(said), `"custom_id":"1"`) {
		t.Errorf("the program of docs/openai.md: %v\n%s", err, said)
	}
	env := append(os.Environ(), "AWS_ENDPOINT_URL_BEDROCK="+s.Bedrock, "AWS_ENDPOINT_URL_S3="+s.S3, "AWS_ACCESS_KEY_ID="+keyID, "AWS_SECRET_ACCESS_KEY="+secret, "AWS_REGION="+region)
	run := func(args ...string) string {
		cmd := exec.CommandContext(t.Context(), binary, args...)
		cmd.Env = env
		said, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("batholith %s: %v\n%s", strings.Join(args, " "), err, said)
		}
		return string(said)
	}
	listed := run("jobs", "--status", "Completed") + run("jobs", "--status", "Stopped")
	verified := 0
	for line := range strings.Lines(listed) {
		if id, rest, _ := strings.Cut(strings.TrimSpace(line), " "); len(id) == 12 && strings.Contains(rest, "openai-") {
			run("verify", id)
			verified++
		}
	}
	if verified != 10 {
		t.Errorf("%d jobs were verified, in:\n%s", verified, listed)
	}
}

// documented returns the program of docs/openai.md. It reads the documented input from a folder.
func documented(t *testing.T, dir string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/openai.md")
	if err != nil {
		t.Fatal(err)
	}
	program, input := "", ""
	for line := range strings.Lines(string(text)) {
		code, is := strings.CutPrefix(line, "    ")
		switch {
		case is && strings.HasPrefix(code, `{"custom_id"`) && strings.Contains(code, `"url":"/v1/chat/completions"`):
			input += code
		case is && (strings.HasPrefix(code, "import fs") || program != "" && !strings.Contains(program, "console.log")):
			program += code
		}
	}
	path := filepath.Join(dir, "day.jsonl")
	if err := os.WriteFile(path, []byte(input), 0o600); err != nil {
		t.Fatal(err)
	}
	return strings.Replace(program, `"day.jsonl"`, fmt.Sprintf("%q", path), 1)
}
