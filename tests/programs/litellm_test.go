package programs_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// litellm plays LiteLLM, which signs its requests itself: a PUT of the input whose last line has no end, a POST without a token, and GETs with
// the ARN as one escaped segment and an empty payload. It takes a message for an error and guesses where the output is.
func (s *site) litellm(t *testing.T) {
	const key = "litellm-bedrock-files-anthropic.claude-3-haiku-20240307-v1-0-5f1c6f2e-1111-4222-8333-944455556666.jsonl"
	status, answer := s.signed(t, http.MethodPut, "s3", s.At.S3+"/batholith/"+key, bytes.TrimSuffix(records(3), []byte("\n")))
	if status != http.StatusOK {
		t.Fatalf("PUT: %d %s", status, answer)
	}
	body, err := json.Marshal(map[string]any{"modelId": quick, "jobName": "litellm-batch-266c398e", "roleArn": role, "timeoutDurationInHours": 24,
		"inputDataConfig":  map[string]any{"s3InputDataConfig": map[string]any{"s3Uri": "s3://batholith/" + key}},
		"outputDataConfig": map[string]any{"s3OutputDataConfig": map[string]any{"s3Uri": "s3://batholith/litellm-batch-outputs/litellm-batch-266c398e/"}}})
	if err != nil {
		t.Fatal(err)
	}
	status, answer = s.signed(t, http.MethodPost, "bedrock", s.At.Bedrock+"/model-invocation-job", body)
	arn, _ := at(decoded(t, answer), "jobArn").(string)
	if status != http.StatusOK || !strings.HasPrefix(arn, "arn:aws:bedrock:"+region+":") {
		t.Fatalf("POST: %d %s", status, answer)
	}
	escaped := strings.NewReplacer(":", "%3A", "/", "%2F").Replace(arn)
	states := map[string]string{"Submitted": "validating", "Validating": "validating", "Scheduled": "in_progress", "InProgress": "in_progress", "Completed": "completed"}
	var job map[string]any
	until(t, func() bool {
		status, answer := s.signed(t, http.MethodGet, "bedrock", s.At.Bedrock+"/model-invocation-job/"+escaped, nil)
		if job = decoded(t, answer); status != http.StatusOK || job["message"] != nil {
			t.Fatalf("GET: %d %s: a message is an error of the batch", status, answer)
		}
		state := states[at(job, "status").(string)]
		if state == "" {
			t.Fatalf("the batch is %v", job["status"])
		}
		return state == "completed"
	})
	for _, name := range []string{"submitTime", "lastModifiedTime", "endTime", "jobExpirationTime"} {
		if text, _ := job[name].(string); !isoTime(text) {
			t.Errorf("%s is %v", name, job[name])
		}
	}
	for _, name := range []string{"jobName", "clientRequestToken", "modelId", "roleArn"} { // metadata of a batch: texts alone
		if text, ok := job[name].(string); job[name] != nil && (!ok || text == "") {
			t.Errorf("%s is %v", name, job[name])
		}
	}
	if job["modelId"] != foundation+quick || strings.Contains(job["modelId"].(string), "embed") {
		t.Errorf("the model is %v", job["modelId"])
	}
	// The output is guessed: the prefix, the job's id, and the last part of the input with .out.
	prefix, _ := at(job, "outputDataConfig", "s3OutputDataConfig", "s3Uri").(string)
	input, _ := at(job, "inputDataConfig", "s3InputDataConfig", "s3Uri").(string)
	guess := strings.TrimSuffix(strings.TrimPrefix(prefix, "s3://"), "/") + "/" + arn[strings.LastIndexByte(arn, '/')+1:] + input[strings.LastIndexByte(input, '/'):] + ".out"
	status, answer = s.signed(t, http.MethodGet, "s3", s.At.S3+"/"+guess, nil)
	if lines := strings.Count(string(answer), "Good day."); status != http.StatusOK || lines != 3 {
		t.Errorf("GET %s: %d, %d answers in %s", guess, status, lines, answer)
	}
}

// signed sends a request with a signature of its own, and returns the status and the body.
func (s *site) signed(t *testing.T, method, service, target string, body []byte) (int, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, target, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
	}
	sum := sha256.Sum256(body)
	if service == "s3" {
		r.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
	}
	err = v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: s.At.AccessKeyID, SecretAccessKey: s.At.SecretAccessKey}, r,
		hex.EncodeToString(sum[:]), service, region, time.Now(), func(o *v4.SignerOptions) { o.DisableURIPathEscaping = service == "s3" })
	if err != nil {
		t.Fatal(err)
	}
	return send(t, r)
}

// send sends a request and reads the answer.
func send(t *testing.T, r *http.Request) (status int, body []byte) {
	t.Helper()
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if body, err = io.ReadAll(answer.Body); err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, body
}

// isoTime tells whether Python's datetime.fromisoformat reads a text with Z as +00:00, in the versions that know no Z.
func isoTime(text string) bool {
	_, err := time.Parse("2006-01-02T15:04:05.000+00:00", strings.Replace(text, "Z", "+00:00", 1))
	return err == nil
}
