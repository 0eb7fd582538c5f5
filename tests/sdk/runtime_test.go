package sdk_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/document"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/auth/bearer"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Models of the runtime's stories.
const (
	claude = "anthropic.claude-sonnet-4-20250514-v1:0"
	nova   = "amazon.nova-lite-v1:0"
	llama  = "meta.llama3-1-8b-instruct-v1:0"
	titan  = "amazon.titan-embed-text-v2:0"
	away   = "mistral.away-v1:0" // its server is not there
)

const runtimeSettings = `
data: %s
listen: 127.0.0.1:0
s3: {listen: "127.0.0.1:0"}
credentials:
  - {access_key_id: AKTEST, secret_access_key: testsecret, principal: admin}
  - {access_key_id: AKOTHER, secret_access_key: othersecret, principal: other}
api_keys:
  - {key: bedrock-test-key, principal: admin}
policy: %s
models:
  - {id: "anthropic.claude-sonnet-4-20250514-v1:0", aliases: [sonnet, "us.anthropic.claude-sonnet-4-20250514-v1:0"], backends: [{url: %[3]s/v1, model: chat}]}
  - {id: "amazon.nova-lite-v1:0", backends: [{url: %[3]s/v1, model: chat}]}
  - {id: "meta.llama3-1-8b-instruct-v1:0", backends: [{url: %[3]s/v1, model: chat}]}
  - {id: "amazon.titan-embed-text-v2:0", backends: [{url: %[3]s/v1, model: chat}]}
  - {id: "mistral.away-v1:0", backends: [{url: "http://127.0.0.1:1/v1", model: chat}]}
`

// serveRuntime starts a server whose model answers by what it is asked (see chats). The principal other may not use Nova.
func serveRuntime(t *testing.T) server {
	t.Helper()
	dir := t.TempDir()
	policy := filepath.Join(dir, "policy.cedar")
	text := `permit(principal, action, resource);
forbid(principal, action == Action::"s3:GetObject", resource) when { principal.name == "other" };
forbid(principal, action in [Action::"bedrock:InvokeModel", Action::"bedrock:CountTokens"], resource == Model::"amazon.nova-lite-v1:0") when { principal.name == "other" };`
	if err := os.WriteFile(policy, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "data")
	return serveSettings(t, data, fmt.Appendf(nil, runtimeSettings, data, policy, chats(t)))
}

// The objects that calls name.
const (
	callPhoto = "\x89PNG\r\n\x1a\nphoto"
	callNote  = "the text of a note"
)

// chats is a model server: it says what it sees if the photo and the note are in the request, calls a tool if it is offered one, fails with
// the status after "fail:", and says "Good day." otherwise.
func chats(t *testing.T) string {
	mux := http.NewServeMux()
	fails := func(w http.ResponseWriter, body []byte) bool {
		_, after, ok := bytes.Cut(body, []byte("fail:"))
		if !ok {
			return false
		}
		var status int
		fmt.Sscan(string(after[:3]), &status)
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"error":{"message":"the server's words about %d"}}`, status)
		return true
	}
	const usage = `"usage":{"prompt_tokens":5,"completion_tokens":3,"total_tokens":8}`
	mux.HandleFunc("POST /v1/chat/completions", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch {
		case fails(w, body):
		case bytes.Contains(body, []byte(base64.StdEncoding.EncodeToString([]byte(callPhoto)))) && bytes.Contains(body, []byte(callNote)):
			io.WriteString(w, `{"id":"1","model":"m","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"I see both."}}],`+usage+`}`)
		case bytes.Contains(body, []byte(`"tools"`)):
			io.WriteString(w, `{"id":"1","model":"m","choices":[{"index":0,"finish_reason":"tool_calls","message":{"role":"assistant","content":null,
				"tool_calls":[{"id":"call-1","type":"function","function":{"name":"weather","arguments":"{\"city\":\"Bern\"}"}}]}}],`+usage+`}`)
		default:
			io.WriteString(w, `{"id":"1","model":"m","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"Good day."}}],`+usage+`}`)
		}
	})
	mux.HandleFunc("POST /v1/completions", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, `{"id":"1","model":"m","choices":[{"index":0,"finish_reason":"stop","text":"Good day."}],`+usage+`}`)
	})
	mux.HandleFunc("POST /v1/embeddings", func(w http.ResponseWriter, r *http.Request) {
		numbers := strings.TrimSuffix(strings.Repeat("0.5,", 1024), ",")
		io.WriteString(w, `{"object":"list","data":[{"index":0,"embedding":[`+numbers+`]}],"usage":{"prompt_tokens":2,"total_tokens":2}}`)
	})
	mux.HandleFunc("POST /tokenize", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, `{"count":17,"max_model_len":4096}`) })
	mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, `{"data":[{"id":"chat"}]}`) })
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL
}

