// Package upstreamtest checks the protocols of model servers: what package dialect writes and
// reads, and what package upstream sends and makes of the answers. A protocol describes how its
// server answers; the laws are the same for all.
package upstreamtest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/dialect"
	"github.com/batholith/batholith/internal/upstream"
)

// Model is the server's name of the model in all requests.
const Model = "served:1"

// Quoted is a word of the record. Errors may quote it, and nobody else may read it.
const Quoted = "pr0mpt"

// Protocol describes a protocol by a record and its server's answers. Each answer that counts
// says "Hi".
type Protocol struct {
	Options upstream.Options // Protocol, and a key; the suite sets the URL and the model
	Family  string
	Type    batholith.InvocationType
	Record  string // a modelInput
	Path    string // to which its request goes

	// Keyed reports whether a request carries the key of Options.
	Keyed func(*http.Request) bool
	// Good is the body of an answer, Headers its headers, and Tokens what they count.
	Good    string
	Headers map[string]string
	Tokens  batholith.Tokens
	// Answers are further whole answers, and a text that their output contains: one that was cut
	// by max_tokens, a refusal, and a tool call with the arguments {"a":1}.
	Cut, Refusal, Call Answer
	// Broken are 200 answers that are not whole, or contain an error.
	Broken map[string]batholith.FailureKind
	// Errors are error answers.
	Errors []Error
	// List is the list of models with Model in it, and ListPath its path with the query; "": the
	// protocol has none.
	List, ListPath string
}

// Answer is the body of a 200 answer, and what its output contains; no body: the protocol has no
// such answer.
type Answer struct{ Body, Want string }

// Error is an error answer, and what it means.
type Error struct {
	Status  int
	Headers map[string]string
	Body    string
	Kind    batholith.FailureKind
	Wait    time.Duration // RetryAfter
	Remedy  string        // a part of it
}

// Run checks a protocol.
func Run(t *testing.T, p Protocol) {
	for name, law := range map[string]func(*testing.T, *server){
		"AWholeAnswerCounts":             wholeAnswer,
		"EveryEndIsTold":                 everyEnd,
		"AnAnswerThatIsNotWholeFails":    notWhole,
		"NonsenseIsNoAnswer":             nonsense,
		"ATornAnswerIsACrash":            torn,
		"AnErrorHasItsKind":              errorKinds,
		"TheKeyIsNotTold":                wrongKey,
		"ACanaryIsAnswered":              canary,
		"TheListOfModelsIsRead":          list,
		"AServerThatIsAwayIsUnreachable": away,
	} {
		t.Run(name, func(t *testing.T) { law(t, newServer(t, p)) })
	}
}

// server is the server that the suite plays, and its backend.
type server struct {
	Protocol
	t       *testing.T
	dialect dialect.Dialect
	backend *upstream.Backend
	http    *httptest.Server

	mu     sync.Mutex
	answer http.HandlerFunc // of the present step
	asked  *http.Request    // the latest request
	body   []byte           // its body
}

func newServer(t *testing.T, p Protocol) *server {
	s := &server{Protocol: p, t: t}
	var err error
	if s.dialect, err = dialect.For(p.Family, p.Options.Protocol, p.Type, dialect.Options{Names: []string{"m"}}); err != nil {
		t.Fatal(err)
	}
	s.http = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		s.asked, s.body = r, body
		answer := s.answer
		s.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(s.http.Close)
	o := p.Options
	o.URL, o.Model = s.http.URL, Model
	if s.backend, err = upstream.New(o); err != nil {
		t.Fatal(err)
	}
	return s
}

