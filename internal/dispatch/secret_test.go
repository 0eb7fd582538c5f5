package dispatch

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
)

// TestAServersWordsStayWithTheRecordTheyAreAbout: a server that quotes the request in its failures is taken out of use, alone, or fails
// its probe. The jobs of other tenants and the log never show the quote; the record's own error line does.
func TestAServersWordsStayWithTheRecordTheyAreAbout(t *testing.T) {
	const secret = "PROMPT-OF-ALICE"
	quote := func(f batholith.Failure) *batholith.Failure {
		f.Message = "host said: cannot render " + secret
		return &f
	}
	for name, failure := range map[string]batholith.Failure{
		"401":   {Kind: batholith.FailureMisconfigured, Status: 401, Public: "host answered 401; check the API key"},
		"404":   {Kind: batholith.FailureMisconfigured, Status: 404},
		"500":   {Kind: batholith.FailureRetry, Status: 500},
		"503":   {Kind: batholith.FailureBackPressure, Status: 503},
		"429":   {Kind: batholith.FailureBackPressure, Status: 429, RetryAfter: time.Second},
		"400":   {Kind: batholith.FailureBadRecord, Status: 400},
		"torn":  {Kind: batholith.FailureRetry},
		"crash": {Kind: batholith.FailureRetry, Crash: true},
		"TLS":   {Kind: batholith.FailureMisconfigured},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				var log bytes.Buffer
				alice := w.jobOf("alice", 40, 40, func(int) string { return fmt.Sprintf(`{"prompt":%q}`, secret) })
				alice.Account, alice.Owner = "111111111111", "alice"
				bob := w.job("bob", 40, 40)
				bob.Account, bob.Owner = "222222222222", "bob"
				s := &server{limit: 4, do: func(ctx context.Context, body string, _ int) ([]byte, error) {
					if strings.Contains(body, secret) {
						return nil, quote(failure)
					}
					return wait(ctx, time.Minute)
				}}
				s.probe = func(nth int) error {
					if nth > 3 && nth%3 == 0 {
						return quote(failure)
					}
					return nil
				}
				d := w.dispatcher(Options{Attempts: 3, Drain: time.Second, Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}, s)
				d.Enqueue(alice)
				stop := w.start(d)
				time.Sleep(100 * time.Millisecond)
				d.Enqueue(bob)
				for range 1000 {
					time.Sleep(time.Second)
					synctest.Wait()
					if note := w.note("bob"); strings.Contains(note, secret) {
						t.Fatalf("bob's job says %q", note)
					}
				}
				stop()
				if strings.Contains(log.String(), secret) {
					t.Errorf("the log has the prompt:\n%s", log.String())
				}
				w.mu.Lock()
				defer w.mu.Unlock()
				for id, line := range w.lines {
					if strings.Contains(line, secret) != strings.HasPrefix(id, "alice-") {
						t.Errorf("the line of %s: %s", id, line)
					}
				}
			})
		})
	}
}
