package s3serve

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/gofiber/fiber/v3"
	"github.com/versity/versitygw/s3api/utils"
	"github.com/versity/versitygw/s3err"
)

// address is the bucket and key that a request names. It is parsed once, from the request line
// and the Host header, before the signature is checked. The signature check, the routing and
// the store all use this result, so no two of them can see different buckets.
type address struct {
	bucket, key string   // "" if the request names none
	byHost      bool     // the bucket is in the host name, not in the path
	sent        string   // path as sent, percent-encoded
	path        string   // decoded path; a Signature Version 4 covers it together with the host
	rawQuery    string   // query as it was sent
	query       []string // decoded names and values of the query, alternating, in the order sent
}

// addressKey is the request value that holds the address.
const addressKey = "batholith-address"

// signedPathKey is the request value in which the gateway looks for the signed path, if it
// differs from the routed path.
const signedPathKey = utils.ContextKey("original-uri-path")

// resolve parses a Host header and a request target. The error is an S3 error.
func resolve(host, target string) (*address, error) {
	origin, err := originForm(host, target)
	if err != nil {
		return nil, err
	}
	a := &address{}
	a.sent, a.rawQuery, _ = strings.Cut(origin, "?")
	if a.path, err = url.PathUnescape(a.sent); err != nil {
		return nil, errInvalidURI("The path has a percent sign that is not followed by two hexadecimal digits.")
	}
	if a.query, err = parseQuery(a.rawQuery); err != nil {
		return nil, err
	}
	name, err := hostName(host)
	if err != nil {
		return nil, err
	}
	if bucket := bucketOf(name); utils.IsValidBucketName(bucket) {
		a.byHost, a.bucket, a.key = true, bucket, a.path[1:]
		return a, nil
	}
	a.bucket, a.key, _ = strings.Cut(a.path[1:], "/")
	return a, nil
}

// amazonHost matches a virtual-hosted bucket under Amazon's names. Programs that know no other
// endpoint use it; DNS or a hosts file then points Amazon's names here.
var amazonHost = regexp.MustCompile(`^(.+)\.s3(?:[.-][a-z0-9-]+)?\.amazonaws\.com$`)

// bucketOf returns the bucket at the start of a host name, or "".
func bucketOf(host string) string {
	if bucket, found := strings.CutSuffix(host, "."+hostStyle); found {
		return bucket
	}
	if m := amazonHost.FindStringSubmatch(host); m != nil {
		return m[1]
	}
	return ""
}

// originForm returns the request target as path and query. A target in absolute form
// (http://host/path) contains a host of its own. It must equal the Host header, because a
// signature covers only the header.
func originForm(host, target string) (string, error) {
	for i := range len(target) {
		if c := target[i]; c <= ' ' || c == 0x7f || c == '#' {
			return "", errInvalidURI("The request target holds a space, a control character or a fragment.")
		}
	}
	if strings.HasPrefix(target, "/") {
		return target, nil
	}
	scheme, rest, found := strings.Cut(target, "://")
	if scheme = strings.ToLower(scheme); !found || scheme != "http" && scheme != "https" {
		return "", errInvalidURI("The request target is neither a path nor an http address.")
	}
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	if !strings.EqualFold(rest[:end], host) {
		return "", errInvalidURI("The request target names another host than the Host header.")
	}
	if origin := rest[end:]; strings.HasPrefix(origin, "/") {
		return origin, nil
	}
	return "/" + rest[end:], nil
}

// hostName checks a Host header and returns the host in lower case, without the port.
func hostName(host string) (string, error) {
	name, port := host, ""
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		name, port = host[:i], host[i+1:]
	}
	if strings.Trim(port, "0123456789") != "" {
		return "", errInvalidURI("The port in the Host header is not a number.")
	}
	if inner, found := strings.CutPrefix(name, "["); found && strings.HasSuffix(inner, "]") && net.ParseIP(strings.TrimSuffix(inner, "]")) != nil {
		return name, nil
	}
	name = strings.ToLower(name)
	if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789.-_") != "" {
		return "", errInvalidURI("The Host header is not a host name.")
	}
	return name, nil
}

// parseQuery decodes a query. A duplicate parameter is rejected: a signature sorts both values,
// and readers would differ on which one counts.
func parseQuery(raw string) (pairs []string, err error) {
	seen := map[string]bool{}
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		rawName, rawValue, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(rawName)
		if err != nil {
			return nil, errInvalidURI("The query has a percent sign that is not followed by two hexadecimal digits.")
		}
		value, err := url.QueryUnescape(rawValue)
		if err != nil {
			return nil, errInvalidURI("The query has a percent sign that is not followed by two hexadecimal digits.")
		}
		if lower := strings.ToLower(name); seen[lower] {
			return nil, errTwice("query parameter", name)
		} else {
			seen[lower] = true
		}
		pairs = append(pairs, name, value)
	}
	return pairs, nil
}

// each yields the names and values of the query.
func (a *address) each(yield func(name, value string) bool) {
	for pair := range slices.Chunk(a.query, 2) {
		if !yield(pair[0], pair[1]) {
			return
		}
	}
}

