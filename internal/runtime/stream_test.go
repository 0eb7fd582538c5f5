package runtime

import (
	"bufio"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/bedrock"
	"github.com/batholith/batholith/internal/dialect"
)

// modelServer answers calls in OpenAI's protocol: it sends chunks, and then fails or not.
type modelServer struct {
	chunks []string
	speaks string // protocol; "": OpenAI's
	fails  error
	came   chan struct{}        // if not nil: a chunk is sent after each receive
	turns  int                  // attempts so far
	calls  chan batholith.Call  // if not nil: gets the requests
	gone   chan<- error         // if not nil: gets the cause when the call is called off
	more   func(n int) []string // if not nil: the chunks of the n-th attempt
}

const modelName = "anthropic.claude-3-haiku-20240307-v1:0"

func (m *modelServer) Lookup(id string) (batholith.Model, bool) {
	return batholith.Model{ID: modelName, Name: "Haiku", Provider: "Anthropic"}, id == modelName || id == "arn:aws:bedrock:us-east-1::foundation-model/"+modelName
}

func (m *modelServer) Models() []batholith.Model {
	one, _ := m.Lookup(modelName)
	return []batholith.Model{one, {ID: "secret"}}
}

func (m *modelServer) Interact(ctx context.Context, a Ask, do func(context.Context, Turn) error) error {
	d, err := dialect.For("anthropic", cmp.Or(m.speaks, dialect.ProtocolOpenAI), a.Type, dialect.Options{Names: []string{modelName}})
	if err != nil {
		return err
	}
	for {
		m.turns++
		turn := &modelTurn{m: m, d: d, body: a.Body}
		err := do(ctx, turn)
		if f := (*batholith.Failure)(nil); !errors.As(err, &f) || turn.begun || m.turns > 1 {
			if err != nil && ctx.Err() != nil {
				err = context.Cause(ctx)
				if m.gone != nil {
					m.gone <- err
				}
			}
			return err
		}
	}
}

func (m *modelServer) Count(context.Context, Ask) (int64, bool, error) {
	return 7, true, nil
}

type modelTurn struct {
	m     *modelServer
	d     dialect.Dialect
	body  []byte
	begun bool
}

func (t *modelTurn) Model() string            { return "served" }
func (t *modelTurn) Body() []byte             { return t.body }
func (t *modelTurn) Dialect() dialect.Dialect { return t.d }
func (t *modelTurn) Begun()                   { t.begun = true }
func (t *modelTurn) Used(batholith.Tokens)    {}

func (t *modelTurn) Ask(context.Context) (batholith.Answer, error) {
	call, err := t.d.Request(t.body, "served")
	if err != nil {
		return batholith.Answer{}, err
	}
	return t.d.Answer(t.body, call, []byte(`{"id":"x","created":5,"choices":[{"message":{"content":"Hi there"},"finish_reason":"stop"}],"usage":{"prompt_tokens":4,"completion_tokens":2}}`))
}

func (t *modelTurn) Stream(ctx context.Context, request func(string) (batholith.Call, error), each func([]byte) error) (batholith.Call, error) {
	call, err := request("served")
	if err != nil {
		return call, err
	}
	if t.m.calls != nil {
		t.m.calls <- call
	}
	chunks := t.m.chunks
	if t.m.more != nil {
		chunks = t.m.more(t.m.turns)
	}
	for _, c := range chunks {
		if t.m.came != nil {
			select {
			case <-t.m.came:
			case <-ctx.Done():
				return call, context.Cause(ctx)
			}
		}
		if err := each([]byte(c)); errors.Is(err, io.EOF) {
			return call, nil
		} else if err != nil {
			return call, err
		}
	}
	return call, t.m.fails
}

var hiThere = []string{
	`{"id":"x","created":5,"choices":[{"delta":{"role":"assistant","content":""}}]}`,
	`{"id":"x","created":5,"choices":[{"delta":{"content":"Hi"}}]}`,
	`{"id":"x","created":5,"choices":[{"delta":{"content":" there"}}]}`,
	`{"id":"x","created":5,"choices":[{"delta":{},"finish_reason":"stop"}]}`,
	`{"id":"x","created":5,"choices":[],"usage":{"prompt_tokens":4,"completion_tokens":2}}`,
	`[DONE]`,
}

