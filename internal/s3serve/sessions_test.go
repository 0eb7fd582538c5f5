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
	w.server.accounts.sessions = one{account: Account{AccessKeyID: "AK", Secret: "secret", Role: true, Buckets: []string{"box/in/"}, Identity: sigv4.Identity{Account: "000000000000", Principal: "arn:aws:sts::000000000000:assumed-role/r/s"}}}
	for target, want := range map[string]int{"/box/in/k": http.StatusOK, "/box/other/k": http.StatusForbidden} {
		if r := w.do(t, ask{method: "GET", target: target, header: http.Header{"X-Amz-Security-Token": {"t"}}}); r.status != want {
			t.Errorf("%s: %d %s", target, r.status, r.body)
		}
	}
}

// A copy reads its source as its signer does, with a temporary key too.
func TestASessionCopiesWhatIsEncrypted(t *testing.T) {
	w := newWire(t)
	w.encrypts(t)
	w.server.accounts.set(nil)
	looked := 0
	w.server.accounts.sessions = one{Account{AccessKeyID: "AK", Secret: "secret", Role: true, Identity: sigv4.Identity{Account: "000000000000"}}, &looked}
	send := func(method, target string, body string, header ...string) reply {
		h := http.Header{"X-Amz-Security-Token": {"t"}}
		for i := 0; i < len(header); i += 2 {
			h.Set(header[i], header[i+1])
		}
		return w.must(t, ask{method: method, target: target, header: h, body: []byte(body)})
	}
	send("PUT", "/box/k", "secretly", "X-Amz-Server-Side-Encryption", "aws:kms")
	looked = 0
	send("PUT", "/box/copy", "", "X-Amz-Copy-Source", "box/k")
	if looked != 2 {
		t.Errorf("the token is looked up %d times for the signature and the rights of one request, want 2", looked)
	}
	send("PUT", "/box/again", "", "X-Amz-Copy-Source", "box/copy", "X-Amz-Server-Side-Encryption", "AES256")
	id := element(send("POST", "/box/parts?uploads=", "", "X-Amz-Server-Side-Encryption", "aws:kms").body, "UploadId")
	etag := element(send("PUT", "/box/parts?partNumber=1&uploadId="+id, "", "X-Amz-Copy-Source", "box/copy").body, "ETag")
	send("POST", "/box/parts?uploadId="+id, "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>"+etag+"</ETag></Part></CompleteMultipartUpload>")
	for _, target := range []string{"/box/copy", "/box/again", "/box/parts"} {
		if r := send("GET", target, ""); r.body != "secretly" {
			t.Errorf("%s is %q", target, r.body)
		}
	}
}

// one is a session with the token t.
type one struct {
	account Account
	looked  *int // how often it was looked up; nil: it is not counted
}

func (o one) Session(id, token string) (Account, error) {
	if o.looked != nil {
		*o.looked++
	}
	if id != o.account.AccessKeyID || token != "t" {
		return Account{}, sigv4.ErrNoSession
	}
	return o.account, nil
}
