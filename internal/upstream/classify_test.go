package upstream

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/batholith/batholith"
)

const (
	backPressure  = batholith.FailureBackPressure
	retry         = batholith.FailureRetry
	refused       = batholith.FailureBadRecord
	misconfigured = batholith.FailureMisconfigured
)

// failureOf sends one call to a handler and returns the failure that it must end with.
func failureOf(t *testing.T, o Options, h http.HandlerFunc) *batholith.Failure {
	t.Helper()
	s := httptest.NewServer(h)
	defer s.Close()
	o.URL = s.URL + "/v1"
	b, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	body, err := b.Do(t.Context(), batholith.Call{Path: "/chat/completions", Body: []byte(`{}`)})
	f, ok := errors.AsType[*batholith.Failure](err)
	if !ok {
		t.Fatalf("got body %.100q and error %v, want a failure", body, err)
	}
	return f
}

func says(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		w.Write([]byte(body))
	}
}

// A server's message keeps its reason, but not the request that it quotes, in whatever form.
func TestAMessageKeepsItsReasonButNoQuotedRequest(t *testing.T) {
	for _, body := range []string{
		`{"message":"[{'msg': 'Field required', 'input': {'prompt': 'my secret'}}]"}`,
		"[{'msg': 'Field required',\n 'input':{'prompt': 'my secret'}}]",
		`{"detail":"[{\"msg\":\"Field required\",\"input\" : {\"prompt\":\"my secret\"}}]"}`,
		`{"error":{"message":"litellm.BadRequestError: {\"error\":\"[{\\\"msg\\\":\\\"Field required\\\",\\\"input\\\":\\\"my secret\\\"}]\"}"}}`,
		`"[{'msg': 'Field required', 'input': 'my secret'}]"`,
		`{"object":"error","message":"1 validation error for ChatCompletionRequest\nmessages\n  Field required [type=missing, input_value={'prompt': 'my secret'}, input_type=dict]\n    For further information visit https://errors.pydantic.dev/2.11/v/missing"}`,
		"1 validation error for Request\nmessages\n  Field required [type=missing, input_value='my secret', input_type=str]",
		`<html><head><title>Field required</title></head><body>'input': 'my secret'</body></html>`,
		`{"detail":[{"loc":["body"],"msg":"Field required","input":"my secret"}]}`,
	} {
		f := failureOf(t, Options{Model: "m"}, says(400, body))
		if !strings.Contains(f.Message, "Field required") || strings.Contains(f.Message, "secret") || strings.Contains(f.Public, "secret") {
			t.Errorf("%s: %s", body, f.Message)
		}
	}
	for _, whole := range []string{"the input is too long", "'input' is required", `unknown member "input"`, "input: too long"} {
		if f := failureOf(t, Options{Model: "m"}, says(400, whole)); !strings.Contains(f.Message, whole) {
			t.Errorf("%s is told as %s", whole, f.Message)
		}
	}
}

