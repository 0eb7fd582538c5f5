package runtime

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/bedrock"
)

// TestEveryAnswerIsCountedOnce: a whole answer with its counts, a stream with those of its end, and one that breaks off, also because its client
// has gone, with an estimate, so that nobody reads for nothing. A call without an answer is not counted.
func TestEveryAnswerIsCountedOnce(t *testing.T) {
	whole := batholith.Tokens{Input: 4, Output: 2}
	for name, c := range map[string]struct {
		m          modelServer
		path, body string
		counted    bool
		failed     string // code
		tokens     batholith.Tokens
	}{
		"a whole answer":            {modelServer{}, strings.TrimSuffix(conversePath, "-stream"), converseText, true, "", batholith.Tokens{Input: 4, Output: 2}},
		"a stream":                  {modelServer{chunks: hiThere}, conversePath, converseText, true, "", whole},
		"a stream of InvokeModel":   {modelServer{chunks: hiThere}, invokePath, invokeBody, true, "", whole},
		"a stream of OpenAI's":      {modelServer{chunks: hiThere}, "/openai/v1/chat/completions", `{"model":"` + modelName + `","messages":[{"role":"user","content":"Hello"}],"stream":true}`, true, "", whole},
		"cut off":                   {modelServer{chunks: hiThere[:3]}, conversePath, converseText, true, "ModelErrorException", batholith.Tokens{Input: 9, Output: 3}},
		"too busy after some words": {modelServer{chunks: hiThere[:3], fails: &batholith.Failure{Kind: batholith.FailureBackPressure, Status: 429}}, conversePath, converseText, true, "ThrottlingException", batholith.Tokens{Input: 9, Output: 3}},
		"no event at all":           {modelServer{}, conversePath, converseText, false, "", batholith.Tokens{}},
		"a bad body":                {modelServer{}, conversePath, `{}`, false, "", batholith.Tokens{}},
	} {
		t.Run(name, func(t *testing.T) {
			var uses []Use
			m := c.m
			h := NewHandler(Options{Models: &m, Lanes: &m, Authenticate: func(*http.Request, []byte) (bedrock.Caller, error) {
				return bedrock.Caller{Account: "1", Principal: "p"}, nil
			}, Used: func(_ context.Context, u Use) { uses = append(uses, u) }})
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, c.path, strings.NewReader(c.body)))
			if !c.counted {
				if len(uses) != 0 {
					t.Errorf("%+v", uses)
				}
				return
			}
			if len(uses) != 1 {
				t.Fatalf("%d times: %+v", len(uses), uses)
			}
			u := uses[0]
			if c.failed != "" && (u.Tokens.Input < 1 || u.Tokens.Input > 30) { // an estimate
				t.Errorf("estimated input: %+v", u)
			}
			if c.failed != "" {
				c.tokens.Input = u.Tokens.Input
			}
			if u.Failed != c.failed || u.Tokens != c.tokens || u.Model != modelName || u.Who.Principal != "p" {
				t.Errorf("%+v, want %+v %s", u, c.tokens, c.failed)
			}
		})
	}

	uses := make(chan Use, 1)
	m := &modelServer{chunks: hiThere, came: make(chan struct{}, len(hiThere)), gone: make(chan error, 1)}
	s := httptest.NewServer(NewHandler(Options{Models: m, Lanes: m, Authenticate: func(*http.Request, []byte) (bedrock.Caller, error) { return bedrock.Caller{}, nil },
		Used: func(_ context.Context, u Use) { uses <- u }}))
	defer s.Close()
	m.came <- struct{}{} // the role
	m.came <- struct{}{} // a word
	resp := post(t, s, conversePath, converseText)
	if _, err := resp.Body.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if u := <-uses; u.Failed != clientGone || u.Tokens.Output < 1 || u.Tokens.Input < 1 {
		t.Errorf("a client that has gone: %+v", u)
	}
}

// TestACallerWithoutTokensIsRefused: at the quota nothing is sent, in every API. Counting tokens and lists go on.
func TestACallerWithoutTokensIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		quota, spent int64
		err          error
		status       int
	}{
		"no quota": {0, 1000, nil, 200}, "below": {100, 99, nil, 200}, "reached": {100, 100, nil, 429}, "exceeded": {100, 1000, nil, 429},
		"unknown": {100, 0, errors.New("secret detail"), 503}, "unknown without a quota": {0, 0, errors.New("secret detail"), 200},
	} {
		for path, body := range map[string]string{
			strings.TrimSuffix(conversePath, "-stream"): converseText, conversePath: converseText, invokePath: invokeBody,
			"/openai/v1/chat/completions": `{"model":"` + modelName + `","messages":[{"role":"user","content":"Hello"}]}`,
			"/anthropic/v1/messages":      `{"model":"` + modelName + `","max_tokens":9,"messages":[{"role":"user","content":"Hello"}]}`,
		} {
			m := &modelServer{chunks: hiThere}
			h := NewHandler(Options{Models: m, Lanes: m, Limits: batholith.Limits{MaxTokensPerDay: c.quota},
				Authenticate: func(*http.Request, []byte) (bedrock.Caller, error) { return bedrock.Caller{Principal: "p"}, nil },
				Spent:        func(_ context.Context, who bedrock.Caller) (int64, error) { return c.spent, c.err }})
			do := func(method, path, body string) (int, string) {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
				said, _ := io.ReadAll(w.Result().Body)
				return w.Code, string(said)
			}
			status, said := do(http.MethodPost, path, body)
			want := c.status
			if want == 503 && strings.HasPrefix(path, "/anthropic") {
				want = 529
			}
			if status != want || strings.Contains(said, "secret") || (status == 429) != strings.Contains(said, "Too many tokens per day, please wait before trying again") || status != 200 && m.turns != 0 {
				t.Errorf("%s, %s: %d after %d attempts: %s", name, path, status, m.turns, said)
			}
			if status, said := do(http.MethodPost, "/model/"+modelName+"/count-tokens", `{"input":{"converse":`+converseText+`}}`); status != 200 {
				t.Errorf("%s: CountTokens: %d %s", name, status, said)
			}
			if status, _ := do(http.MethodGet, "/openai/v1/models", ""); status != 200 {
				t.Errorf("%s: the list: %d", name, status)
			}
		}
	}
}