// value returns the value of a query parameter, and whether it exists.
func (a *address) value(name string) (value string, has bool) {
	for n, v := range a.each {
		if n == name {
			return v, true
		}
	}
	return "", false
}

// has reports whether the query has a parameter.
func (a *address) has(name string) bool {
	_, has := a.value(name)
	return has
}

// addressOf returns the address of the request that a fiber or gateway context belongs to, or
// nil.
func addressOf(ctx interface{ Value(any) any }) *address {
	a, _ := ctx.Value(addressKey).(*address)
	return a
}

// locate is a middleware. It parses the address, rejects ambiguous requests, and rewrites the
// request to path style so that it is routed by the address.
func locate(ctx fiber.Ctx) error {
	request := ctx.Request()
	a, err := resolve(string(request.Header.Host()), string(request.Header.RequestURI()))
	if err == nil && string(request.URI().PathOriginal()) != a.sent {
		err = errInvalidURI("The request target can be read in two ways.") // the HTTP server parsed another path
	}
	if err == nil {
		err = oneMeaning(ctx, a)
	}
	if err == nil {
		err = refuseEscape(ctx.Method(), a.key)
	}
	if err != nil {
		return answer(ctx, err)
	}
	if a.byHost {
		signedPathKey.Set(ctx, a.path)
	}
	if a.byHost || request.Header.RequestURI()[0] != '/' {
		request.SetRequestURI(a.target(a.rawQuery))
	}
	ctx.Locals(addressKey, a)
	return ctx.Next()
}

// routed returns the decoded path for routing, /bucket/key.
func (a *address) routed() string {
	switch {
	case a.byHost && a.key == "":
		return "/" + a.bucket
	case a.byHost:
		return "/" + a.bucket + a.path
	}
	return a.path
}

// target returns the request target in path style, with the path as sent and the given query.
func (a *address) target(query string) string {
	target := a.sent
	switch {
	case a.byHost && a.key == "":
		target = "/" + a.bucket
	case a.byHost:
		target = "/" + a.bucket + a.sent
	}
	if query != "" {
		target += "?" + query
	}
	return target
}

// oneMeaning rejects requests whose signature does not determine their meaning: two kinds of
// signatures in one request, a duplicate header (a signature joins the values, a reader takes
// the first), and runs of spaces in x-amz-copy-source (a signature reduces them to one).
func oneMeaning(ctx fiber.Ctx, a *address) error {
	kinds := 0
	if ctx.Get("Authorization") != "" {
		kinds++
	}
	if a.has("X-Amz-Algorithm") || a.has("X-Amz-Credential") || a.has("X-Amz-Signature") {
		kinds++
	}
	if a.has("AWSAccessKeyId") || a.has("Signature") {
		kinds++
	}
	if kinds > 1 {
		return refusal(http.StatusBadRequest, "InvalidRequest", "The request is signed in more than one way. Send either an Authorization header or one signature in the query.")
	}
	seen := map[string]bool{}
	for name, value := range ctx.Request().Header.All() {
		lower := strings.ToLower(string(name))
		if seen[lower] && single(lower) {
			return errTwice("header", lower)
		}
		seen[lower] = true
		if lower == "x-amz-copy-source" && strings.Contains(string(value), "  ") {
			return refusal(http.StatusBadRequest, "InvalidArgument", "x-amz-copy-source holds two spaces in a row. Send it URL-encoded.")
		}
	}
	return nil
}

// single reports whether a header may have only one value. For other headers the gateway reads
// all values in the order of the signature.
func single(lower string) bool {
	switch lower {
	case "authorization", "date", "content-md5", "content-type", "range", "expect":
		return true
	}
	return strings.HasPrefix(lower, "x-amz-") && !strings.HasPrefix(lower, "x-amz-meta-") && lower != "x-amz-object-attributes"
}

// refuseEscape rejects keys whose path would leave the bucket. The gateway also rejects them,
// but with a numeric error code that clients take for a temporary error.
func refuseEscape(method, key string) error {
	if key == "" || utils.IsObjectNameValid(key) {
		return nil
	}
	if method == http.MethodGet || method == http.MethodHead {
		return s3err.GetAPIError(s3err.ErrNoSuchKey)
	}
	return refuseUnfit(key)
}

// refusal returns an S3 error that the gateway's table does not have.
func refusal(status int, code, why string) error {
	return s3err.APIError{HTTPStatusCode: status, Code: code, Description: why}
}

// errSlow is the answer to a request whose body stalls.
func errSlow() error {
	return refusal(http.StatusBadRequest, "RequestTimeout", "The next bytes of the request did not come in time.")
}

func errInvalidURI(why string) error { return refusal(http.StatusBadRequest, "InvalidURI", why) }

func errTwice(what, name string) error {
	return refusal(http.StatusForbidden, "AccessDenied",
		fmt.Sprintf("The %s %q stands twice, so its signed value is ambiguous. Send it once.", what, name))
}
