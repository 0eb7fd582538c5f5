package sts

import (
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/batholith/batholith/internal/sigv4"
)

// A request for a session that was overheard gives no session once sigv4.Skew is over.
func TestASignatureOutsideItsWindowGetsNoSession(t *testing.T) {
	now := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	h := &Handler{Verifier: sigv4.New("us-east-1", Service, sigv4.NewRing([]sigv4.AccessKey{ann}, nil), func() time.Time { return now }),
		Sessions: sessions(t, 1), Log: slog.New(slog.DiscardHandler)}
	const form = "Action=GetSessionToken&Version=2011-06-15"
	sum := sha256.Sum256([]byte(form))
	for at, want := range map[time.Duration]int{
		-sigv4.Skew: 200, sigv4.Skew: 200, -sigv4.Skew - time.Second: 403, sigv4.Skew + time.Second: 403, -24 * time.Hour: 403, 24 * time.Hour: 403,
	} {
		r := httptest.NewRequest("POST", "/", strings.NewReader(form))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if err := v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: ann.ID, SecretAccessKey: ann.Secret}, r, hex.EncodeToString(sum[:]), Service, "us-east-1", now.Add(at)); err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want || strings.Contains(w.Body.String(), "<SessionToken>") != (want == 200) {
			t.Errorf("signed %v from now: %d %s", at, w.Code, w.Body)
		}
	}
}