// says makes the server answer with a status, headers and a body.
func (s *server) says(status int, headers map[string]string, body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = func(w http.ResponseWriter, _ *http.Request) {
		for name, v := range headers {
			w.Header().Set(name, v)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// got returns the latest request and its body.
func (s *server) got() (*http.Request, []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked, s.body
}

// ask sends the record, and translates the answer.
func (s *server) ask() (batholith.Answer, error) {
	s.t.Helper()
	call, err := s.dialect.Request([]byte(s.Record), Model)
	if err != nil {
		s.t.Fatal(err)
	}
	body, err := s.backend.Do(s.t.Context(), call)
	if err != nil {
		return batholith.Answer{}, err
	}
	return s.dialect.Answer([]byte(s.Record), call, body)
}

// outlines reports whether a body is one line of JSON.
func outlines(b []byte) bool {
	return jsontext.Value(b).IsValid(jsontext.AllowDuplicateNames(true)) && !strings.ContainsAny(string(b), "\r\n")
}

func wholeAnswer(t *testing.T, s *server) {
	s.says(200, s.Headers, s.Good)
	a, err := s.ask()
	if err != nil {
		t.Fatal(err)
	}
	asked, body := s.got()
	if asked.Method != http.MethodPost || asked.URL.EscapedPath() != s.Path {
		t.Errorf("the request is %s %s, not POST %s", asked.Method, asked.URL.EscapedPath(), s.Path)
	}
	if !s.Keyed(asked) {
		t.Errorf("the request has no key: %v", asked.Header)
	}
	if !outlines(body) {
		t.Errorf("the request is no line of JSON: %q", body)
	}
	if !outlines(a.Output) || !strings.Contains(string(a.Output), "Hi") {
		t.Errorf("the output is %s", a.Output)
	}
	if a.Tokens != s.Tokens {
		t.Errorf("tokens are %+v, not %+v", a.Tokens, s.Tokens)
	}
	if len(s.Headers) == 0 {
		if got := dialect.Usage(s.Options.Protocol, []byte(s.Good)); got != s.Tokens {
			t.Errorf("the usage is %+v, not %+v", got, s.Tokens)
		}
	}
	if !dialect.CanaryAnswered(s.Options.Protocol, []byte(s.Good)) && s.Type == batholith.Converse {
		t.Error("the answer is none to a canary")
	}
}

func everyEnd(t *testing.T, s *server) {
	for name, end := range map[string]Answer{"cut": s.Cut, "refusal": s.Refusal, "call": s.Call} {
		if end.Body == "" {
			continue
		}
		s.says(200, nil, end.Body)
		if a, err := s.ask(); err != nil || !strings.Contains(string(a.Output), end.Want) {
			t.Errorf("%s: %s, %v; want %s", name, a.Output, err, end.Want)
		}
	}
}

func notWhole(t *testing.T, s *server) {
	for body, kind := range s.Broken {
		s.says(200, nil, body)
		_, err := s.ask()
		f, ok := errors.AsType[*batholith.Failure](err)
		if !ok || f.Kind != kind {
			t.Errorf("%s: %v, not a failure of kind %v", body, err, kind)
		}
		if dialect.CanaryAnswered(s.Options.Protocol, []byte(body)) && kind != batholith.FailureRetry {
			t.Errorf("%s answers a canary", body)
		}
	}
}

func nonsense(t *testing.T, s *server) {
	for _, body := range []string{"", "{", "[]", `"Hi"`, "null", "{}", "<html><body>Hi</body></html>", `{"message":"Hi"}`, s.Good[:len(s.Good)/2]} {
		s.says(200, nil, body)
		a, err := s.ask()
		f, failed := errors.AsType[*batholith.Failure](err)
		if !errors.Is(err, dialect.ErrNonsense) && !(failed && f.Kind == batholith.FailureRetry) {
			t.Errorf("%q: %s, %v", body, a.Output, err)
		}
		if dialect.CanaryAnswered(s.Options.Protocol, []byte(body)) {
			t.Errorf("%q answers a canary", body)
		}
		if n := dialect.Usage(s.Options.Protocol, []byte(body)); n != (batholith.Tokens{}) {
			t.Errorf("%q takes %+v", body, n)
		}
	}
}

func torn(t *testing.T, s *server) {
	s.mu.Lock()
	s.answer = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100000")
		_, _ = io.WriteString(w, s.Good)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	s.mu.Unlock()
	_, err := s.ask()
	if f, ok := errors.AsType[*batholith.Failure](err); !ok || f.Kind != batholith.FailureRetry || !f.Crash || !f.Sent {
		t.Errorf("a torn answer is %+v", err)
	}
}

func errorKinds(t *testing.T, s *server) {
	for _, e := range s.Errors {
		s.says(e.Status, e.Headers, e.Body)
		_, err := s.ask()
		f, ok := errors.AsType[*batholith.Failure](err)
		if !ok || f.Kind != e.Kind || f.RetryAfter != e.Wait || !strings.Contains(f.Remedy, e.Remedy) {
			t.Errorf("%d %s: %+v, not a failure of kind %v after %v with the remedy %q", e.Status, e.Body, err, e.Kind, e.Wait, e.Remedy)
		}
		if ok && strings.Contains(f.Public, Quoted) {
			t.Errorf("%d %s: others are told %q", e.Status, e.Body, f.Public)
		}
	}
}

func wrongKey(t *testing.T, s *server) {
	key := s.Options.APIKey + s.Options.AWS.SecretAccessKey
	for _, status := range []int{401, 403} {
		s.says(status, nil, `{"message":"the key `+key+` is not known","error":{"type":"authentication_error","message":"the key `+key+` is not known"}}`)
		_, err := s.ask()
		f, ok := errors.AsType[*batholith.Failure](err)
		if !ok || f.Kind != batholith.FailureMisconfigured || !strings.Contains(f.Remedy, "key") {
			t.Errorf("%d: %+v", status, err)
		}
		if ok && (strings.Contains(f.Public, key) || strings.Contains(f.Message, key) && s.Options.APIKey != "") {
			t.Errorf("%d: the key is told: %q, %q", status, f.Public, f.Message)
		}
	}
}

func canary(t *testing.T, s *server) {
	path := dialect.PathOf(s.dialect, []byte(s.Record))
	for n := range dialect.CanaryTexts {
		call, ok := dialect.Canary(s.Options.Protocol, path, 0, Model, n)
		if !ok {
			t.Skip("there is none for this path")
		}
		s.says(200, s.Headers, s.Good)
		body, err := s.backend.Do(t.Context(), call)
		if err != nil {
			t.Fatal(err)
		}
		if asked, sent := s.got(); !outlines(sent) || !s.Keyed(asked) {
			t.Errorf("the canary is %s", sent)
		}
		if s.Type == batholith.InvokeModel && s.Options.Protocol == dialect.ProtocolBedrock {
			continue // its canary is of Converse
		}
		if !dialect.CanaryAnswered(s.Options.Protocol, body) {
			t.Errorf("%s is no answer", body)
		}
	}
	for _, f := range []dialect.Features{dialect.FeatureMedia, dialect.FeatureTools, dialect.FeatureTools | dialect.FeatureSchema} {
		if call, ok := dialect.Canary(s.Options.Protocol, path, f, Model, 0); ok && !outlines(call.Body) {
			t.Errorf("the canary with the features %b is %s", f, call.Body)
		}
	}
}

func list(t *testing.T, s *server) {
	if s.List == "" {
		s.says(404, nil, `{"message":"no such operation"}`)
		if err := s.backend.Probe(t.Context()); err != nil {
			t.Errorf("a server without a list is %v", err)
		}
		return
	}
	s.says(200, nil, s.List)
	if err := s.backend.Probe(t.Context()); err != nil {
		t.Errorf("the model is listed: %v", err)
	}
	if asked, _ := s.got(); asked.URL.RequestURI() != s.ListPath || !s.Keyed(asked) {
		t.Errorf("the list is asked for at %s, not at %s with the key", asked.URL.RequestURI(), s.ListPath)
	}
	s.says(200, nil, strings.ReplaceAll(s.List, Model, "another"))
	if f, ok := errors.AsType[*batholith.Failure](s.backend.Probe(t.Context())); !ok || f.Kind != batholith.FailureMisconfigured || !strings.Contains(f.Public, "another") {
		t.Errorf("the model is not listed: %+v", f)
	}
	s.says(404, nil, `{"message":"no list"}`)
	if err := s.backend.Probe(t.Context()); err != nil {
		t.Errorf("a server without a list is %v", err)
	}
}

func away(t *testing.T, s *server) {
	s.http.Close()
	_, err := s.ask()
	if f, ok := errors.AsType[*batholith.Failure](err); !ok || f.Kind != batholith.FailureUnreachable || f.Sent {
		t.Errorf("a server that is away is %+v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("called off")
	cancel(gone)
	call, _ := s.dialect.Request([]byte(s.Record), Model)
	if _, err := s.backend.Do(ctx, call); !errors.Is(err, gone) {
		t.Errorf("a request that is called off is %v", err)
	}
}
