package sdk_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/document"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
)

const streamSettings = `
data: %s
listen: 127.0.0.1:0
s3: {listen: "127.0.0.1:0"}
credentials:
  - {access_key_id: AKTEST, secret_access_key: testsecret, principal: admin}
api_keys:
  - {key: bedrock-test-key, principal: admin}
models:
  - {id: "anthropic.claude-sonnet-4-20250514-v1:0", aliases: [sonnet], backends: [{url: %[2]s/v1, model: chat}]}
  - {id: "meta.llama3-1-8b-instruct-v1:0", backends: [{url: %[2]s/v1, model: chat}]}
`

// serveStreams starts a server whose model streams: see streams.
func serveStreams(t *testing.T) server {
	t.Helper()
	data := filepath.Join(t.TempDir(), "data")
	return serveSettings(t, data, fmt.Appendf(nil, streamSettings, data, streams(t)))
}

// streams is a model server that streams "Good day.", or calls a tool if it is offered one. What follows "end:" in the prompt says how its
// stream ends otherwise: reset, after two words; missing, with neither finish_reason nor [DONE]; error, with an error event; 429, at once.
func streams(t *testing.T) string {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/{path...}", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, end, _ := bytes.Cut(body, []byte("end:"))
		if bytes.HasPrefix(end, []byte("429")) {
			w.WriteHeader(http.StatusTooManyRequests)
			io.WriteString(w, `{"error":{"message":"the server's words"}}`)
			return
		}
		if !bytes.Contains(body, []byte(`"stream":true`)) {
			io.WriteString(w, `{"id":"1","model":"m","choices":[{"index":0,"finish_reason":"stop","text":"Good day.","message":{"role":"assistant","content":"Good day."}}],
				"usage":{"prompt_tokens":5,"completion_tokens":3,"total_tokens":8}}`)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		event := func(choice string) {
			fmt.Fprintf(w, "data: {\"id\":\"1\",\"created\":7,\"model\":\"m\",\"choices\":[%s]}\n\n", choice)
			w.(http.Flusher).Flush()
		}
		if bytes.Contains(body, []byte(`"tools"`)) {
			event(`{"index":0,"delta":{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"call-1","type":"function","function":{"name":"weather","arguments":""}}]}}`)
			event(`{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"city\":"}}]}}`)
			event(`{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"\"Bern\"}"}}]}}`)
			event(`{"index":0,"delta":{},"finish_reason":"tool_calls"}`)
			io.WriteString(w, "data: [DONE]\n\n")
			return
		}
		for _, word := range []string{"Good", " day", "."} {
			event(fmt.Sprintf(`{"index":0,"delta":{"content":%q},"text":%[1]q,"finish_reason":null}`, word))
		}
		switch {
		case bytes.HasPrefix(end, []byte("reset")):
			panic(http.ErrAbortHandler)
		case bytes.HasPrefix(end, []byte("missing")):
			return
		case bytes.HasPrefix(end, []byte("error")):
			io.WriteString(w, "data: {\"error\":{\"message\":\"the server's words\",\"code\":500}}\n\ndata: [DONE]\n\n")
			return
		}
		event(`{"index":0,"delta":{},"text":"","finish_reason":"stop"}`)
		io.WriteString(w, `data: {"id":"1","model":"m","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":3,"total_tokens":8}}`+"\n\ndata: [DONE]\n\n")
	})
	mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, `{"data":[{"id":"chat"}]}`) })
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL
}

// conversation reads a ConverseStream to its end.
func conversation(t *testing.T, c *bedrockruntime.Client, text string, tools *types.ToolConfiguration) (said, args string, stop types.StopReason, tokens int32, err error) {
	out, err := c.ConverseStream(t.Context(), &bedrockruntime.ConverseStreamInput{ModelId: aws.String(claude), ToolConfig: tools,
		Messages: []types.Message{{Role: types.ConversationRoleUser, Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: text}}}}})
	if err != nil {
		return "", "", "", 0, err
	}
	stream := out.GetStream()
	defer stream.Close()
	for e := range stream.Events() {
		switch e := e.(type) {
		case *types.ConverseStreamOutputMemberContentBlockDelta:
			switch d := e.Value.Delta.(type) {
			case *types.ContentBlockDeltaMemberText:
				said += d.Value
			case *types.ContentBlockDeltaMemberToolUse:
				args += aws.ToString(d.Value.Input)
			}
		case *types.ConverseStreamOutputMemberMessageStop:
			stop = e.Value.StopReason
		case *types.ConverseStreamOutputMemberMetadata:
			tokens = aws.ToInt32(e.Value.Usage.TotalTokens)
		}
	}
	return said, args, stop, tokens, stream.Err()
}