// runtimeOf is the SDK for Go's client of a server's runtime.
func runtimeOf(s server, set ...func(*bedrockruntime.Options)) *bedrockruntime.Client {
	return bedrockruntime.New(bedrockruntime.Options{Region: region, BaseEndpoint: &s.Bedrock, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(keyID, secret, "")}, set...)
}

// TestGoCallsModelsWithObjects: a call names an image and a document in the S3, which its sender may read, by Converse, its stream and
// InvokeModel. Another sender, a missing object and another account's bucket are refused as AWS refuses them.
func TestGoCallsModelsWithObjects(t *testing.T) {
	t.Parallel()
	s := serveRuntime(t)
	ctx := t.Context()
	putObjects(t, s)
	talk := func(image string) []types.Message {
		return []types.Message{{Role: types.ConversationRoleUser, Content: []types.ContentBlock{
			&types.ContentBlockMemberImage{Value: types.ImageBlock{Format: types.ImageFormatPng, Source: &types.ImageSourceMemberS3Location{Value: types.S3Location{Uri: &image}}}},
			&types.ContentBlockMemberDocument{Value: types.DocumentBlock{Format: types.DocumentFormatTxt, Name: aws.String("note"),
				Source: &types.DocumentSourceMemberS3Location{Value: types.S3Location{Uri: aws.String("s3://batholith/calls/note.txt"), BucketOwner: aws.String("000000000000")}}}},
			&types.ContentBlockMemberText{Value: "What do you see?"}}}}
	}
	const image = "s3://batholith/calls/photo.png"
	secure := (&story{T: t, server: s}).behindTLS() // the SDK for Go sends a bearer key with TLS only
	for name, c := range map[string]*bedrockruntime.Client{"its key": runtimeOf(s), "a bearer key": bedrockruntime.New(bedrockruntime.Options{Region: region,
		BaseEndpoint: &secure.URL, HTTPClient: secure.Client(), RetryMaxAttempts: 1, AuthSchemePreference: []string{"httpBearerAuth"},
		BearerAuthTokenProvider: bearer.StaticTokenProvider{Token: bearer.Token{Value: apiKey}}})} {
		out, err := c.Converse(ctx, &bedrockruntime.ConverseInput{ModelId: aws.String(claude), Messages: talk(image)})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if text, ok := out.Output.(*types.ConverseOutputMemberMessage).Value.Content[0].(*types.ContentBlockMemberText); !ok || text.Value != "I see both." {
			t.Errorf("%s: %+v", name, out.Output)
		}
	}
	c := runtimeOf(s)
	body := `{"messages":[{"role":"user","content":[{"image":{"format":"png","source":{"s3Location":{"uri":"` + image + `"}}}},{"document":{"format":"txt","name":"n","source":{"s3Location":{"uri":"s3://batholith/calls/note.txt"}}}}]}]}`
	if out, err := c.InvokeModel(ctx, &bedrockruntime.InvokeModelInput{ModelId: aws.String(nova), Body: []byte(body)}); err != nil || !strings.Contains(string(out.Body), "I see both.") {
		t.Errorf("InvokeModel: %v", err)
	}
	var denied *types.AccessDeniedException
	var validation *types.ValidationException
	other := runtimeOf(s, func(o *bedrockruntime.Options) {
		o.Credentials = credentials.NewStaticCredentialsProvider("AKOTHER", "othersecret", "")
	})
	if _, err := other.Converse(ctx, &bedrockruntime.ConverseInput{ModelId: aws.String(claude), Messages: talk(image)}); !errors.As(err, &denied) || !strings.Contains(err.Error(), "s3:GetObject") {
		t.Errorf("without the right: %v", err)
	}
	for uri, want := range map[string]string{"s3://batholith/calls/none.png": "there is no object", "s3://none-such/a.png": "there is no bucket", "https://example.com/a.png": "not an S3 URI"} {
		if _, err := c.Converse(ctx, &bedrockruntime.ConverseInput{ModelId: aws.String(claude), Messages: talk(uri)}); !errors.As(err, &validation) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", uri, err)
		}
	}
	if _, err := c.ConverseStream(ctx, &bedrockruntime.ConverseStreamInput{ModelId: aws.String(claude), Messages: talk("s3://batholith/calls/none.png")}); !errors.As(err, &validation) {
		t.Errorf("a stream: %v", err)
	}
}

