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

// address is what a request names. It is resolved once, from the bytes of the request line and of the Host header, before any
// signature is checked. The check of the signature, the routes and the store all use this one result, so that no two of them
// can read two buckets out of one request.
type address struct {
	bucket, key string   // "" where the request names none
	byHost      bool     // the bucket stands in the host name, not in the path
	sent        string   // path as it was sent, still escaped
	path        string   // the same, decoded: what a signature by the present scheme covers, beside the host
	rawQuery    string   // query as it was sent
	query       []string // names and values of the query in turn, decoded, in the order in which they were sent
}

// addressKey is where a request's address lies among the request's values.
const addressKey = "batholith-address"

// signedPathKey is where the gateway looks for the path that was signed when it differs from the path that is routed.
const signedPathKey = utils.ContextKey("original-uri-path")

// resolve reads the address out of a Host header and a request target. An error is one of S3's.
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

// amazonHost is the name of a bucket as programs write it that know no endpoint but Amazon's. They come here by a name server, or a file of
// hosts, that points Amazon's names at a proxy.
var amazonHost = regexp.MustCompile(`^(.+)\.s3(?:[.-][a-z0-9-]+)?\.amazonaws\.com$`)

// bucketOf is the bucket that a host name begins with, or "".
func bucketOf(host string) string {
	if bucket, found := strings.CutSuffix(host, "."+hostStyle); found {
		return bucket
	}
	if m := amazonHost.FindStringSubmatch(host); m != nil {
		return m[1]
	}
	return ""
}

// originForm is the request target as a path with a query. A target in absolute form (http://host/path) has a host of its own;
// it is taken only when this is the host of the header, as a signature covers the header alone.
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

// hostName checks a Host header and returns its name, in lower case and without the port.
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

// parseQuery decodes a query. A parameter that stands twice is refused: a signature covers both values in an order of its own,
// and which of them is used depends on who reads the request.
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

// value is that of a parameter of the query, and whether the query has it.
func (a *address) value(name string) (value string, has bool) {
	for n, v := range a.each {
		if n == name {
			return v, true
		}
	}
	return "", false
}

// has tells whether the query has a parameter.
func (a *address) has(name string) bool {
	_, has := a.value(name)
	return has
}

// addressOf is the address of the request that a fiber context or the gateway's context belongs to; nil outside of requests.
func addressOf(ctx interface{ Value(any) any }) *address {
	a, _ := ctx.Value(addressKey).(*address)
	return a
}

// locate resolves the address of a request, refuses requests that can be understood in two ways, and makes the request one that is
// routed by the address.
func locate(ctx fiber.Ctx) error {
	request := ctx.Request()
	a, err := resolve(string(request.Header.Host()), string(request.Header.RequestURI()))
	if err == nil && string(request.URI().PathOriginal()) != a.sent {
		err = errInvalidURI("The request target can be read in two ways.") // the HTTP server read another path out of it
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

// routed is the decoded path by which a request is routed, /bucket/key.
func (a *address) routed() string {
	switch {
	case a.byHost && a.key == "":
		return "/" + a.bucket
	case a.byHost:
		return "/" + a.bucket + a.path
	}
	return a.path
}

// target is the request target that routes to the address: in path style, with the path as it was sent and another query.
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

// oneMeaning refuses requests whose signature would leave open which of two values is meant: two kinds of signatures, a header that
// stands twice (a signature joins the two with a comma, a reader takes the first), and runs of spaces in a copy's source (a
// signature takes them for one).
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

// single tells of the headers that have one value. Of the others, the gateway reads every value in the order of the signature.
func single(lower string) bool {
	switch lower {
	case "authorization", "date", "content-md5", "content-type", "range", "expect":
		return true
	}
	return strings.HasPrefix(lower, "x-amz-") && !strings.HasPrefix(lower, "x-amz-meta-") && lower != "x-amz-object-attributes"
}

// refuseEscape answers for keys whose path would leave the bucket. The gateway refuses them by itself, with an error code that is a
// number, which clients cannot tell from a fault that passes.
func refuseEscape(method, key string) error {
	if key == "" || utils.IsObjectNameValid(key) {
		return nil
	}
	if method == http.MethodGet || method == http.MethodHead {
		return s3err.GetAPIError(s3err.ErrNoSuchKey)
	}
	return refuseUnfit(key)
}

// refusal is an error of S3's that the gateway's table does not have.
func refusal(status int, code, why string) error {
	return s3err.APIError{HTTPStatusCode: status, Code: code, Description: why}
}

func errSlow() error {
	return refusal(http.StatusBadRequest, "RequestTimeout", "The next bytes of the request did not come in time.")
}

func errInvalidURI(why string) error { return refusal(http.StatusBadRequest, "InvalidURI", why) }

func errTwice(what, name string) error {
	return refusal(http.StatusForbidden, "AccessDenied",
		fmt.Sprintf("The %s %q stands twice, so that it is open which of the two was signed. Send it once.", what, name))
}
