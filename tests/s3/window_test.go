package s3_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// A request that was overheard can be sent again within S3's window only: 15 minutes around the time in its
// signature, or until a URL's end. The times of the test are minutes from the bounds, so that a slow machine changes nothing.
func TestASignatureOutsideItsWindowIsRefused(t *testing.T) {
	e := serve(t, t.TempDir())
	must(t, e.server.EnsureBucket("box"))
	key, signer := aws.Credentials{AccessKeyID: keyID, SecretAccessKey: secret}, v4.NewSigner()
	request := func(query string) *http.Request {
		r, err := http.NewRequestWithContext(t.Context(), "GET", e.url+"/box"+query, nil)
		must(t, err)
		return r
	}
	old := func(text string) string {
		mac := hmac.New(sha1.New, []byte(secret))
		io.WriteString(mac, text)
		return base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	headers := func(at time.Time, _ time.Duration) *http.Request {
		r := request("")
		r.Header.Set("X-Amz-Content-Sha256", hashed(nil))
		must(t, signer.SignHTTP(t.Context(), key, r, hashed(nil), "s3", region, at))
		return r
	}
	signedURL := func(at time.Time, lasts time.Duration) *http.Request {
		to, _, err := signer.PresignHTTP(t.Context(), key, request(fmt.Sprintf("?X-Amz-Expires=%.0f", lasts.Seconds())), unsigned, "s3", region, at)
		must(t, err)
		r, err := http.NewRequest("GET", to, nil)
		must(t, err)
		return r
	}
	oldHeaders := func(at time.Time, _ time.Duration) *http.Request {
		r := request("")
		r.Header.Set("Date", at.UTC().Format(http.TimeFormat))
		r.Header.Set("Authorization", "AWS "+keyID+":"+old("GET\n\n\n"+r.Header.Get("Date")+"\n/box"))
		return r
	}
	oldURL := func(at time.Time, lasts time.Duration) *http.Request {
		end := fmt.Sprint(at.Add(lasts).Unix())
		return request("?" + url.Values{"AWSAccessKeyId": {keyID}, "Expires": {end}, "Signature": {old("GET\n\n\n" + end + "\n/box")}}.Encode())
	}
	for name, c := range map[string]struct {
		sign      func(at time.Time, lasts time.Duration) *http.Request
		at, lasts time.Duration // from now; from at
		code      string
	}{
		"headers, early":       {headers, -10 * time.Minute, 0, ""},
		"headers, too old":     {headers, -20 * time.Minute, 0, "RequestTimeTooSkewed"},
		"headers, too new":     {headers, 20 * time.Minute, 0, "RequestTimeTooSkewed"},
		"URL, still good":      {signedURL, -time.Hour, 2 * time.Hour, ""},
		"URL, over":            {signedURL, -2 * time.Hour, time.Hour, "AccessDenied"},
		"URL, of tomorrow":     {signedURL, 24 * time.Hour, time.Hour, "AccessDenied"},
		"URL, longer than AWS": {signedURL, 0, 8 * 24 * time.Hour, "AuthorizationQueryParametersError"},
		"old headers, early":   {oldHeaders, -10 * time.Minute, 0, ""},
		"old headers, too old": {oldHeaders, -20 * time.Minute, 0, "RequestTimeTooSkewed"},
		"old headers, too new": {oldHeaders, 20 * time.Minute, 0, "RequestTimeTooSkewed"},
		"old URL, still good":  {oldURL, -time.Hour, 2 * time.Hour, ""},
		"old URL, over":        {oldURL, -2 * time.Hour, time.Hour, "AccessDenied"},
	} {
		resp, err := http.DefaultClient.Do(c.sign(time.Now().Add(c.at), c.lasts))
		must(t, err)
		body, err := io.ReadAll(resp.Body)
		must(t, err)
		resp.Body.Close()
		if good := resp.StatusCode == http.StatusOK; good != (c.code == "") || !good && !strings.Contains(string(body), "<Code>"+c.code+"</Code>") {
			t.Errorf("%s: %d %s", name, resp.StatusCode, body)
		}
	}
}

// Documents that are small on the wire do not grow when they are read: entities are not expanded, and nesting ends.
func TestXMLBombsAreRefused(t *testing.T) {
	e := serve(t, t.TempDir())
	must(t, e.server.EnsureBucket("box"))
	var laughs strings.Builder
	for i := range 12 {
		fmt.Fprintf(&laughs, "<!ENTITY l%d \"%s\">", i+1, strings.Repeat(fmt.Sprintf("&l%d;", i), 10))
	}
	for name, body := range map[string]string{
		"entities": "<!DOCTYPE d [<!ENTITY l0 \"lol\">" + laughs.String() + "]><Delete><Object><Key>&l12;</Key></Object></Delete>",
		"a file":   "<!DOCTYPE d [<!ENTITY f SYSTEM \"file:///etc/passwd\">]><Delete><Object><Key>&f;</Key></Object></Delete>",
		"nesting":  "<Delete>" + strings.Repeat("<a>", 300_000),
		"in keys":  "<Delete><Object><Key>" + strings.Repeat("<a>", 300_000),
	} {
		w := signedBy(t, e, name, "POST", "/box?delete", unsigned, http.Header{"X-Amz-Checksum-Crc32": {crc(body)}}, []byte(body))
		if status, answer := w.send(t, len(body)); status != http.StatusBadRequest || !strings.Contains(answer, "<Code>InvalidRequest</Code>") { // so the gateway calls what it cannot parse
			t.Errorf("%s: %d %.300s", name, status, answer)
		}
	}
}