// putObjects stores the objects that calls name.
func putObjects(t *testing.T, s server) {
	t.Helper()
	store := s3.New(s3.Options{Region: region, BaseEndpoint: &s.S3, UsePathStyle: true, Credentials: credentials.NewStaticCredentialsProvider(keyID, secret, "")})
	for key, text := range map[string]string{"calls/photo.png": callPhoto, "calls/note.txt": callNote} {
		if _, err := store.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("batholith"), Key: &key, Body: strings.NewReader(text)}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestGoCallsModels(t *testing.T) {
	t.Parallel()
	s := serveRuntime(t)
	c := runtimeOf(s)
	ctx := t.Context()
	invoke := func(c *bedrockruntime.Client, model, body string) (string, *bedrockruntime.InvokeModelOutput, error) {
		out, err := c.InvokeModel(ctx, &bedrockruntime.InvokeModelInput{ModelId: &model, Body: []byte(body), ServiceTier: types.ServiceTierTypePriority})
		if err != nil {
			return "", nil, err
		}
		return string(out.Body), out, nil
	}
	const messages = `"messages":[{"role":"user","content":[{"type":"text","text":"Hello"}]}]`
	const claudeBody = `{"anthropic_version":"bedrock-2023-05-31","max_tokens":20,` + messages + `}`
	for _, b := range []struct{ model, body, want string }{
		{claude, claudeBody, `"content":[{"type":"text","text":"Good day."}]`},
		{"sonnet", claudeBody, `"type":"message"`},
		{"us." + claude, claudeBody, `"stop_reason":"end_turn"`},
		{"arn:aws:bedrock:us-east-1::foundation-model/" + claude, claudeBody, `"input_tokens":5`},
		{"arn:aws:bedrock:us-east-1:000000000000:inference-profile/us." + claude, claudeBody, `"output_tokens":3`},
		{nova, `{"messages":[{"role":"user","content":[{"text":"Hello"}]}]}`, `"output":{"message":`},
		{llama, `{"prompt":"Hello"}`, `"generation":"Good day."`},
		{titan, `{"inputText":"Hello"}`, `"inputTextTokenCount":2`},
	} {
		got, out, err := invoke(c, b.model, b.body)
		if err != nil || !strings.Contains(got, b.want) || aws.ToString(out.ContentType) != "application/json" || out.ServiceTier != types.ServiceTierTypeDefault {
			t.Errorf("%s: %v %s", b.model, err, got)
			continue
		}
		h := http.Header{}
		if raw, ok := middleware.GetRawResponse(out.ResultMetadata).(*smithyhttp.Response); ok {
			h = raw.Header
		}
		if h.Get("X-Amzn-Bedrock-Input-Token-Count") == "" || h.Get("X-Amzn-Bedrock-Invocation-Latency") == "" || h.Get("x-amzn-RequestId") == "" {
			t.Errorf("%s: headers %v", b.model, h)
		}
	}

	secure := (&story{T: t, server: s}).behindTLS()
	byBearer := bedrockruntime.New(bedrockruntime.Options{Region: region, BaseEndpoint: &secure.URL, HTTPClient: secure.Client(), RetryMaxAttempts: 1,
		AuthSchemePreference: []string{"httpBearerAuth"}, BearerAuthTokenProvider: bearer.StaticTokenProvider{Token: bearer.Token{Value: apiKey}}})
	if got, _, err := invoke(byBearer, claude, claudeBody); err != nil || !strings.Contains(got, "Good day.") {
		t.Errorf("with a bearer key: %v %s", err, got)
	}

	talk := func(text string) *bedrockruntime.ConverseInput {
		return &bedrockruntime.ConverseInput{ModelId: aws.String(claude),
			Messages: []types.Message{{Role: types.ConversationRoleUser, Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: text}}}}}
	}
	in := talk("How is the weather?")
	in.ToolConfig = &types.ToolConfiguration{Tools: []types.Tool{&types.ToolMemberToolSpec{Value: types.ToolSpecification{Name: aws.String("weather"),
		InputSchema: &types.ToolInputSchemaMemberJson{Value: document.NewLazyDocument(map[string]any{"type": "object"})}}}}}
	out, err := c.Converse(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	message := out.Output.(*types.ConverseOutputMemberMessage).Value
	use, ok := message.Content[0].(*types.ContentBlockMemberToolUse)
	if !ok || out.StopReason != types.StopReasonToolUse || aws.ToInt32(out.Usage.TotalTokens) != 8 || out.Metrics == nil {
		t.Fatalf("%+v", out)
	}
	var city struct {
		City string `document:"city"`
	}
	if err := use.Value.Input.UnmarshalSmithyDocument(&city); err != nil || city.City != "Bern" {
		t.Errorf("%v %+v", err, city)
	}

	count, err := c.CountTokens(ctx, &bedrockruntime.CountTokensInput{ModelId: aws.String(claude), Input: &types.CountTokensInputMemberInvokeModel{
		Value: types.InvokeModelTokensRequest{Body: []byte(claudeBody)}}})
	if err != nil || aws.ToInt32(count.InputTokens) != 17 {
		t.Errorf("%v %+v", err, count)
	}

	var (
		validation *types.ValidationException
		denied     *types.AccessDeniedException
		missing    *types.ResourceNotFoundException
		throttled  *types.ThrottlingException
		failed     *types.ModelErrorException
		timeout    *types.ModelTimeoutException
		notReady   *types.ModelNotReadyException
	)
	converse := func(text string) error { _, err := c.Converse(ctx, talk(text)); return err }
	if err := converse("fail:400"); !errors.As(err, &validation) || !strings.Contains(err.Error(), "the server's words") {
		t.Errorf("400: %v", err)
	}
	if err := converse("fail:500"); !errors.As(err, &failed) || aws.ToInt32(failed.OriginalStatusCode) != 500 || !strings.HasSuffix(aws.ToString(failed.ResourceName), claude) {
		t.Errorf("500: %v", err)
	}
	if err := converse("fail:504"); !errors.As(err, &timeout) {
		t.Errorf("504: %v", err)
	}
	if err := converse("fail:429"); !errors.As(err, &throttled) {
		t.Errorf("429: %v", err)
	}
	if _, _, err := invoke(c, away, `{"prompt":"x"}`); !errors.As(err, &notReady) {
		t.Errorf("a server that is away: %v", err)
	}
	if _, _, err := invoke(c, "no.such-model", `{}`); !errors.As(err, &missing) {
		t.Errorf("no such model: %v", err)
	}
	if _, _, err := invoke(c, claude, `{"max_tokens":"many"}`); !errors.As(err, &validation) {
		t.Errorf("a wrong body: %v", err)
	}
	other := runtimeOf(s, func(o *bedrockruntime.Options) {
		o.Credentials = credentials.NewStaticCredentialsProvider("AKOTHER", "othersecret", "")
	})
	if _, _, err := invoke(other, nova, `{}`); !errors.As(err, &denied) {
		t.Errorf("a policy forbids it: %v", err)
	}
	_, err = c.ApplyGuardrail(ctx, &bedrockruntime.ApplyGuardrailInput{GuardrailIdentifier: aws.String("abcdefghijkl"), GuardrailVersion: aws.String("1"),
		Source: types.GuardrailContentSourceInput, Content: []types.GuardrailContentBlock{}})
	if !errors.As(err, &validation) || !strings.Contains(err.Error(), "no guardrails") {
		t.Errorf("ApplyGuardrail: %v", err)
	}
	if _, err := c.ListAsyncInvokes(ctx, &bedrockruntime.ListAsyncInvokesInput{}); !errors.As(err, &validation) || !strings.Contains(err.Error(), "batch job") {
		t.Errorf("ListAsyncInvokes: %v", err)
	}

	wrong := runtimeOf(s, func(o *bedrockruntime.Options) {
		o.Credentials = credentials.NewStaticCredentialsProvider(keyID, "wrong", "")
	})
	var api smithy.APIError
	if _, _, err := invoke(wrong, claude, claudeBody); !errors.As(err, &api) || api.ErrorCode() != "InvalidSignatureException" {
		t.Errorf("a wrong secret: %v", err)
	}
}