// TestGoReadsStreams to the end, and sees those that are cut off.
func TestGoReadsStreams(t *testing.T) {
	t.Parallel()
	c := runtimeOf(serveStreams(t))
	said, _, stop, tokens, err := conversation(t, c, "Hello", nil)
	if err != nil || said != "Good day." || stop != types.StopReasonEndTurn || tokens != 8 {
		t.Errorf("%q, %s, %d, %v", said, stop, tokens, err)
	}
	tools := &types.ToolConfiguration{Tools: []types.Tool{&types.ToolMemberToolSpec{Value: types.ToolSpecification{Name: aws.String("weather"),
		InputSchema: &types.ToolInputSchemaMemberJson{Value: document.NewLazyDocument(map[string]any{"type": "object"})}}}}}
	if _, args, stop, _, err := conversation(t, c, "Hello", tools); err != nil || args != `{"city":"Bern"}` || stop != types.StopReasonToolUse {
		t.Errorf("%s, %s, %v", args, stop, err)
	}
	var broken *types.ModelStreamErrorException
	for _, end := range []string{"reset", "missing", "error"} {
		if said, _, stop, _, err := conversation(t, c, "end:"+end, nil); !errors.As(err, &broken) || said != "Good day." || stop != "" {
			t.Errorf("%s: %q, %s, %v", end, said, stop, err)
		}
	}
	var throttled *types.ThrottlingException
	if _, _, _, _, err := conversation(t, c, "end:429", nil); !errors.As(err, &throttled) {
		t.Errorf("429: %v", err)
	}

	invoke := func(model, body string) (text string, last []byte, err error) {
		out, err := c.InvokeModelWithResponseStream(t.Context(), &bedrockruntime.InvokeModelWithResponseStreamInput{ModelId: &model, Body: []byte(body)})
		if err != nil {
			return "", nil, err
		}
		stream := out.GetStream()
		defer stream.Close()
		for e := range stream.Events() {
			last = e.(*types.ResponseStreamMemberChunk).Value.Bytes
			var v struct {
				Generation string
				Delta      struct{ Text string }
			}
			if err := json.Unmarshal(last, &v); err != nil {
				t.Errorf("%s: %v", last, err)
			}
			text += v.Generation + v.Delta.Text
		}
		return text, last, stream.Err()
	}
	const claudeBody = `{"anthropic_version":"bedrock-2023-05-31","max_tokens":20,"messages":[{"role":"user","content":"%s"}]}`
	for model, body := range map[string]string{claude: claudeBody, llama: `{"prompt":"%s"}`} {
		text, last, err := invoke(model, fmt.Sprintf(body, "Hello"))
		if err != nil || text != "Good day." || !strings.Contains(string(last), `"amazon-bedrock-invocationMetrics":{"inputTokenCount":5,"outputTokenCount":3,`) {
			t.Errorf("%s: %q, %s, %v", model, text, last, err)
		}
		for _, end := range []string{"reset", "missing", "error"} {
			if text, last, err := invoke(model, fmt.Sprintf(body, "end:"+end)); !errors.As(err, &broken) || text != "Good day." || strings.Contains(string(last), "invocationMetrics") {
				t.Errorf("%s, %s: %q, %s, %v", model, end, text, last, err)
			}
		}
	}
}

func TestJavaScriptReadsStreams(t *testing.T) {
	t.Parallel()
	need(t, "node", "--input-type=module", "-e", `import "@aws-sdk/client-bedrock-runtime"`)
	serveStreams(t).mustRun(t, "node", "stream.mjs")
}

// The libraries of OpenAI and Anthropic, as they come.
func TestOtherLibrariesCallTheSameModels(t *testing.T) {
	t.Parallel()
	need(t, "node", "--input-type=module", "-e", `import "openai"; import "@anthropic-ai/sdk"`)
	serveStreams(t).mustRun(t, "node", "doors.mjs")
}

func TestPythonReadsStreams(t *testing.T) {
	t.Parallel()
	want(t, "boto3", "python3", "-c", boto3Knows)
	serveStreams(t).mustRun(t, "python3", "stream.py")
}
