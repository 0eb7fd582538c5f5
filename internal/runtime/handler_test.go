package runtime

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/authz"
	"github.com/batholith/batholith/internal/bedrock"
	"github.com/batholith/batholith/internal/dialect"
)

// catalogue has one model.
type catalogue struct{}

func (catalogue) Lookup(name string) (batholith.Model, bool) {
	known := strings.HasSuffix(name, "test.model-v1:0") || name == "alias"
	return batholith.Model{ID: "test.model-v1:0"}, known
}

func (catalogue) Models() []batholith.Model { return []batholith.Model{{ID: "test.model-v1:0"}} }

// lanes answer every call in the same way, and remember the last one.
type lanes struct {
	err    error
	answer batholith.Answer
	exact  bool
	model  string
	typ    batholith.InvocationType
	body   string
}

func (l *lanes) Interact(ctx context.Context, a Ask, do func(context.Context, Turn) error) error {
	l.model, l.typ, l.body = a.Model, a.Type, string(a.Body)
	if l.err != nil {
		return l.err
	}
	return do(ctx, turn{l})
}

func (l *lanes) Count(_ context.Context, a Ask) (int64, bool, error) {
	l.model, l.typ, l.body = a.Model, a.Type, string(a.Body)
	return 42, l.exact, l.err
}

// turn is one of lanes.
type turn struct{ l *lanes }

func (turn) Model() string                                   { return "m" }
func (t turn) Body() []byte                                  { return []byte(t.l.body) }
func (turn) Dialect() dialect.Dialect                        { return nil }
func (t turn) Ask(context.Context) (batholith.Answer, error) { return t.l.answer, nil }
func (turn) Begun()                                          {}
func (turn) Used(batholith.Tokens)                           {}
func (turn) Stream(context.Context, func(string) (batholith.Call, error), func([]byte) error) (batholith.Call, error) {
	return batholith.Call{}, errors.New("no stream")
}

// tester is a handler whose caller is Alice.
func tester(l *lanes, set ...func(*Options)) http.Handler {
	o := Options{Models: catalogue{}, Lanes: l, Region: "us-east-1", Authenticate: func(*http.Request, []byte) (bedrock.Caller, error) {
		return bedrock.Caller{Account: "000000000000", Principal: "alice"}, nil
	}}
	if l == nil {
		o.Lanes = nil
	}
	for _, f := range set {
		f(&o)
	}
	return NewHandler(o)
}