// A body of up to 25,000,000 bytes is taken from a client whose first request it is.
func TestTheFirstRequestOfAClientMayBeLarge(t *testing.T) {
	t.Parallel()
	s := serveRuntime(t)
	long, err := json.Marshal(strings.Repeat("word ", 3_000_000))
	if err != nil {
		t.Fatal(err)
	}
	out, err := runtimeOf(s).InvokeModel(t.Context(), &bedrockruntime.InvokeModelInput{ModelId: aws.String(claude),
		Body: fmt.Appendf(nil, `{"anthropic_version":"bedrock-2023-05-31","max_tokens":20,"messages":[{"role":"user","content":%s}]}`, long)})
	if err != nil || !strings.Contains(string(out.Body), "Good day.") {
		t.Errorf("%v", err)
	}
}

func TestJavaScriptCallsModels(t *testing.T) {
	t.Parallel()
	need(t, "node", "--input-type=module", "-e", `import "@aws-sdk/client-bedrock-runtime"`)
	serveRuntime(t).mustRun(t, "node", "runtime.mjs")
}

func TestPythonCallsModels(t *testing.T) {
	t.Parallel()
	want(t, "boto3", "python3", "-c", boto3Knows)
	serveRuntime(t).mustRun(t, "python3", "runtime.py")
}

