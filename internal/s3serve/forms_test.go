package s3serve

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/batholith/batholith/internal/authz"
)

// posted is an upload by form.
type posted struct {
	fields [][2]string
	file   string
	name   string
}

func (p posted) send(t *testing.T, w *wire) reply {
	t.Helper()
	var body strings.Builder
	for _, f := range p.fields {
		fmt.Fprintf(&body, "--BOUND\r\nContent-Disposition: form-data; name=\"%s\"\r\n\r\n%s\r\n", f[0], f[1])
	}
	fmt.Fprintf(&body, "--BOUND\r\nContent-Disposition: form-data; name=\"file\"; filename=\"%s\"\r\nContent-Type: text/plain\r\n\r\n%s\r\n--BOUND--\r\n", p.name, p.file)
	return w.raw(t, fmt.Appendf(nil, "POST /box HTTP/1.1\r\nHost: 127.0.0.1:4601\r\nContent-Type: multipart/form-data; boundary=BOUND\r\nContent-Length: %d\r\n\r\n%s",
		body.Len(), body.String()), "POST")[0]
}

// policyOf allows what a form wants, beside the fields of a signature.
func policyOf(conditions string) string {
	return base64.StdEncoding.EncodeToString(fmt.Appendf(nil, `{"expiration":"%s","conditions":[{"bucket":"box"}%s]}`,
		time.Now().Add(time.Hour).UTC().Format("2006-01-02T15:04:05Z"), conditions))
}

// old signs a policy as the old scheme does.
func old(policy, secret string) string {
	m := hmac.New(sha1.New, []byte(secret))
	m.Write([]byte(policy))
	return base64.StdEncoding.EncodeToString(m.Sum(nil))
}

func TestAFormKeepsWhatItsOldSignatureAllows(t *testing.T) {
	w := newWire(t)
	policy := policyOf(`,["starts-with","$key","up/"],["content-length-range",1,9],{"x-amz-meta-a":"b"}`)
	good := func() [][2]string {
		return [][2]string{{"key", "up/k"}, {"AWSAccessKeyId", "AK"}, {"x-amz-meta-a", "b"}, {"policy", policy}, {"signature", old(policy, "secret")}}
	}
	with := func(name, value string) [][2]string {
		fields := good()
		for i := range fields {
			if fields[i][0] == name {
				fields[i][1] = value
			}
		}
		return fields
	}
	if r := (posted{good(), "hello", "f"}).send(t, w); r.status != http.StatusNoContent {
		t.Fatalf("%d %s", r.status, r.body)
	}
	r := w.must(t, ask{method: "GET", target: "/box/up/k"})
	if r.body != "hello" || r.header.Get("X-Amz-Meta-A") != "b" {
		t.Errorf("it became %q with %v", r.body, r.header)
	}
	for name, p := range map[string]posted{
		"another key":       {with("key", "down/k"), "hello", "f"},
		"another value":     {with("x-amz-meta-a", "c"), "hello", "f"},
		"a larger file":     {good(), "hello hello", "f"},
		"another policy":    {with("policy", policyOf(`,["starts-with","$key",""],{"x-amz-meta-a":"b"}`)), "hello", "f"},
		"another secret":    {with("signature", old(policy, "other")), "hello", "f"},
		"nobody's key":      {with("AWSAccessKeyId", "NOBODY"), "hello", "f"},
		"a field too many":  {append(good(), [2]string{"x-amz-meta-z", "z"}), "hello", "f"},
		"no signature":      {good()[:4], "hello", "f"},
		"a policy of words": {append(with("policy", "d29yZHM=")[:4], [2]string{"signature", old("d29yZHM=", "secret")}), "hello", "f"},
	} {
		w.put(t, "/box/up/k", "before")
		if r := p.send(t, w); r.status < 400 || r.status >= 500 {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
		if r := w.must(t, ask{method: "GET", target: "/box/up/k"}); r.body != "before" {
			t.Errorf("%s: the object is %q", name, r.body)
		}
	}
}

func TestAFormNamesItsKeyAfterTheFile(t *testing.T) {
	w := newWire(t)
	now := time.Now().UTC()
	credential := "AK/" + now.Format("20060102") + "/us-east-1/s3/aws4_request"
	policy := policyOf(fmt.Sprintf(`,["starts-with","$key","up/"],{"x-amz-algorithm":"AWS4-HMAC-SHA256"},{"x-amz-credential":"%s"},{"x-amz-date":"%s"}`,
		credential, now.Format("20060102T150405Z")))
	fresh := [][2]string{{"key", "up/${filename}"}, {"policy", policy}, {"x-amz-algorithm", "AWS4-HMAC-SHA256"}, {"x-amz-credential", credential},
		{"x-amz-date", now.Format("20060102T150405Z")}, {"x-amz-signature", hex.EncodeToString(mac(signingKey("secret", now.Format("20060102"), "us-east-1"), policy))}}
	policy = policyOf(`,["starts-with","$key","up/"]`)
	former := [][2]string{{"key", "up/${filename}"}, {"AWSAccessKeyId", "AK"}, {"policy", policy}, {"signature", old(policy, "secret")}}
	for name, fields := range map[string][][2]string{"new.txt": fresh, "old.txt": former} {
		if r := (posted{fields, name, name}).send(t, w); r.status != http.StatusNoContent {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
		if r := w.must(t, ask{method: "GET", target: "/box/up/" + name}); r.body != name {
			t.Errorf("%s is %q", name, r.body)
		}
	}
}

// A form needs the rights of a PUT that does the same.
func TestAFormNeedsTheRightsOfItsFields(t *testing.T) {
	w := newWire(t)
	const tags = "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"
	for _, c := range []struct {
		field, value, needs string
	}{
		{"tagging", tags, "s3:PutObjectTagging"}, {"Tagging", tags, "s3:PutObjectTagging"}, {"acl", "private", "s3:PutObjectAcl"}, {"x-amz-tagging", "a=b", ""},
	} {
		policy := policyOf(`,["starts-with","$key",""],["starts-with","$` + strings.ToLower(c.field) + `",""]`)
		for denied, want := range map[string]int{"": http.StatusNoContent, "s3:PutObject": http.StatusForbidden, "s3:PutObjectTagging": http.StatusNoContent, "s3:PutObjectAcl": http.StatusNoContent} {
			if denied != "" && denied == c.needs {
				want = http.StatusForbidden
			}
			w.server.store.authorizer = &judge{allows: func(r authz.Request) authz.Decision { return authz.Decision{Allowed: r.Action != denied} }}
			p := posted{[][2]string{{"key", "k"}, {c.field, c.value}, {"AWSAccessKeyId", "AK"}, {"policy", policy}, {"signature", old(policy, "secret")}}, "hello", "f"}
			if r := p.send(t, w); r.status != want {
				t.Errorf("a form with %s, without the right to %s: %d %s", c.field, denied, r.status, r.body)
			}
		}
	}
	if tags := w.tags(t, "/box/k"); len(tags) > 0 {
		t.Errorf("a field that is no field of forms has set the tags %v", tags)
	}
}