func TestEveryAnswerHasItsKind(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		kind   batholith.FailureKind
		text   string // in the message
	}{
		{429, `{"error":{"message":"slow down"}}`, backPressure, "slow down"},
		{503, `{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}`, backPressure, "Loading model"},
		{500, `{"error":{"message":"Loading model"}}`, backPressure, "Loading model"},
		{529, `{"error":{"type":"overloaded_error","message":"Overloaded"}}`, backPressure, "Overloaded"},
		{408, ``, retry, "answered 408"},
		{500, `{"error":{"message":"CUDA error"}}`, retry, "CUDA error"},
		{502, `<html>Bad Gateway</html>`, retry, "answered 502 with an HTML page"},
		{403, "<!DOCTYPE html>\n<html><head><title>403 Forbidden &amp; gone</title>", misconfigured, "answered 403 with an HTML page: 403 Forbidden & gone; a firewall"},
		{400, `<html><head><title>400 Bad Request</title>`, refused, "answered 400 with an HTML page: 400 Bad Request"},
		{504, `upstream timed out`, retry, "upstream timed out"},
		{400, `{"object":"error","message":"This model's maximum context length is 4096 tokens.","type":"BadRequestError","code":400}`, refused, "maximum context length"},
		{400, `{"error":{"message":"the request exceeds the available context size","type":"exceed_context_size_error"}}`, refused, "available context"},
		{413, `too long`, refused, "too long"},
		{422, `{"detail":[{"loc":["body","temperature"],"msg":"not a number"}]}`, refused, "body.temperature: not a number"},
		{400, `{"object":"error","message":"[{'type': 'missing', 'loc': ('body', 'messages'), 'msg': 'Field required', 'input': {'prompt': 'my secret'}}]"}`, refused, "Field required"},
		{500, `{"error":{"code":500,"message":"input is too large to process. increase the physical batch size","type":"server_error"}}`, refused, "too large"},
		{401, `{"error":{"message":"Invalid key"}}`, misconfigured, "api_key_env"},
		{403, ``, misconfigured, "api_key_env"},
		{404, "{\"object\":\"error\",\"message\":\"The model `x` does not exist.\",\"type\":\"NotFoundError\",\"code\":404}", misconfigured, `serves the model "m"`},
		{400, `{"error":{"message":"no such model","code":"model_not_found"}}`, misconfigured, "no such model"},
		{404, `{"error":"model 'm' not found"}`, misconfigured, "model 'm' not found"},
		{405, ``, misconfigured, "url and protocol"},
		{301, ``, misconfigured, "answered 301"},
		{204, ``, misconfigured, "answered 204"},
		{429, `{"error":{"message":"You exceeded your quota","type":"insufficient_quota","code":"insufficient_quota"}}`, misconfigured, "quota"},
		{200, `{"error":{"message":"out of memory","type":"server_error","code":500}}`, retry, "200 with an error inside: out of memory"},
		{200, `{"error":{"message":"bad temperature","type":"invalid_request_error","code":null}}`, refused, "bad temperature"},
		{200, `{"error":{"message":"busy","code":429}}`, backPressure, "busy"},
		{400, `{"error":{"message":"Model unloaded.","type":"invalid_request_error"}}`, retry, "Model unloaded."},
		{400, `{"error":{"message":"Failed to load model \"m\". Error: Operation canceled.","type":"invalid_request_error"}}`, retry, "Operation canceled"},
		{400, `{"error":"The model has crashed without additional information. (Exit code: 6)"}`, retry, "has crashed"},
		{404, `{"error":{"message":"No models loaded. Please load a model."}}`, retry, "No models loaded"},
		{400, `{"error":{"message":"model is loading"}}`, retry, "model is loading"},
		{500, `{"error":"no slots available after 10 retries"}`, backPressure, "no slots"},
		{500, `{"error":"model runner has unexpectedly stopped, this may be due to resource limitations"}`, retry, "unexpectedly stopped"},
		{503, `{"error":"server busy, please try again.  maximum pending requests exceeded"}`, backPressure, "server busy"},
		{503, `{"error":"Model org/m is currently loading","estimated_time":20.0}`, backPressure, "currently loading"},
		{498, `{"error":{"message":"Flex tier capacity exceeded","type":"capacity_exceeded"}}`, backPressure, "capacity"},
		{429, `{"error":{"message":"Request too large for m on tokens per min (TPM): Limit 30000, Requested 41250.","type":"tokens","code":"rate_limit_exceeded"}}`, refused, "Requested 41250"},
		{429, `{"error":{"message":"Your account is suspended","type":"exceeded_current_quota_error"}}`, misconfigured, "no quota left"},
		{402, `{"error":{"message":"This request requires more credits","code":402}}`, misconfigured, "requires more credits"},
		{400, `{"error":{"message":"/chat/completions: Invalid model name passed in model=m. Call /v1/models to view available models for your key."}}`, misconfigured, `serves the model "m"`},
		{400, `{"error":{"message":"m is not a valid model ID","code":400}}`, misconfigured, `serves the model "m"`},
		{400, `[{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT"}}]`, misconfigured, "api_key_env"},
		{451, `{"error":{"message":"not here"}}`, refused, "not here"},
		{418, `no coffee`, misconfigured, "answered 418: no coffee"},
		{409, `busy`, retry, "answered 409: busy"},
		{424, `{"error":"Request failed during generation: Server error","error_type":"generation"}`, retry, "during generation"},
		{200, `{"object":"error","message":"temperature must be in [0, 2]","type":"BadRequestError","param":null,"code":400}`, refused, "temperature must be"},
		{200, `{"choices":[],"error":{"message":"no room in the context","code":400}}`, refused, "no room in the context"},
		{200, `{"id":"x","choices":null,"error":{"message":"try again","code":"503"}}`, backPressure, "try again"},
		{200, "{\"error\":{\"message\":\"caf\xe9\",\"code\":400}}", refused, "caf"},
		{200, `{"object":"error","message":"CUDA error","type":"InternalServerError","code":500}`, retry, "CUDA error"},
		{200, `{"error":"Unexpected endpoint or method. (POST /chat/completions)"}`, misconfigured, "url and protocol"},
	} {
		f := failureOf(t, Options{Model: "m"}, says(c.status, c.body))
		if f.Kind != c.kind || !strings.Contains(f.Message, c.text) {
			t.Errorf("%d %s\n got %v\nwant %v with %q", c.status, c.body, f, c.kind, c.text)
		}
		if strings.Contains(f.Message, "secret") {
			t.Errorf("%d %s: the message repeats the prompt: %s", c.status, c.body, f.Message)
		}
		if c.kind == refused && (f.Status < 400 || f.Status > 499) {
			t.Errorf("%d %s: a bad record has status %d", c.status, c.body, f.Status)
		}
	}
}