func TestTheCLICallsModels(t *testing.T) {
	t.Parallel()
	want(t, "the AWS CLI", "aws", "bedrock", "create-model-invocation-job", "--generate-cli-skeleton")
	s := shell{t, serveRuntime(t)}
	out := s.aws("bedrock-runtime", "converse", "--model-id", claude, "--messages", `[{"role":"user","content":[{"text":"Hello"}]}]`, "--inference-config", "maxTokens=20")
	if text, _ := json.Marshal(out["output"]); out["stopReason"] != "end_turn" || !strings.Contains(string(text), "Good day.") {
		t.Errorf("%v", out)
	}
	file := filepath.Join(t.TempDir(), "out.json")
	body := filepath.Join(t.TempDir(), "body.json")
	if err := os.WriteFile(body, []byte(`{"prompt":"Hello"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	s.aws("bedrock-runtime", "invoke-model", "--model-id", llama, "--body", "fileb://"+body, file)
	if got, err := os.ReadFile(file); err != nil || !strings.Contains(string(got), `"generation":"Good day."`) {
		t.Errorf("%v %s", err, got)
	}
	s.refused("(ResourceNotFoundException)", "bedrock-runtime", "converse", "--model-id", "no.such-model", "--messages", `[{"role":"user","content":[{"text":"Hello"}]}]`)
}
