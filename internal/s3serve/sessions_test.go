package s3serve

import (
	"net/http"
	"testing"

	"github.com/batholith/batholith/internal/sigv4"
)

// ended are sessions whose time has passed, or that were not issued here.
type ended struct{ err error }

func (e ended) Session(string, string) (Account, error) { return Account{}, e.err }

func TestASessionThatEndedIsToldFromAForeignOne(t *testing.T) {
	w := newWire(t)
	w.server.accounts.set(nil)
	for err, want := range map[error]string{sigv4.ErrExpired: "ExpiredToken", sigv4.ErrNoSession: "InvalidToken"} {
		w.server.accounts.sessions = ended{err}
		for how, a := range map[string]ask{"header": {method: "GET", target: "/box/k", header: http.Header{"X-Amz-Security-Token": {"t"}}},
			"query of the old scheme": {method: "GET", target: "/box/k?AWSAccessKeyId=AK&Signature=x&Expires=99999999999&x-amz-security-token=t"}} {
			r := w.do(t, a)
			if how != "header" {
				r = w.raw(t, []byte("GET "+a.target+" HTTP/1.1\r\nHost: 127.0.0.1:4601\r\n\r\n"), "GET")[0]
			}
			if r.status != http.StatusBadRequest || r.code() != want {
				t.Errorf("%s: %d %s, want %s", how, r.status, r.body, want)
			}
		}
	}
}

// A session has its own rights, not those of the key that the gateway verified it with.
func TestASessionIsNarrowedAsItsRoleIs(t *testing.T) {
	w := newWire(t)
	w.put(t, "/box/in/k", "x")
	w.put(t, "/box/other/k", "x")
	w.server.accounts.set(nil)
	w.server.accounts.sessions = one{Account{AccessKeyID: "AK", Secret: "secret", Role: true, Buckets: []string{"box/in/"}, Identity: sigv4.Identity{Account: "000000000000", Principal: "arn:aws:sts::000000000000:assumed-role/r/s"}}}
	for target, want := range map[string]int{"/box/in/k": http.StatusOK, "/box/other/k": http.StatusForbidden} {
		if r := w.do(t, ask{method: "GET", target: target, header: http.Header{"X-Amz-Security-Token": {"t"}}}); r.status != want {
			t.Errorf("%s: %d %s", target, r.status, r.body)
		}
	}
}

// one is a session with the token t.
type one struct{ account Account }

func (o one) Session(id, token string) (Account, error) {
	if id != o.account.AccessKeyID || token != "t" {
		return Account{}, sigv4.ErrNoSession
	}
	return o.account, nil
}