func TestRetryAfterIsHonoured(t *testing.T) {
	for _, c := range []struct {
		value    string
		min, max time.Duration
	}{
		{"", 0, 0},
		{"7", 7 * time.Second, 7 * time.Second},
		{"0.5", time.Second / 2, time.Second / 2},
		{time.Now().Add(90 * time.Second).UTC().Format(http.TimeFormat), 80 * time.Second, 90 * time.Second},
		{"Mon, 02 Jan 2006 15:04:05 GMT", 0, 0},
		{"-3", 0, 0},
		{"soon", 0, 0},
		{"999999", time.Hour, time.Hour},
		{"1500ms", 1500 * time.Millisecond, 1500 * time.Millisecond},
	} {
		f := failureOf(t, Options{}, func(w http.ResponseWriter, _ *http.Request) {
			if ms, ok := strings.CutSuffix(c.value, "ms"); ok {
				w.Header().Set("Retry-After-Ms", ms)
			} else {
				w.Header().Set("Retry-After", c.value)
			}
			w.WriteHeader(http.StatusTooManyRequests)
		})
		if f.RetryAfter < c.min || f.RetryAfter > c.max {
			t.Errorf("Retry-After %q: got %v, want %v to %v", c.value, f.RetryAfter, c.min, c.max)
		}
	}
}

func TestMessagesAreShortPrintableAndHoldNoKey(t *testing.T) {
	f := failureOf(t, Options{APIKey: "sk-secret"}, says(500, "key sk-secret \x1b[31m\xff\n"+strings.Repeat("é", 2000)))
	if strings.Contains(f.Message, "sk-secret") || strings.ContainsAny(f.Message, "\x1b\n") || !utf8.ValidString(f.Message) || len(f.Message) > 600 {
		t.Errorf("message of %d bytes: %q", len(f.Message), f.Message)
	}
}

func TestEveryStatusHasOneKind(t *testing.T) {
	for status := 100; status < 600; status++ {
		kind := kindOf(status)
		switch {
		case kind == 0:
			t.Errorf("%d has no kind", status)
		case status >= 500 && kind == refused:
			t.Errorf("%d says that the record is bad", status)
		case status >= 300 && status < 400 && kind != misconfigured:
			t.Errorf("%d is %v", status, kind)
		}
	}
}

// TestTheServersWordsReachTheRecord: whatever the status, the record's own message has the status or is the server's words, and has the words.
func TestTheServersWordsReachTheRecord(t *testing.T) {
	for status := 201; status < 600; status++ {
		if status == http.StatusNoContent || status == http.StatusResetContent || status == http.StatusNotModified {
			continue // they have no body
		}
		for _, body := range []string{`the words`, `{"error":{"message":"the words"}}`, `{"message":"the words"}`, `{"detail":"the words"}`, `<html><title>the words</title>`} {
			if f := failureOf(t, Options{Model: "m"}, says(status, body)); !strings.Contains(f.Message, "the words") || f.Status != status || !f.Sent {
				t.Errorf("%d %s: status %d, sent: %v, %q", status, body, f.Status, f.Sent, f.Message)
			}
		}
	}
}
