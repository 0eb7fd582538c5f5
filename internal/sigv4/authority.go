package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/smithy-go/encoding/httpbinding"
)

// authority is HTTP/2's name for the host. The SDK for JavaScript, whose runtime client speaks
// HTTP/2, signs it in the place of "host".
const authority = ":authority"

// signAuthority is sign for a request whose signature has :authority. The SDK's signer for Go
// always signs "host", so the steps are here (AWS: Signature Version 4).
func (v *Verifier) signAuthority(r *http.Request, length int, hash string, key AccessKey, a authorization, at time.Time) string {
	var canonical strings.Builder
	line := func(parts ...string) { canonical.WriteString(strings.Join(parts, "") + "\n") }
	path := r.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	line(r.Method)
	line(httpbinding.EscapePath(path, false))
	line(canonicalQuery(r.URL.Query()))
	names := slices.Sorted(slices.Values(a.headers))
	for _, name := range names {
		switch name {
		case authority, "host":
			line(name, ":", r.Host)
		case "content-length":
			line(name, ":", strconv.Itoa(length))
		default:
			values := slices.Clone(r.Header.Values(name))
			for i, value := range values {
				values[i] = strings.Join(strings.Fields(value), " ")
			}
			line(name, ":", strings.Join(values, ","))
		}
	}
	line()
	line(strings.Join(names, ";"))
	canonical.WriteString(hash)

	scope := strings.Join([]string{a.date, v.region, v.service, "aws4_request"}, "/")
	sum := sha256.Sum256([]byte(canonical.String()))
	text := strings.Join([]string{algorithm, at.Format(amzDate), scope, hex.EncodeToString(sum[:])}, "\n")
	secret := []byte("AWS4" + key.Secret)
	for _, part := range []string{a.date, v.region, v.service, "aws4_request", text} {
		m := hmac.New(sha256.New, secret)
		m.Write([]byte(part))
		secret = m.Sum(nil)
	}
	return hex.EncodeToString(secret)
}

// canonicalQuery sorts a query by name and value. Spaces are %20.
func canonicalQuery(q url.Values) string {
	for _, values := range q {
		slices.Sort(values)
	}
	return strings.ReplaceAll(q.Encode(), "+", "%20")
}
