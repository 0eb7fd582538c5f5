package sts

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/batholith/batholith/internal/sigv4"
)

// settings have the key AK and the role r.
type settings struct{ *sigv4.Ring }

func (settings) Role(arn string) (Role, bool) {
	return Role{}, arn == "arn:aws:iam::000000000000:role/r"
}

var ann = sigv4.AccessKey{ID: "AK", Secret: "secret", Identity: sigv4.Identity{Account: "000000000000", Principal: "ann"}}

func sessions(t testing.TB, key byte) *Sessions {
	t.Helper()
	s, err := NewSessions(bytes.Repeat([]byte{key}, KeySize), settings{sigv4.NewRing([]sigv4.AccessKey{ann}, nil)}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// verdict is the verifier's, on every request.
type verdict struct{ err error }

func (v verdict) Admit(*http.Request) (bool, error) { return false, v.err }
func (v verdict) Verify(*http.Request, []byte) (sigv4.Identity, error) {
	return ann.Identity, v.err
}

func TestRefusalsHaveAWSsForm(t *testing.T) {
	for name, c := range map[string]struct {
		form, method string
		err          error
		status       int
		code         string
	}{
		"no action":           {"Version=2011-06-15", "POST", nil, 400, "MissingAction"},
		"an unknown action":   {"Action=DecodeAuthorizationMessage", "POST", nil, 400, "InvalidAction"},
		"a broken form":       {"Action=%zz", "POST", nil, 400, "MalformedQueryString"},
		"a large form":        {strings.Repeat("a", bodyBytes+1), "POST", nil, 400, "ValidationError"},
		"an unsigned one":     {"Action=GetCallerIdentity", "POST", &sigv4.Error{Code: sigv4.CodeMissing, Status: 403}, 403, "MissingAuthenticationToken"},
		"an expired session":  {"Action=GetCallerIdentity", "POST", &sigv4.Error{Code: sigv4.CodeExpired, Status: 403}, 403, "ExpiredToken"},
		"a fault of our own":  {"Action=GetCallerIdentity", "POST", errors.New("secret detail"), 500, "InternalFailure"},
		"an identity":         {"Action=GetCallerIdentity", "POST", nil, 200, ""},
		"an identity, by GET": {"Action=GetCallerIdentity", "GET", nil, 200, ""},
		"no role":             {"Action=AssumeRole&RoleSessionName=ab&RoleArn=%3Cx%3E", "POST", nil, 400, "ValidationError"},
	} {
		h := &Handler{Verifier: verdict{c.err}, Sessions: sessions(t, 1), Log: slog.New(slog.DiscardHandler)}
		r := httptest.NewRequest(c.method, "/", strings.NewReader(c.form))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
		if c.method == "GET" {
			r = httptest.NewRequest(c.method, "/?"+c.form, nil)
		}
		if !Is(r) {
			t.Errorf("%s is not taken for a request to STS", name)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		body, _ := io.ReadAll(w.Body)
		_, rest, _ := strings.Cut(string(body), "<Code>")
		code, _, _ := strings.Cut(rest, "</Code>")
		if w.Code != c.status || code != c.code || !strings.Contains(string(body), "<RequestId>") || !strings.Contains(string(body), `xmlns="`+namespace+`"`) {
			t.Errorf("%s: %d %s", name, w.Code, body)
		}
		if strings.Contains(string(body), "secret detail") || strings.Contains(string(body), "<x>") {
			t.Errorf("%s reveals or repeats too much: %s", name, body)
		}
	}
}

func TestTheFirstUnsupportedParameterIsTold(t *testing.T) {
	for form, want := range map[string]string{
		"SerialNumber=x&PolicyArns.member.1.arn=a&TokenCode=1": "PolicyArns",
		"Tags.member.1.Key=a&Policy=x":                         "Policy",
		"TransitiveTagKeys.member.1=a&TokenCode=1":             "TokenCode",
		"RoleArn=a&Tag=b&PolicyArn=c":                          "",
	} {
		values, err := url.ParseQuery(form)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			if got, found := (call{form: values}).restricts(); got != want || found != (want != "") {
				t.Errorf("%s: %q, want %q", form, got, want)
			}
		}
	}
}

func TestATokenOpensForItsOwnKeyOnly(t *testing.T) {
	s := sessions(t, 1)
	a, err := s.issue(ticket{Account: "000000000000", Principal: "p", Role: "arn:aws:iam::000000000000:role/r"}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := s.issue(ticket{Account: "000000000000", Principal: "p", Role: "arn:aws:iam::000000000000:role/r"}, time.Hour)
	if k, err := s.Session(a.AccessKeyID, a.SessionToken); err != nil || k.Secret != a.SecretAccessKey || len(k.Secret) != 40 || len(k.ID) != 20 {
		t.Errorf("%+v, %v", k, err)
	}
	for name, c := range map[string]struct {
		s         *Sessions
		id, token string
	}{"another key's token": {s, a.AccessKeyID, b.SessionToken}, "another server": {sessions(t, 2), a.AccessKeyID, a.SessionToken}, "no token": {s, a.AccessKeyID, ""}, "a permanent key": {s, "AK", a.SessionToken},
		"a line break in it": {s, a.AccessKeyID, a.SessionToken[:9] + "\n" + a.SessionToken[9:]}, "a line break after it": {s, a.AccessKeyID, a.SessionToken + "\r\n"}} {
		if _, err := c.s.Session(c.id, c.token); !errors.Is(err, sigv4.ErrNoSession) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzTokensNeverOpenUnlessTheyWereIssued(f *testing.F) {
	s := sessions(f, 1)
	a, err := s.issue(ticket{Account: "000000000000", Principal: "p", Role: "arn:aws:iam::000000000000:role/r"}, time.Hour)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(a.AccessKeyID, a.SessionToken[:20])
	f.Add("ASIA", "")
	f.Fuzz(func(t *testing.T, id, token string) {
		if _, err := s.Session(id, token); err == nil {
			t.Errorf("%q opens with %q", token, id)
		}
	})
}
