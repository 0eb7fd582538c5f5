package s3serve

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/gofiber/fiber/v3"
	"github.com/versity/versitygw/s3api/utils"
	"github.com/versity/versitygw/s3err"
)

// presigned accepts requests with a Signature Version 2, which the gateway rejects. boto3 and
// AWS CLI version 1 still presign URLs in this way when an endpoint is configured, and some
// clients can be configured to sign headers so. A request with a valid signature is signed
// again with version 4 and the same key, and then passes to the gateway. (S3: Signature Version
// 2, query string and header authentication.)
type presigned struct {
	accounts *accounts
	region   string
}

// oldClaim is the identity that a request with a Signature Version 2 claims.
type oldClaim struct {
	id, signature string
	date          string // as signed: the expiry time of a URL, or the time of the request
	inHeader      bool   // the signature is in the headers; then it does not cover headers given as query parameters
}

// oldSkew is the allowed difference between the request's time and ours, in both directions
// (S3: RequestTimeTooSkewed).
const oldSkew = 15 * time.Minute

// claim reads a Signature Version 2, and refuses a URL dated ahead. id is "" if the request has none.
func (p presigned) claim(ctx fiber.Ctx, a *address) (oldClaim, error) {
	if text, found := strings.CutPrefix(ctx.Get("Authorization"), "AWS "); found {
		text = strings.TrimSpace(text)
		colon := strings.LastIndexByte(text, ':')
		if colon < 1 {
			return oldClaim{}, s3err.GetInvalidArgumentErr(s3err.InvalidArgAuthHeader, "AWS")
		}
		date, at := ctx.Get("Date"), ctx.Get("Date")
		if amz := ctx.Get("X-Amz-Date"); amz != "" {
			date, at = "", amz
		}
		switch sent, err := oldTime(at); {
		case err != nil:
			return oldClaim{}, s3err.GetAPIError(s3err.ErrMissingDateHeader)
		case time.Since(sent).Abs() > oldSkew:
			return oldClaim{}, refusal(http.StatusForbidden, "RequestTimeTooSkewed", "The difference between the request time and the server's time is too large.")
		}
		return oldClaim{id: text[:colon], signature: text[colon+1:], date: date, inHeader: true}, nil
	}
	if err := begun(a, time.Now()); err != nil {
		return oldClaim{}, err
	}
	id, named := a.value("AWSAccessKeyId")
	signature, signed := a.value("Signature")
	if !named || !signed {
		return oldClaim{}, nil
	}
	text, _ := a.value("Expires")
	if expires, err := strconv.ParseInt(text, 10, 64); err != nil || time.Now().Unix() > expires {
		return oldClaim{}, s3err.GetAPIError(s3err.ErrExpiredPresignRequest)
	}
	return oldClaim{id: id, signature: signature, date: text}, nil
}

// begun returns an error for a URL, signed with version 4, whose time has not come. The gateway checks only its end; a
// URL dated ahead would hold longer than the seven days that a URL may. (S3: Request is not yet valid.)
func begun(a *address, now time.Time) error {
	if _, signed := a.value("X-Amz-Signature"); !signed {
		return nil
	}
	text, _ := a.value("X-Amz-Date")
	if at, err := time.Parse("20060102T150405Z", text); err == nil && at.Sub(now) > oldSkew { // the gateway refuses other texts
		return refusal(http.StatusForbidden, "AccessDenied", "Request is not yet valid.")
	}
	return nil
}

// oldTime parses a time in the formats of such clients.
func oldTime(text string) (time.Time, error) {
	for _, form := range []string{time.RFC1123Z, "20060102T150405Z"} {
		if at, err := time.Parse(form, text); err == nil {
			return at, nil
		}
	}
	return http.ParseTime(text)
}

// handle is the middleware.
func (p presigned) handle(ctx fiber.Ctx) error {
	a := addressOf(ctx)
	c, err := p.claim(ctx, a)
	if err != nil {
		return answer(ctx, err)
	}
	if c.id == "" {
		return ctx.Next()
	}
	account, err := p.accounts.signing(c.id, cmp.Or(ctx.Get(tokenHeader), queryToken(a)))
	if err != nil {
		return answer(ctx, err)
	}
	header := headerOf(ctx)
	if want := oldSignature(account.Secret, ctx.Method(), a, header, c.date); !hmac.Equal([]byte(c.signature), []byte(want)) {
		return answer(ctx, s3err.GetAPIError(s3err.ErrSignatureDoesNotMatch))
	}
	if name, found := uncovered(a, c.inHeader); found {
		return answer(ctx, refusal(http.StatusForbidden, "AccessDenied",
			"Signature Version 2 does not cover the parameter "+strconv.Quote(name)+". Sign with Signature Version 4."))
	}
	if sent := header.Get("X-Amz-Content-Sha256"); strings.HasPrefix(sent, anyChunks) && sent != unsignedChunks {
		return answer(ctx, refusal(http.StatusNotImplemented, "NotImplemented", "Signed chunks need Signature Version 4. Sign the request with AWS4-HMAC-SHA256."))
	}
	if err := p.signAgain(ctx, a, header, aws.Credentials{AccessKeyID: c.id, SecretAccessKey: account.Secret}); err != nil {
		return err
	}
	return ctx.Next()
}

// headerOf returns a copy of a request's headers.
func headerOf(ctx fiber.Ctx) http.Header {
	header := http.Header{}
	for key, value := range ctx.Request().Header.All() {
		header.Add(string(key), string(value))
	}
	return header
}

