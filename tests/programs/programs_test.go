// Package programs_test has programs that people use with Bedrock's batch inference work with the built binary: one server for all of them.
// A program that can be installed here runs as it comes. Of the others, the requests that they send and what they read of the answers
// are played, in our own words.
package programs_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/bedrock/types"

	"github.com/batholith/batholith/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

const (
	quick      = "anthropic.claude-3-haiku-20240307-v1:0" // answers at once
	profile    = "us." + quick
	held       = "anthropic.claude-3-opus-20240229-v1:0" // never answers while the test runs
	foundation = "arn:aws:bedrock:us-east-1::foundation-model/"
	role       = "arn:aws:iam::000000000000:role/service-role/made-by-the-program"
	region     = "us-east-1"
)

// patience is how long anything may take that takes a fraction of a second on an idle machine.
const patience = 2 * time.Minute

// Every program gets what it reads, and takes nothing for a failure that is none.
func TestProgramsInUseWork(t *testing.T) {
	over, end := context.WithCancel(t.Context())
	models := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/held/") && r.Method == http.MethodPost {
			_, _ = io.Copy(io.Discard, r.Body) // or the server would not see the client go
			select {
			case <-over.Done():
			case <-r.Context().Done():
			}
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"id":"1","object":"chat.completion","model":"m","choices":[{"index":0,"finish_reason":"stop",
			"message":{"role":"assistant","content":"Good day."}}],"usage":{"prompt_tokens":5,"completion_tokens":3,"total_tokens":8}}`)
	}))
	t.Cleanup(models.Close)
	t.Cleanup(end)
	s := &site{harness.Start(t, fmt.Sprintf(`
roles: [{arn: "arn:aws:iam::000000000000:role/*"}]
models:
  - {id: %q, aliases: [%q], backends: [{url: "%s/quick/v1", protocol: openai, model: m}]}
  - {id: %q, backends: [{url: "%[3]s/held/v1", protocol: openai, model: m}]}
`, quick, profile, models.URL, held), "--drain", "100ms")}
	s.Put("in/records.jsonl", records(3))
	t.Run("Terraform", s.terraform)
	t.Run("LiteLLM", s.litellm)
	t.Run("Airflow", s.airflow)
	t.Run("Portkey", s.portkey)
}

// site is the server.
type site struct{ *harness.Server }

// records are n lines of Claude's bodies.
func records(n int) []byte {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"recordId":"R%d","modelInput":{"anthropic_version":"bedrock-2023-05-31","max_tokens":16,"messages":[{"role":"user","content":"%d?"}]}}`+"\n", i, i)
	}
	return []byte(b.String())
}

// request is a job of one input.
func (s *site) request(name, model, input string) *bedrock.CreateModelInvocationJobInput {
	in := s.Request(input)
	in.JobName, in.ModelId, in.RoleArn = aws.String(name), aws.String(model), aws.String(role)
	return in
}

// until asks a program again and again until it says that it is done.
func until(t *testing.T, done func() bool) {
	t.Helper()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	late := time.After(patience)
	for !done() {
		select {
		case <-again.C:
		case <-late:
			t.Fatalf("not done after %s", patience)
		}
	}
}

// decoded reads JSON.
func decoded(t *testing.T, b []byte) (v map[string]any) {
	t.Helper()
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatalf("%v in %s", err, b)
	}
	return v
}

// at walks into decoded JSON by names.
func at(v any, path ...string) any {
	for _, name := range path {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	return v
}

var stopped = types.ModelInvocationJobStatusStopped
