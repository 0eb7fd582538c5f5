package cli

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awsbedrock "github.com/aws/aws-sdk-go-v2/service/bedrock"
	bedrocktypes "github.com/aws/aws-sdk-go-v2/service/bedrock/types"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"

	"github.com/batholith/batholith/internal/audit"
	"github.com/batholith/batholith/internal/config"
)

// TestCallsAndJobsShareTheTokensOfADay: a caller's interactive calls use the quota up. Then a call is throttled in every API, a new job is
// refused, and another principal goes on. Each call's tokens are in the audit log, those of a stream in a second line, also after a restart.
func TestCallsAndJobsShareTheTokensOfADay(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch {
		case r.Method == http.MethodGet:
			io.WriteString(w, `{"data":[{"id":"m"}]}`)
		case strings.Contains(string(body), `"stream":true`):
			io.WriteString(w, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"}}]}\n\ndata: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"+
				"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":30,\"completion_tokens\":20}}\n\ndata: [DONE]\n\n")
		default:
			io.WriteString(w, `{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":40,"completion_tokens":10}}`)
		}
	}))
	defer server.Close()
	dir := t.TempDir()
	settings := func() *config.Config {
		c := config.Default(config.ProfileDefault)
		c.Data, c.Listen, c.S3.Listen, c.Embedded = filepath.Join(dir, "data"), "127.0.0.1:0", "127.0.0.1:0", false
		for _, name := range []string{"alice", "bob"} {
			c.Credentials = append(c.Credentials, config.Credential{AccessKeyID: "AK" + name, SecretAccessKey: name + "-secret", Principal: name, Account: c.Account})
			c.APIKeys = append(c.APIKeys, config.APIKey{Key: name + "-bearer", Principal: name, Account: c.Account})
		}
		c.Models = []config.Model{{ID: "m", Family: "openai", Backends: []config.Backend{{URL: server.URL + "/v1", Model: "m"}}}}
		c.Audit.File, c.Limits.MaxTokensPerDay = filepath.Join(dir, "audit.log"), 100
		return c
	}
	region := settings().Region
	calls := func(at addresses, name string) *bedrockruntime.Client {
		return bedrockruntime.New(bedrockruntime.Options{Region: region, BaseEndpoint: &at.Bedrock, RetryMaxAttempts: 1, Credentials: credentials.NewStaticCredentialsProvider("AK"+name, name+"-secret", "")})
	}
	hello := []types.Message{{Role: types.ConversationRoleUser, Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: "Hello"}}}}
	converse := func(at addresses, name string) error {
		_, err := calls(at, name).Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: aws.String("m"), Messages: hello})
		return err
	}
	t.Run("first", func(t *testing.T) {
		at := startService(t, settings())
		if err := converse(at, "alice"); err != nil { // 50
			t.Fatal(err)
		}
		out, err := calls(at, "alice").ConverseStream(t.Context(), &bedrockruntime.ConverseStreamInput{ModelId: aws.String("m"), Messages: hello}) // 100
		if err != nil {
			t.Fatal(err)
		}
		for range out.GetStream().Events() { // to its end
		}
		if err := out.GetStream().Err(); err != nil {
			t.Error(err)
		}
	})
	at := startService(t, settings())
	var throttled *types.ThrottlingException
	if err := converse(at, "alice"); !errors.As(err, &throttled) || !strings.Contains(err.Error(), "alice has used 100 tokens today") {
		t.Errorf("after a restart: %v", err)
	}
	for path, want := range map[string]string{"/openai/v1/chat/completions": "rate_limit_exceeded", "/anthropic/v1/messages": "rate_limit_error"} {
		for _, name := range []string{"alice", "bob"} {
			r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, at.Bedrock+path, strings.NewReader(`{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"Hello"}]}`))
			r.Header.Set("Authorization", "Bearer "+name+"-bearer")
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if refused := name == "alice"; refused != (resp.StatusCode == 429) || refused && !strings.Contains(string(body), want) {
				t.Errorf("%s of %s: %d %s", path, name, resp.StatusCode, body)
			}
		}
	}
	api := awsbedrock.New(awsbedrock.Options{Region: region, BaseEndpoint: &at.Bedrock, RetryMaxAttempts: 1, Credentials: credentials.NewStaticCredentialsProvider("AKalice", "alice-secret", "")})
	_, err := api.CreateModelInvocationJob(t.Context(), &awsbedrock.CreateModelInvocationJobInput{JobName: aws.String("j"), ModelId: aws.String("m"), RoleArn: aws.String(settings().DefaultRole()),
		InputDataConfig:  &bedrocktypes.ModelInvocationJobInputDataConfigMemberS3InputDataConfig{Value: bedrocktypes.ModelInvocationJobS3InputDataConfig{S3Uri: aws.String("s3://batholith/in/")}},
		OutputDataConfig: &bedrocktypes.ModelInvocationJobOutputDataConfigMemberS3OutputDataConfig{Value: bedrocktypes.ModelInvocationJobS3OutputDataConfig{S3Uri: aws.String("s3://batholith/out/")}}})
	var full *bedrocktypes.ServiceQuotaExceededException
	if !errors.As(err, &full) || !strings.Contains(err.Error(), "have used 100 tokens") {
		t.Errorf("a job: %v", err)
	}
	lines := 0
	for e := range usageLines(t, filepath.Join(dir, "audit.log")) {
		want := audit.Usage{Model: "m", InputTokens: 40, OutputTokens: 10}
		if e.Action == "bedrock:ConverseStream" {
			want.InputTokens, want.OutputTokens = 30, 20
		}
		if lines++; *e.Usage != want || e.Principal == "" || e.Request == "" || (e.Event == "end") != (e.Action == "bedrock:ConverseStream") {
			t.Errorf("%+v with %+v", e, e.Usage)
		}
	}
	if lines != 4 {
		t.Errorf("%d lines with usage", lines)
	}
}

// usageLines yields the lines of an audit log that have a usage.
func usageLines(t *testing.T, file string) func(yield func(audit.Entry) bool) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	return func(yield func(audit.Entry) bool) {
		defer f.Close()
		for in := bufio.NewScanner(f); in.Scan(); {
			var e audit.Entry
			if err := json.Unmarshal(in.Bytes(), &e); err != nil {
				t.Error(err)
			}
			if e.Usage != nil && !yield(e) {
				return
			}
		}
	}
}
