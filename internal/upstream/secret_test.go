package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/batholith/batholith"
)

// secret stands for a tenant's prompt that a server repeats.
const secret = "PROMPT-OF-ALICE"

// TestNoByteOfAServerIsTold: whatever a server answers, with the request quoted in every place that it can be quoted in, only Message
// may have the quote, which goes to the record's own line. What is told to everybody names the host and has no byte of the answer.
func TestNoByteOfAServerIsTold(t *testing.T) {
	quotes := map[string]http.HandlerFunc{
		"malformed status":  hijacked("HTTP/1.1 " + secret + "\r\n\r\n"),
		"malformed version": hijacked("HTTP/" + secret + " 200 OK\r\n\r\n"),
		"malformed header":  hijacked("HTTP/1.1 200 OK\r\n" + secret + "\r\n\r\n"),
		"malformed length":  hijacked("HTTP/1.1 200 OK\r\nContent-Length: " + secret + "\r\n\r\n"),
		"two lengths":       hijacked("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: " + secret + "\r\n\r\n"),
		"unknown transfer":  hijacked("HTTP/1.1 200 OK\r\nTransfer-Encoding: " + secret + "\r\n\r\n"),
		"malformed chunk":   hijacked("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + secret + "\r\n\r\n"),
		"not HTTP":          hijacked(secret + "\r\n"),
		"encoding":          hijacked("HTTP/1.1 200 OK\r\nContent-Encoding: " + secret + "\r\nContent-Length: 2\r\n\r\n{}"),
		"bad location":      hijacked("HTTP/1.1 307 X\r\nLocation: http://[" + secret + "\r\nContent-Length: 0\r\n\r\n"),
		"location":          hijacked("HTTP/1.1 307 X\r\nLocation: http://other.invalid/" + secret + "\r\nContent-Length: 0\r\n\r\n"),
		"own location":      hijacked("HTTP/1.1 307 X\r\nLocation: /" + secret + "\r\nContent-Length: 0\r\n\r\n"),
		"reason phrase":     hijacked("HTTP/1.1 503 " + secret + "\r\nContent-Length: 0\r\n\r\n"),
		"retry after":       hijacked("HTTP/1.1 429 X\r\nRetry-After: " + secret + "\r\nContent-Length: 0\r\n\r\n"),
		"error in a 200":    says(200, `{"error":{"message":"`+secret+`","type":"`+secret+`","code":"`+secret+`"}}`),
	}
	for _, status := range []int{201, 204, 300, 302, 400, 401, 402, 403, 404, 405, 408, 409, 413, 418, 422, 429, 451, 500, 501, 502, 503, 504, 505, 529, 599} {
		for _, body := range []string{secret, `{"error":"` + secret + `"}`, `{"error":{"message":"` + secret + `","code":"` + secret + `"}}`, `{"detail":"` + secret + `"}`,
			`{"message":"loading model ` + secret + `"}`, `{"error":{"type":"insufficient_quota","message":"` + secret + `"}}`} {
			quotes[fmt.Sprint(status, " ", body)] = says(status, body)
		}
	}
	for name, h := range quotes {
		f := failureOf(t, Options{Model: "m"}, h)
		tellsNothing(t, name, f)
	}
}

func tellsNothing(t *testing.T, name string, f *batholith.Failure) {
	t.Helper()
	if f.Public == "" || !strings.Contains(f.Public, "127.0.0.1") {
		t.Errorf("%s: told to everybody: %q, which does not name the server", name, f.Public)
	}
	if told := f.Public + f.Reason() + f.Error(); strings.Contains(strings.ToUpper(told), secret) {
		t.Errorf("%s: told to everybody: %q", name, told)
	}
}

func TestNoByteOfAServerIsToldByAProbe(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"a list of quotes": says(200, `{"data":[{"id":"please answer: `+secret+`"},{"id":"\u001b[31m`+secret+`"}]}`),
		"malformed":        hijacked("HTTP/1.1 " + secret + "\r\n\r\n"),
		"not HTTP":         hijacked(secret + "\r\n"),
	} {
		f, ok := errors.AsType[*batholith.Failure](probed(t, h))
		if !ok {
			t.Fatalf("%s: the probe succeeded", name)
		}
		tellsNothing(t, name, f)
	}
}

// TestNoByteOfACertificateIsTold: a certificate can carry any text.
func TestNoByteOfACertificateIsTold(t *testing.T) {
	s := httptest.NewUnstartedServer(says(200, "{}"))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	roots := s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	for name, c := range map[string]*tls.Config{
		"unknown authority": {},
		"other name":        {RootCAs: roots, ServerName: "other.invalid"},
	} {
		b, err := New(Options{URL: s.URL + "/v1", Transport: &http.Transport{TLSClientConfig: c}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = b.Do(context.Background(), call)
		f, ok := errors.AsType[*batholith.Failure](err)
		if !ok || f.Kind != batholith.FailureUnreachable || strings.Contains(f.Public, "example.com") || !strings.Contains(f.Public, "certificate") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestTheKeyIsNotCutInTwo: a key at the place where a long message is cut is taken out before that.
func TestTheKeyIsNotCutInTwo(t *testing.T) {
	for n := maxSaid - 20; n < maxSaid; n++ {
		f := failureOf(t, Options{APIKey: "sk-0123456789abcdef"}, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			io.WriteString(w, strings.Repeat("x", n)+"sk-0123456789abcdef"+strings.Repeat("y", 100))
		})
		if strings.Contains(f.Message, "sk-") {
			t.Fatalf("behind %d bytes: %s", n, f.Message)
		}
	}
}