// ask sends a body, with headers in pairs.
func ask(h http.Handler, path, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

const modelPath = "/model/test.model-v1:0/invoke"

func TestAnAnswerHasItsTokensAndItsTimeInHeaders(t *testing.T) {
	l := &lanes{answer: batholith.Answer{Output: []byte(`{"a":"b"}`), Tokens: batholith.Tokens{Input: 3, Output: 5}}}
	w := ask(tester(l), modelPath, " {\n\"x\":1}", headerLatency, "optimized", headerTier, "flex", headerTrace, "ENABLED", "Accept", "text/plain, */*;q=0.1", "Content-Type", "application/json; charset=utf-8")
	h := w.Header()
	if w.Code != 200 || w.Body.String() != `{"a":"b"}` || h.Get(headerInputTokens) != "3" || h.Get(headerOutputTokens) != "5" || h.Get(headerTook) != "0" || h.Get("x-amzn-RequestId") == "" {
		t.Errorf("%d %s %v", w.Code, w.Body, h)
	}
	if h.Get(headerLatency) != "standard" || h.Get(headerTier) != "default" {
		t.Errorf("how it was served: %v", h)
	}
	if l.body != " {\n\"x\":1}" || l.typ != batholith.InvokeModel {
		t.Errorf("%s: %q", l.typ, l.body)
	}
	if w := ask(tester(l), "/model/alias/converse", `{}`); w.Code != 200 || l.typ != batholith.Converse || w.Header().Get(headerTook) != "" {
		t.Errorf("%d %s %v", w.Code, l.typ, w.Header())
	}
}

func TestAModelIsFoundByEveryFormOfItsName(t *testing.T) {
	const arn = "arn:aws:bedrock:us-east-1::foundation-model/test.model-v1:0"
	for _, name := range []string{"test.model-v1:0", "test.model-v1%3A0", "alias", url.PathEscape(arn), strings.ReplaceAll(arn, ":", "%3A"), arn} {
		l := &lanes{answer: batholith.Answer{Output: []byte(`{}`)}}
		if w := ask(tester(l), "/model/"+name+"/invoke", `{}`); w.Code != 200 {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

func TestEveryFailureHasItsNameAndStatus(t *testing.T) {
	failure := func(kind batholith.FailureKind, status int) *batholith.Failure {
		return &batholith.Failure{Kind: kind, Status: status, Message: "its words", Public: "for all", RetryAfter: 1500 * time.Millisecond}
	}
	late := failure(batholith.FailureRetry, 0)
	late.TimedOut = true
	for _, c := range []struct {
		err    error
		code   string
		status int
		said   string
	}{
		{&batholith.RecordError{Code: 400, Message: "messages: wrong"}, "ValidationException", 400, "messages: wrong"},
		{&batholith.RecordError{Code: 500, Message: "no tool"}, "ModelErrorException", 424, `"originalStatusCode":500`},
		{failure(batholith.FailureBadRecord, 400), "ValidationException", 400, "its words"},
		{failure(batholith.FailureBackPressure, 429), "ThrottlingException", 429, "its words"},
		{failure(batholith.FailureBackPressure, 503), "ServiceUnavailableException", 503, "its words"},
		{failure(batholith.FailureUnreachable, 0), "ServiceUnavailableException", 503, "for all"},
		{failure(batholith.FailureMisconfigured, 401), "ModelErrorException", 424, `"originalStatusCode":401`},
		{failure(batholith.FailureRetry, 500), "ModelErrorException", 424, `"resourceName":"arn:aws:bedrock:us-east-1::foundation-model/test.model-v1:0"`},
		{failure(batholith.FailureRetry, 504), "ModelTimeoutException", 408, "its words"},
		{late, "ModelTimeoutException", 408, "its words"},
		{&batholith.RecordError{Code: 403, Message: "s3://b/k: you may not read it"}, "AccessDeniedException", 403, "s3://b/k: you may not read it"},
		{&batholith.MediaError{URI: "s3://b/k", Err: errors.New("secret detail")}, "ServiceUnavailableException", 503, "s3://b/k cannot be read now. Try again."},
		{batholith.ErrBusy, "ThrottlingException", 429, "busy"},
		{&batholith.NotReadyError{Why: "its server is away"}, "ModelNotReadyException", 429, "its server is away"},
		{batholith.ErrShutdown, "ServiceUnavailableException", 503, "stopping"},
		{errors.New("secret detail"), "InternalServerException", 500, "Look for request"},
	} {
		w := ask(tester(&lanes{err: c.err}), modelPath, `{}`)
		if w.Code != c.status || w.Header().Get("x-amzn-ErrorType") != c.code || !strings.Contains(w.Body.String(), c.said) || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%v: %d %s %s", c.err, w.Code, w.Header().Get("x-amzn-ErrorType"), w.Body)
		}
		if pressed := strings.Contains(fmt.Sprint(c.err), "back-pressure"); pressed != (w.Header().Get("Retry-After") == "2") {
			t.Errorf("%v: Retry-After %q", c.err, w.Header().Get("Retry-After"))
		}
	}
}

func TestARequestThatCannotBeAnsweredIsRefused(t *testing.T) {
	body := func(s string) string {
		return fmt.Sprintf(`{"input":{"invokeModel":{"body":%q}}}`, base64.StdEncoding.EncodeToString([]byte(s)))
	}
	for _, c := range []struct{ path, body, headers, code string }{
		{modelPath, `{`, "", "ValidationException"},
		{modelPath, `[]`, "", "ValidationException"},
		{modelPath, ``, "", "ValidationException"},
		{modelPath, `{}`, "Content-Type: text/html", "ValidationException"},
		{modelPath, `{}`, "Accept: image/png", "ValidationException"},
		{modelPath, `{}`, headerTier + ": best", "ValidationException"},
		{modelPath, `{}`, headerLatency + ": fast", "ValidationException"},
		{modelPath, `{}`, headerTrace + ": on", "ValidationException"},
		{modelPath, `{}`, headerGuardrail + ": abcdefghijkl", "ValidationException"},
		{"/model/other.model/invoke", `{}`, "", "ResourceNotFoundException"},
		{"/model//invoke", `{}`, "", "UnknownOperationException"},
		{"/model/alias/sing", `{}`, "", "UnknownOperationException"},
		{"/model/alias/invoke-with-bidirectional-stream", ``, "", "ValidationException"},
		{"/guardrail/abc/version/1/apply", `{}`, "", "ValidationException"},
		{"/guardrail-checks", `{}`, "", "ValidationException"},
		{"/async-invoke", `{}`, "", "ValidationException"},
		{"/model/alias/count-tokens", `{}`, "", "ValidationException"},
		{"/model/alias/count-tokens", `{"input":{}}`, "", "ValidationException"},
		{"/model/alias/count-tokens", `{"input":{"converse":{},"invokeModel":{"body":""}}}`, "", "ValidationException"},
		{"/model/alias/count-tokens", `{"input":{"invokeModel":{"body":"?"}}}`, "", "ValidationException"},
		{"/model/alias/count-tokens", body("no JSON"), "", "ValidationException"},
	} {
		l := &lanes{}
		name, value, _ := strings.Cut(c.headers, ": ")
		w := ask(tester(l), c.path, c.body, name, value)
		var said struct{ Message string }
		if err := json.Unmarshal(w.Body.Bytes(), &said); err != nil || said.Message == "" || w.Header().Get("x-amzn-ErrorType") != c.code || l.model != "" {
			t.Errorf("%s %q %s: %d %s %s", c.path, c.body, c.headers, w.Code, w.Header().Get("x-amzn-ErrorType"), w.Body)
		}
	}
	aws := tester(&lanes{}, func(o *Options) { o.Profile = bedrock.ProfileAWS })
	if w := ask(aws, "/model/other.model/invoke", `{}`); w.Code != 400 || !strings.Contains(w.Body.String(), "The provided model identifier is invalid.") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// What is wrong with a call is told in the words of the API, and an operation that is not available says so whatever its body is.
func TestARefusalNamesWhatIsWrongWithTheCall(t *testing.T) {
	for path, c := range map[string]struct{ body, says string }{
		"/model/alias/invoke-with-bidirectional-stream": {`{"event":{}}`, "Use ConverseStream"},
		"/model/alias/count-tokens":                     {`{"input":{"invokeModel":{"body":"?"}}}`, "in Base64"},
	} {
		for _, known := range []bool{true, false} {
			r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(c.body))
			if !known {
				r.ContentLength = -1
			}
			w := httptest.NewRecorder()
			tester(&lanes{}).ServeHTTP(w, r)
			if w.Code != 400 || !strings.Contains(w.Body.String(), c.says) || strings.Contains(w.Body.String(), "uint8") {
				t.Errorf("%s: %d %s", path, w.Code, w.Body)
			}
		}
	}
}

// Messages for records speak of modelInput, which a call does not have.
func TestACallIsNotToldOfRecords(t *testing.T) {
	l := &lanes{err: &batholith.RecordError{Code: 400, Message: "modelInput is not valid JSON"}}
	if w := ask(tester(l), modelPath, `{}`); w.Code != 400 || !strings.Contains(w.Body.String(), `"The body is not valid JSON"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestTheLongestBodyIsTakenAndOneByteMoreIsNot(t *testing.T) {
	l := &lanes{answer: batholith.Answer{Output: []byte(`{}`)}}
	longest := `{"a":"` + strings.Repeat("x", MaxBody-len(`{"a":""}`)) + `"}`
	if w := ask(tester(l), modelPath, longest); w.Code != 200 || len(l.body) != MaxBody {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for _, known := range []bool{true, false} {
		r := httptest.NewRequest(http.MethodPost, modelPath, strings.NewReader(longest+" "))
		if !known {
			r.ContentLength = -1
		}
		w := httptest.NewRecorder()
		if tester(l).ServeHTTP(w, r); w.Code != 400 {
			t.Errorf("one byte more: %d %s", w.Code, w.Body)
		}
	}
}

func TestTokensAreCountedForBothForms(t *testing.T) {
	l := &lanes{exact: true}
	w := ask(tester(l), "/model/alias/count-tokens", `{"input":{"converse":{"messages":[1, 2]}}}`)
	if w.Body.String() != `{"inputTokens":42}` || w.Header().Get(headerCount) != "exact" || l.typ != batholith.Converse || l.body != `{"messages":[1, 2]}` {
		t.Errorf("%s %v: %s %s", w.Body, w.Header(), l.typ, l.body)
	}
	l.exact = false
	w = ask(tester(l), "/model/alias/count-tokens", `{"input":{"invokeModel":{"body":"eyJhIjoxfQ=="}}}`)
	if w.Body.String() != `{"inputTokens":42}` || w.Header().Get(headerCount) != "estimate" || l.typ != batholith.InvokeModel || l.body != `{"a":1}` {
		t.Errorf("%s %v: %s %s", w.Body, w.Header(), l.typ, l.body)
	}
}

// policies permits what it is told, and remembers what it was asked.
type policies struct {
	permits string
	asked   []string
}

func (p *policies) Unrestricted() bool { return false }
func (p *policies) Decide(_ context.Context, r authz.Request) authz.Decision {
	p.asked = append(p.asked, r.Action+" "+r.Resource.ID)
	return authz.Decision{Allowed: r.Action == p.permits}
}

func TestAPolicyDecidesAboutEachAction(t *testing.T) {
	for path, action := range map[string]string{"invoke": actionInvoke, "converse": actionInvoke, "count-tokens": actionCount} {
		p := &policies{permits: action}
		l := &lanes{answer: batholith.Answer{Output: []byte(`{}`)}}
		h := tester(l, func(o *Options) { o.Authorizer = p })
		body := `{"input":{"converse":{}}}`
		if w := ask(h, "/model/alias/"+path, body); w.Code != 200 {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
		p.permits = "none"
		if w := ask(h, "/model/alias/"+path, body); w.Code != 403 || w.Header().Get("x-amzn-ErrorType") != "AccessDeniedException" || !strings.Contains(w.Body.String(), action) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
		if w := ask(h, "/model/unknown/"+path, body); w.Code != 403 { // a model that is not there is no more than one that may not be used
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
		if p.asked[0] != action+" test.model-v1:0" {
			t.Errorf("asked about %v", p.asked)
		}
	}
}

func TestEachPrincipalHasItsOwnRateOfCalls(t *testing.T) {
	who := "alice"
	h := tester(&lanes{answer: batholith.Answer{Output: []byte(`{}`)}}, func(o *Options) {
		o.Limits.MaxCallsPerSecond = 1
		o.Authenticate = func(*http.Request, []byte) (bedrock.Caller, error) { return bedrock.Caller{Principal: who}, nil }
	})
	first, second := ask(h, modelPath, `{}`), ask(h, modelPath, `{}`)
	who = "bob"
	if other := ask(h, modelPath, `{}`); first.Code != 200 || second.Code != 429 || second.Header().Get("x-amzn-ErrorType") != "ThrottlingException" || other.Code != 200 {
		t.Errorf("%d, %d %s, %d", first.Code, second.Code, second.Body, other.Code)
	}
}

func TestAProcessWithoutAWorkerSaysSo(t *testing.T) {
	if w := ask(tester(nil), modelPath, `{}`); w.Code != 503 || w.Header().Get("x-amzn-ErrorType") != CodeServiceUnavailable || !strings.Contains(w.Body.String(), "worker") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// What a client asks, and what it is answered, is in no log, even if the call fails.
func TestNoLogHasACallsBodyOrAnswer(t *testing.T) {
	var log bytes.Buffer
	for _, err := range []error{nil, errors.New("odd"), &batholith.Failure{Kind: batholith.FailureRetry, Message: "the answer is secret-answer"}} {
		l := &lanes{err: err, answer: batholith.Answer{Output: []byte(`{"a":"secret-answer"}`)}}
		h := tester(l, func(o *Options) {
			o.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		})
		ask(h, modelPath, `{"a":"secret-question"}`)
		ask(h, "/model/secret-name-of-nobody/invoke", `{"a":"secret-question"}`)
	}
	if strings.Contains(log.String(), "secret") || !strings.Contains(log.String(), "odd") {
		t.Errorf("the log: %s", &log)
	}
}

// A client that has gone is not answered, and its line in the audit log tells it from a failure of the service.
func TestAClientThatHasGoneIsNoFailure(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := httptest.NewRequest(http.MethodPost, modelPath, strings.NewReader(`{}`)).WithContext(ctx)
	w := httptest.NewRecorder()
	tester(&lanes{err: context.Canceled}).ServeHTTP(w, r)
	if w.Code != gone || w.Body.Len() > 0 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
