package upstream

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/sigv4"
)

// TestTheRegionIsThatOfTheAddress unless the settings have another.
func TestTheRegionIsThatOfTheAddress(t *testing.T) {
	for host, want := range map[string]string{
		"bedrock-runtime.us-west-2.amazonaws.com":                  "us-west-2",
		"bedrock-runtime-fips.us-gov-west-1.amazonaws.com":         "us-gov-west-1",
		"bedrock-runtime.cn-north-1.amazonaws.com.cn":              "cn-north-1",
		"vpce-1-2.bedrock-runtime.eu-central-1.vpce.amazonaws.com": "eu-central-1",
		"127.0.0.1": "", "batholith.example.net": "",
	} {
		if got := regionOf(host); got != want {
			t.Errorf("%s is in %q, not in %q", host, got, want)
		}
	}
	b, err := New(Options{Protocol: "bedrock", Model: "m", AWS: AWS{Region: "eu-north-1", AccessKeyID: "A", SecretAccessKey: "s"}})
	if err != nil || b.String() != "bedrock-runtime.eu-north-1.amazonaws.com" {
		t.Errorf("a backend with a region alone is %v, %v", b, err)
	}
}

// TestARequestIsSignedAgainWhenTheClockIsWrong: the server's clock counts, after one refusal.
func TestARequestIsSignedAgainWhenTheClockIsWrong(t *testing.T) {
	there := time.Now().Add(-42 * time.Minute)
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.Header().Set("Date", there.UTC().Format(http.TimeFormat))
		signed, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
		if err != nil || signed.Sub(there).Abs() > 5*time.Minute {
			w.Header().Set("X-Amzn-ErrorType", "InvalidSignatureException")
			w.WriteHeader(http.StatusForbidden)
			_, _ = w.Write([]byte(`{"message":"Signature expired"}`))
			return
		}
		_, _ = w.Write([]byte(`{"generation":"Hi"}`))
	}))
	defer server.Close()
	b, err := New(Options{URL: server.URL, Protocol: "bedrock", Model: "m", AWS: AWS{AccessKeyID: "A", SecretAccessKey: "s"}})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if body, err := b.Do(t.Context(), batholith.Call{Path: "/model/m/invoke", Body: []byte(`{}`)}); err != nil || string(body) != `{"generation":"Hi"}` {
			t.Errorf("%s, %v", body, err)
		}
	}
	if n := asked.Load(); n != 3 {
		t.Errorf("the server got %d requests, not 3: one is refused", n)
	}
}

// TestAWrongKeyIsNotTakenForAWrongClock: it is refused once, and told as what it is.
func TestAWrongKeyIsNotTakenForAWrongClock(t *testing.T) {
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set("X-Amzn-ErrorType", "InvalidSignatureException")
		w.WriteHeader(http.StatusForbidden)
	}))
	defer server.Close()
	b, err := New(Options{URL: server.URL, Protocol: "bedrock", Model: "m", AWS: AWS{AccessKeyID: "A", SecretAccessKey: "s"}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.Do(t.Context(), batholith.Call{Path: "/model/m/invoke", Body: []byte(`{}`)})
	if f, ok := errors.AsType[*batholith.Failure](err); !ok || f.Kind != batholith.FailureMisconfigured || !strings.Contains(f.Remedy, "AWS keys") || asked.Load() != 1 {
		t.Errorf("%+v after %d requests", err, asked.Load())
	}
}

// TestASignatureIsWhatAServerExpects: this program verifies it, with a model whose id needs escapes.
func TestASignatureIsWhatAServerExpects(t *testing.T) {
	file := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(file, []byte("[batch]\naws_access_key_id = AKFILE\naws_secret_access_key = filesecret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "AKENV")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "envsecret")
	t.Setenv("AWS_SESSION_TOKEN", "")
	secrets := map[string]string{"AKSET": "setsecret", "AKFILE": "filesecret", "AKENV": "envsecret"}
	for want, keys := range map[string]AWS{
		"AKSET":  {Region: "us-east-1", AccessKeyID: "AKSET", SecretAccessKey: "setsecret"},
		"AKFILE": {Region: "us-east-1", Profile: "batch", File: file},
		"AKENV":  {Region: "us-east-1"},
	} {
		var got atomic.Value
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			got.Store(verified(t, r, secrets))
			_, _ = w.Write([]byte(`{"generation":"Hi"}`))
		}))
		b, err := New(Options{URL: server.URL, Protocol: "bedrock", Model: "m", AWS: keys})
		if err != nil {
			t.Fatal(err)
		}
		_, err = b.Do(t.Context(), batholith.Call{Path: "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A%3Afoundation-model%2Fm%3A0/invoke", Body: []byte(`{"a":1}`)})
		server.Close()
		if err != nil || got.Load() != want {
			t.Errorf("%s: the request is that of %v (%v)", want, got.Load(), err)
		}
	}
}

// verified returns the access key whose signature a request has, or why it has none.
func verified(t *testing.T, r *http.Request, secrets map[string]string) string {
	t.Helper()
	var keys []sigv4.AccessKey
	for id, secret := range secrets {
		keys = append(keys, sigv4.AccessKey{ID: id, Secret: secret})
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err.Error()
	}
	v := sigv4.New("us-east-1", "bedrock", sigv4.NewRing(keys, nil), time.Now)
	if _, err := v.Verify(r, body); err != nil {
		return err.Error()
	}
	return sigv4.KeyOf(r)
}