// signAgain replaces the old signature by a Signature Version 4 in the headers, for the same
// bucket and key, in path style.
func (p presigned) signAgain(ctx fiber.Ctx, a *address, header http.Header, key aws.Credentials) error {
	request := ctx.Request()
	again := &http.Request{Method: ctx.Method(), Host: string(request.Header.Host()), Header: http.Header{}}
	for name, values := range header {
		if strings.HasPrefix(strings.ToLower(name), "x-amz-") {
			again.Header[http.CanonicalHeaderKey(name)] = values
		}
	}
	query := url.Values{}
	for name, value := range a.each {
		switch lower := strings.ToLower(name); {
		case name == "AWSAccessKeyId" || name == "Signature" || name == "Expires":
		case strings.HasPrefix(lower, "x-amz-") || isContent(lower):
			again.Header.Set(name, value)
		default:
			query.Set(name, value)
		}
	}
	again.Header.Del("X-Amz-Date")
	payload := "UNSIGNED-PAYLOAD" // Signature Version 2 does not cover the body
	if sent := header.Get("X-Amz-Content-Sha256"); utils.IsUnsignedStreamingPayload(sent) {
		payload = sent
	}
	again.Header.Set("X-Amz-Content-Sha256", payload)
	path := a.routed()
	again.URL = &url.URL{Scheme: "http", Host: again.Host, Path: path, RawPath: escapePath(path), RawQuery: query.Encode()}
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	if err := signer.SignHTTP(context.Background(), key, again, payload, "s3", p.region, time.Now()); err != nil {
		return err
	}
	for name, values := range again.Header {
		request.Header.Del(name)
		for _, value := range values {
			request.Header.Add(name, value)
		}
	}
	signedPathKey.Delete(ctx)
	request.SetRequestURI(a.target(again.URL.RawQuery))
	return nil
}

// escapePath encodes a path as Signature Version 4 requires.
func escapePath(path string) string {
	return strings.ReplaceAll(strings.ReplaceAll(url.QueryEscape(path), "+", "%20"), "%2F", "/")
}

// oldSignature computes the Signature Version 2 of a request with the given date.
func oldSignature(secret, method string, a *address, header http.Header, date string) string {
	amz := map[string]string{}
	value := func(name string) string {
		for n, v := range a.each {
			if strings.ToLower(n) == name {
				return v
			}
		}
		return header.Get(name)
	}
	for name := range header {
		amz[strings.ToLower(name)] = strings.TrimSpace(strings.Join(header[name], ","))
	}
	for name, v := range a.each {
		amz[strings.ToLower(name)] = v
	}
	lines := []string{method, value("content-md5"), value("content-type"), date}
	for _, name := range slices.Sorted(maps.Keys(amz)) {
		if strings.HasPrefix(name, "x-amz-") {
			lines = append(lines, name+":"+amz[name])
		}
	}
	mac := hmac.New(sha1.New, []byte(secret))
	mac.Write([]byte(strings.Join(append(lines, oldResource(a)), "\n")))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// covered are the query parameters that Signature Version 2 signs, in its order: those that
// name a subresource or change the answer.
var covered = []string{"acl", "analytics", "cors", "defaultObjectAcl", "delete", "inventory", "lifecycle", "location", "logging", "metrics",
	"notification", "object-lock", "partNumber", "policy", "replication", "requestPayment", "response-cache-control",
	"response-content-disposition", "response-content-encoding", "response-content-language", "response-content-type", "response-expires",
	"restore", "select", "select-type", "storageClass", "tagging", "torrent", "uploadId", "uploads", "versionId", "versioning", "versions", "website"}

// free are the query parameters that Signature Version 2 does not sign but whoever has a URL
// may set: the parameters of lists, and those that SDKs add.
var free = []string{"AWSAccessKeyId", "Expires", "Signature", "x-id", "list-type", "prefix", "delimiter", "marker", "max-keys", "encoding-type",
	"continuation-token", "start-after", "fetch-owner", "key-marker", "version-id-marker", "upload-id-marker", "max-uploads",
	"part-number-marker", "max-parts"}

// uncovered finds a query parameter that is neither signed nor free. Newer operations have such
// parameters, and adding one would turn a signed URL into another operation. Parameters that
// stand for headers are signed in a presigned URL, but not if the signature is in the headers.
func uncovered(a *address, inHeader bool) (string, bool) {
	for name := range a.each {
		lower := strings.ToLower(name)
		asHeader := strings.HasPrefix(lower, "x-amz-") || isContent(lower)
		if !slices.Contains(covered, name) && !slices.Contains(free, name) && (inHeader || !asHeader) {
			return name, true
		}
	}
	return "", false
}

// oldResource returns the resource as Signature Version 2 signs it: bucket and path as sent,
// with the covered parameters.
func oldResource(a *address) string {
	resource, named := a.sent, []string{}
	if a.byHost {
		resource = "/" + a.bucket + a.sent
	}
	for _, name := range covered {
		v, has := a.value(name)
		if !has {
			continue
		}
		if v != "" {
			name += "=" + v
		}
		named = append(named, name)
	}
	if len(named) == 0 {
		return resource
	}
	return resource + "?" + strings.Join(named, "&")
}

func isContent(name string) bool { return name == "content-type" || name == "content-md5" }