// open starts a server for a model server.
func open(t *testing.T, m *modelServer) *httptest.Server {
	h := NewHandler(Options{Models: m, Lanes: m, Region: "us-east-1", Authenticate: func(r *http.Request, _ []byte) (bedrock.Caller, error) {
		if r.Header.Get("Authorization") == "Bearer no" {
			return bedrock.Caller{}, unknownKey{}
		}
		return bedrock.Caller{Account: "000000000000", Principal: "p"}, nil
	}})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(w, WithKey(r)) }))
	t.Cleanup(s.Close)
	return s
}

// unknownKey is the refusal of a key.
type unknownKey struct{}

func (unknownKey) Error() string { return "no such key" }
func (unknownKey) Refusal() (string, int, string) {
	return "UnrecognizedClientException", 403, "no such key"
}

// post sends a body.
func post(t *testing.T, s *httptest.Server, path, body string) *http.Response {
	t.Helper()
	resp, err := s.Client().Post(s.URL+path, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

const (
	invokeBody   = `{"anthropic_version":"bedrock-2023-05-31","max_tokens":9,"messages":[{"role":"user","content":"Hello"}]}`
	converseText = `{"messages":[{"role":"user","content":[{"text":"Hello"}]}]}`
	invokePath   = "/model/" + modelName + "/invoke-with-response-stream"
	conversePath = "/model/" + modelName + "/converse-stream"
)

// frame is one message of an event stream.
type frame struct{ kind, typ, payload string }

// nextFrame decodes a message with the SDK's decoder. ok is false at the end of the stream.
func nextFrame(t *testing.T, r io.Reader) (f frame, ok bool) {
	t.Helper()
	m, err := eventstream.NewDecoder().Decode(r, nil)
	if errors.Is(err, io.EOF) {
		return f, false
	}
	if err != nil {
		t.Fatalf("decode: %v", err)
	}
	header := func(name string) string {
		if v := m.Headers.Get(name); v != nil {
			return v.String()
		}
		return ""
	}
	if header(":content-type") != "application/json" {
		t.Errorf("content type %s", header(":content-type"))
	}
	f = frame{header(":message-type"), header(":event-type") + header(":exception-type"), string(m.Payload)}
	if f.typ == "chunk" {
		var c struct{ Bytes []byte }
		if err := json.Unmarshal(m.Payload, &c); err != nil {
			t.Fatalf("chunk %s: %v", m.Payload, err)
		}
		f.payload = string(c.Bytes)
	}
	return f, true
}

// TestStreamsOfBedrockAreDecodedByTheSDK: the types of the messages and their content, to the end.
func TestStreamsOfBedrockAreDecodedByTheSDK(t *testing.T) {
	for path, want := range map[string]string{
		conversePath: "messageStart contentBlockDelta contentBlockDelta contentBlockStop messageStop metadata",
		invokePath:   "message_start content_block_start content_block_delta content_block_delta content_block_stop message_delta message_stop",
	} {
		body := converseText
		if path == invokePath {
			body = invokeBody
		}
		resp := post(t, open(t, &modelServer{chunks: hiThere}), path, body)
		if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/vnd.amazon.eventstream" || resp.Header.Get("x-amzn-RequestId") == "" {
			t.Fatalf("%d %v", resp.StatusCode, resp.Header)
		}
		var types []string
		text := ""
		for f, ok := nextFrame(t, resp.Body); ok; f, ok = nextFrame(t, resp.Body) {
			var v struct {
				Type  string
				Delta struct{ Text string }
			}
			if err := json.Unmarshal([]byte(f.payload), &v); err != nil || f.kind != "event" {
				t.Fatalf("%+v: %v", f, err)
			}
			if f.typ == "chunk" {
				f.typ = v.Type
			}
			types, text = append(types, f.typ), text+v.Delta.Text
		}
		if got := strings.Join(types, " "); got != want || text != "Hi there" {
			t.Errorf("%s: %s, %q", path, got, text)
		}
	}
}

// TestBrokenStreamsEndWithAnException: after the first event the client is told within the stream, before it by a status; never neither.
func TestBrokenStreamsEndWithAnException(t *testing.T) {
	for _, tt := range []struct {
		name   string
		m      modelServer
		status int    // before the first event
		typ    string // of the exception, of both operations,
		invoke string // or of InvokeModel
	}{
		{"cut off", modelServer{chunks: hiThere[:3]}, 200, "modelStreamErrorException", ""},
		{"cut off before the first event", modelServer{chunks: hiThere[:1]}, 424, "", ""},
		{"no event at all", modelServer{}, 424, "", ""},
		{"not JSON", modelServer{chunks: append(hiThere[:2:2], `{"choices":[{`)}, 200, "modelStreamErrorException", ""},
		{"a connection that breaks", modelServer{chunks: hiThere[:2], fails: &batholith.Failure{Kind: batholith.FailureRetry, Message: "reset", Crash: true}}, 200, "modelStreamErrorException", ""},
		{"too slow", modelServer{chunks: hiThere[:2], fails: &batholith.Failure{Kind: batholith.FailureRetry, Message: "late", TimedOut: true}}, 200, "modelStreamErrorException", "modelTimeoutException"},
		{"too slow before the first event", modelServer{fails: &batholith.Failure{Kind: batholith.FailureRetry, Message: "late", TimedOut: true}}, 408, "", ""},
		{"too busy", modelServer{chunks: hiThere[:2], fails: &batholith.Failure{Kind: batholith.FailureBackPressure, Status: 429, Message: "busy"}}, 200, "throttlingException", ""},
		{"too busy before the first event", modelServer{fails: &batholith.Failure{Kind: batholith.FailureBackPressure, Status: 429, Message: "busy"}}, 429, "", ""},
		{"a bad body", modelServer{chunks: hiThere[:2], fails: &batholith.Failure{Kind: batholith.FailureBadRecord, Status: 400, Message: "bad"}}, 200, "validationException", ""},
		{"shutting down", modelServer{chunks: hiThere[:2], fails: batholith.ErrShutdown}, 200, "serviceUnavailableException", ""},
		{"something else", modelServer{chunks: hiThere[:2], fails: errors.New("odd")}, 200, "internalServerException", ""},
	} {
		for path, body := range map[string]string{conversePath: converseText, invokePath: invokeBody} {
			m := tt.m
			resp := post(t, open(t, &m), path, body)
			if resp.StatusCode != tt.status {
				t.Errorf("%s, %s: status %d", tt.name, path, resp.StatusCode)
				continue
			}
			if tt.status != 200 {
				continue
			}
			var last frame
			n := 0
			for f, ok := nextFrame(t, resp.Body); ok; f, ok = nextFrame(t, resp.Body) {
				if last.kind == "exception" {
					t.Errorf("%s, %s: %+v after %+v", tt.name, path, f, last)
				}
				last, n = f, n+1
			}
			want := tt.typ
			if path == invokePath && tt.invoke != "" {
				want = tt.invoke
			}
			if last.kind != "exception" || last.typ != want || n < 2 || !strings.Contains(last.payload, `"message":"`) {
				t.Errorf("%s, %s: ends with %+v after %d messages", tt.name, path, last, n)
			}
		}
	}
}

// TestAStreamThatFailsBeforeItsFirstEventIsTriedAgain: the role alone is no event, and the second attempt begins anew.
func TestAStreamThatFailsBeforeItsFirstEventIsTriedAgain(t *testing.T) {
	m := &modelServer{more: func(n int) []string {
		if n == 1 {
			return append(hiThere[:1:1], `{"error":{"message":"the engine is dead"}}`)
		}
		return hiThere
	}}
	resp := post(t, open(t, m), conversePath, converseText)
	n := 0
	for f, ok := nextFrame(t, resp.Body); ok; f, ok = nextFrame(t, resp.Body) {
		if n++; f.kind != "event" {
			t.Errorf("%+v", f)
		}
	}
	if n != 6 || m.turns != 2 {
		t.Errorf("%d messages after %d attempts", n, m.turns)
	}
}

// TestEventsArePassedOnWhenTheyCome: the model server sends the next chunk only when the client has read the last one.
func TestEventsArePassedOnWhenTheyCome(t *testing.T) {
	for path, body := range map[string]string{
		conversePath:                  converseText,
		"/openai/v1/chat/completions": `{"model":"` + modelName + `","messages":[{"role":"user","content":"Hello"}],"stream":true}`,
		"/anthropic/v1/messages":      `{"model":"` + modelName + `","max_tokens":9,"messages":[{"role":"user","content":"Hello"}],"stream":true}`,
	} {
		m := &modelServer{chunks: hiThere, came: make(chan struct{}, len(hiThere))}
		m.came <- struct{}{} // the role
		m.came <- struct{}{} // "Hi"
		resp := post(t, open(t, m), path, body)
		r := bufio.NewReader(resp.Body)
		seen := func(want string) {
			for got := ""; !strings.Contains(got, want); {
				b, err := r.ReadByte()
				if err != nil {
					t.Fatalf("%s: %v before %q", path, err, want)
				}
				got += string(b)
			}
		}
		seen(`"Hi"`)
		m.came <- struct{}{}
		seen(`" there"`)
		for range hiThere[3:] {
			m.came <- struct{}{}
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestAClientThatGoesCallsItsCallOff: the model server sees it.
func TestAClientThatGoesCallsItsCallOff(t *testing.T) {
	gone := make(chan error, 1)
	m := &modelServer{chunks: hiThere, came: make(chan struct{}, 2), gone: gone}
	m.came <- struct{}{}
	m.came <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	s := open(t, m)
	req, _ := http.NewRequestWithContext(ctx, "POST", s.URL+conversePath, strings.NewReader(converseText))
	resp, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	nextFrame(t, resp.Body)
	cancel()
	resp.Body.Close()
	select {
	case err := <-gone:
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("the call goes on")
	}
}

// TestOtherAPIsAnswerInTheirOwnForm: answers, streams, counts and lists, whole bodies.
func TestOtherAPIsAnswerInTheirOwnForm(t *testing.T) {
	const chunk = `{"id":"x","object":"chat.completion.chunk","created":5,"model":"` + modelName + `","choices":[`
	for _, tt := range []struct{ method, path, body, want string }{
		{"POST", "/openai/v1/chat/completions", `"messages":[{"role":"user","content":"Hello"}]`,
			`{"id":"x","created":5,"choices":[{"message":{"content":"Hi there"},"finish_reason":"stop"}],"usage":{"prompt_tokens":4,"completion_tokens":2}}`},
		{"POST", "/openai/v1/chat/completions", `"messages":[{"role":"user","content":"Hello"}],"stream":true`,
			"data: " + chunk + `{"index":0,"delta":{"role":"assistant","content":"Hi"},"finish_reason":null}]}` + "\n\n" +
				"data: " + chunk + `{"index":0,"delta":{"content":" there"},"finish_reason":null}]}` + "\n\n" +
				"data: " + chunk + `{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\ndata: [DONE]\n\n"},
		{"POST", "/openai/v1/chat/completions", `"messages":[{"role":"user","content":"Hello"}],"stream":true,"stream_options":{"include_usage":true}`,
			"data: " + chunk + `],"usage":{"prompt_tokens":4,"completion_tokens":2}}` + "\n\ndata: [DONE]\n\n"},
		{"POST", "/openai/v1/responses", `"input":"Hello"`, `"status":"completed","role":"assistant","content":[{"type":"output_text","text":"Hi there"`},
		{"POST", "/openai/v1/responses", `"input":"Hello","stream":true`, "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":4,"},
		{"POST", "/openai/v1/responses", `"input":"Hello","stream":true`, "event: response.completed\ndata: {"},
		{"POST", "/anthropic/v1/messages", `"max_tokens":9,"metadata":{"user_id":"u"},"messages":[{"role":"user","content":"Hello"}]`, `"content":[{"type":"text","text":"Hi there"}],"stop_reason":"end_turn"`},
		{"POST", "/anthropic/v1/messages", `"max_tokens":9,"messages":[{"role":"user","content":"Hello"}],"stream":true`, "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"},
		{"POST", "/anthropic/v1/messages/count_tokens", `"messages":[{"role":"user","content":"Hello"}]`, `{"input_tokens":7}`},
		{"GET", "/openai/v1/models", "", `{"id":"` + modelName + `","object":"model","created":0,"owned_by":"Anthropic"}`},
		{"GET", "/openai/v1/models/" + modelName, "", `{"id":"` + modelName + `","object":"model","created":0,"owned_by":"Anthropic"}`},
		{"GET", "/anthropic/v1/models", "", `{"type":"model","id":"` + modelName + `","display_name":"Haiku","created_at":"1970-01-01T00:00:00Z"}`},
	} {
		s := open(t, &modelServer{chunks: hiThere})
		req, _ := http.NewRequest(tt.method, s.URL+tt.path, strings.NewReader(fmt.Sprintf(`{"model":%q,%s}`, modelName, tt.body)))
		if tt.method == "GET" {
			req.Body, req.ContentLength = nil, 0
		}
		req.Header.Set("X-Api-Key", "k")
		resp, err := s.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		typ := "application/json"
		if strings.Contains(tt.body, `"stream":true`) {
			typ = "text/event-stream"
		}
		if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != typ || !strings.Contains(string(body), tt.want) {
			t.Errorf("%s %s {%s}: %d %s\n%s\nwant %s", tt.method, tt.path, tt.body, resp.StatusCode, resp.Header.Get("Content-Type"), body, tt.want)
		}
	}
}

// TestOtherAPIsRefuseInTheirOwnForm: before the answer and in the middle of a stream.
// Clients of OpenAI's and Anthropic's API get no member of Bedrock's, also from a backend that speaks as Bedrock does. Those of InvokeModel get it.
func TestStreamsOfOtherAPIsHaveNoMetricsOfBedrock(t *testing.T) {
	chunk := func(text string) string {
		return `{"chunk":{"bytes":"` + base64.StdEncoding.EncodeToString([]byte(text)) + `"}}`
	}
	last := `"amazon-bedrock-invocationMetrics":{"inputTokenCount":4,"outputTokenCount":2,"invocationLatency":5,"firstByteLatency":1}}`
	s := open(t, &modelServer{speaks: dialect.ProtocolBedrock, chunks: []string{chunk(`{"id":"x","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":"stop"}],` + last)}})
	read := func(path, body string) string {
		resp := post(t, s, path, body)
		got, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %s %v", path, resp.StatusCode, got, err)
		}
		return string(got)
	}
	got := read("/openai/v1/chat/completions", `{"model":"`+modelName+`","stream":true,"messages":[{"role":"user","content":"Hi"}]}`)
	if !strings.Contains(got, `"content":"Hi"`) || !strings.Contains(got, "[DONE]") || strings.Contains(got, dialect.MetricsMember) {
		t.Errorf("OpenAI: %s", got)
	}
	got = read("/model/"+modelName+"/invoke-with-response-stream", `{"anthropic_version":"bedrock-2023-05-31","max_tokens":9,"messages":[{"role":"user","content":"Hi"}]}`)
	if !strings.Contains(got, base64.StdEncoding.EncodeToString([]byte(`{"id":"x","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":"stop"}],`+last))) {
		t.Errorf("InvokeModel: %q", got)
	}
}

func TestOtherAPIsRefuseInTheirOwnForm(t *testing.T) {
	busy := &batholith.Failure{Kind: batholith.FailureBackPressure, Status: 429, Message: "busy"}
	for _, tt := range []struct {
		path, key, body string
		m               modelServer
		status          int
		want            string
	}{
		{"/openai/v1/chat/completions", "no", `{}`, modelServer{}, 401, `{"error":{"message":"no such key","type":"authentication_error","param":null,"code":"invalid_api_key"}}`},
		{"/openai/v1/chat/completions", "", `{"model":"x"}`, modelServer{}, 404, `"type":"invalid_request_error","param":null,"code":"model_not_found"`},
		{"/openai/v1/chat/completions", "", `{"messages":[]}`, modelServer{}, 400, `{"error":{"message":"model: give the id of a model.","type":"invalid_request_error","param":null,"code":null}}`},
		{"/openai/v1/chat/completions", "", `[]`, modelServer{}, 400, `"type":"invalid_request_error"`},
		{"/openai/v1/chat/completions", "", `{"model":"MODEL","messages":[{"role":"user","content":"a"}],"stream":1}`, modelServer{}, 400, `stream: Input should be true or false.`},
		{"/openai/v1/chat/completions", "", `{"model":"MODEL","messages":[{"role":"user","content":"a"}],"stream":true}`, modelServer{fails: busy}, 429, `"type":"rate_limit_error","param":null,"code":"rate_limit_exceeded"`},
		{"/openai/v1/chat/completions", "", `{"model":"MODEL","messages":[{"role":"user","content":"a"}],"stream":true}`, modelServer{chunks: hiThere[:2], fails: busy}, 200,
			"data: {\"error\":{\"message\":\"busy\",\"type\":\"rate_limit_error\",\"param\":null,\"code\":\"rate_limit_exceeded\"}}\n\n"},
		{"/openai/v1/chat/completions", "", `{"model":"MODEL","messages":[{"role":"user","content":"a"}],"stream":true}`, modelServer{chunks: hiThere[:2]}, 200, `"type":"server_error"`},
		{"/openai/v1/responses", "", `{"model":"MODEL","input":"a","previous_response_id":"r"}`, modelServer{}, 400, `previous_response_id: Batholith keeps no responses`},
		{"/openai/v1/responses", "", `{"model":"MODEL","input":"a","stream":true}`, modelServer{chunks: hiThere[:2]}, 200, "event: error\ndata: {\"type\":\"error\",\"sequence_number\":"},
		{"/openai/v1/embeddings", "", `{"model":"MODEL","input":"a"}`, modelServer{}, 404, `There is no operation at POST /openai/v1/embeddings.`},
		{"/anthropic/v1/messages", "no", `{}`, modelServer{}, 401, `{"type":"error","error":{"type":"authentication_error","message":"no such key"},"request_id":"`},
		{"/anthropic/v1/messages", "", `{"model":"x"}`, modelServer{}, 404, `{"type":"error","error":{"type":"not_found_error"`},
		{"/anthropic/v1/messages", "", `{"model":"MODEL","messages":[]}`, modelServer{}, 400, `{"type":"error","error":{"type":"invalid_request_error","message":"max_tokens: Field required"}`},
		{"/anthropic/v1/messages", "", `{"model":"MODEL","max_tokens":9,"messages":[{"role":"user","content":"a"}],"stream":true}`, modelServer{chunks: hiThere[:2], fails: busy}, 200,
			"event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\",\"message\":\"busy\"}}\n\n"},
	} {
		m := tt.m
		s := open(t, &m)
		req, _ := http.NewRequest("POST", s.URL+tt.path, strings.NewReader(strings.ReplaceAll(tt.body, "MODEL", modelName)))
		if tt.key != "" {
			req.Header.Set("X-Api-Key", tt.key)
		}
		resp, err := s.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != tt.status || !strings.Contains(string(body), tt.want) || strings.Contains(string(body), "[DONE]") || strings.Contains(string(body), "message_stop") {
			t.Errorf("%s %s: %d\n%s\nwant %d %s", tt.path, tt.body, resp.StatusCode, body, tt.status, tt.want)
		}
	}
}
