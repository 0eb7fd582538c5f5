package s3serve

import (
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

// presigned lets in URLs that were signed by the old scheme, which the gateway refuses: boto3 and the first AWS CLI still sign
// URLs so whenever they are given an endpoint. A URL whose signature holds is signed again, by the present scheme, with the same
// key, and goes on to the gateway like any other request. (S3: Signature Version 2, query string authentication.)
type presigned struct {
	accounts *accounts
	region   string
}

// handle is the middleware.
func (p presigned) handle(ctx fiber.Ctx) error {
	target, err := url.ParseRequestURI(ctx.OriginalURL())
	if err != nil || !target.Query().Has("AWSAccessKeyId") || !target.Query().Has("Signature") {
		return ctx.Next()
	}
	header := http.Header{}
	for key, value := range ctx.Request().Header.All() {
		header.Add(string(key), string(value))
	}
	id := target.Query().Get("AWSAccessKeyId")
	account, err := p.accounts.GetUserAccount(id)
	if err != nil {
		return answer(ctx, s3err.GetInvalidAccessKeyIdErr(id))
	}
	if expires, err := strconv.ParseInt(target.Query().Get("Expires"), 10, 64); err != nil || time.Now().Unix() > expires {
		return answer(ctx, s3err.GetAPIError(s3err.ErrExpiredPresignRequest))
	}
	want := oldSignature(account.Secret, ctx.Method(), target, header)
	if !hmac.Equal([]byte(target.Query().Get("Signature")), []byte(want)) {
		return answer(ctx, s3err.GetAPIError(s3err.ErrSignatureDoesNotMatch))
	}
	if err := p.signAgain(ctx, target, aws.Credentials{AccessKeyID: id, SecretAccessKey: account.Secret}); err != nil {
		return err
	}
	return ctx.Next()
}

// signAgain replaces the old signature in a request's URL by a new one in its headers.
func (p presigned) signAgain(ctx fiber.Ctx, target *url.URL, key aws.Credentials) error {
	query := target.Query()
	for _, name := range []string{"AWSAccessKeyId", "Signature", "Expires"} {
		query.Del(name)
	}
	again, err := http.NewRequest(ctx.Method(), "http://"+ctx.Host()+target.EscapedPath(), nil)
	if err != nil {
		return err
	}
	for name := range query {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "x-amz-") || isContent(lower) {
			again.Header.Set(name, query.Get(name))
			query.Del(name)
		}
	}
	again.URL.RawQuery = query.Encode()
	const unsigned = "UNSIGNED-PAYLOAD" // the old scheme covers no body
	again.Header.Set("X-Amz-Content-Sha256", unsigned)
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	if err := signer.SignHTTP(context.Background(), key, again, unsigned, "s3", p.region, time.Now()); err != nil {
		return err
	}
	for name := range again.Header {
		ctx.Request().Header.Set(name, again.Header.Get(name))
	}
	ctx.Request().SetRequestURI(again.URL.RequestURI())
	return nil
}

// oldSignature signs a request by the old scheme.
func oldSignature(secret, method string, target *url.URL, header http.Header) string {
	query, amz := target.Query(), map[string]string{}
	value := func(name string) string {
		if v := query.Get(name); v != "" {
			return v
		}
		return header.Get(name)
	}
	for name := range header {
		amz[strings.ToLower(name)] = strings.TrimSpace(strings.Join(header[name], ","))
	}
	for name := range query {
		amz[strings.ToLower(name)] = query.Get(name)
	}
	lines := []string{method, value("content-md5"), value("content-type"), query.Get("Expires")}
	for _, name := range slices.Sorted(maps.Keys(amz)) {
		if strings.HasPrefix(name, "x-amz-") {
			lines = append(lines, name+":"+amz[name])
		}
	}
	mac := hmac.New(sha1.New, []byte(secret))
	mac.Write([]byte(strings.Join(append(lines, oldResource(target)), "\n")))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// oldResource is the path as it was sent, with the parameters that name a part of the resource or change the answer.
func oldResource(target *url.URL) string {
	query, named := target.Query(), []string{}
	for _, name := range []string{"acl", "cors", "delete", "lifecycle", "location", "logging", "notification", "partNumber", "policy",
		"response-cache-control", "response-content-disposition", "response-content-encoding", "response-content-language",
		"response-content-type", "response-expires", "restore", "tagging", "torrent", "uploadId", "uploads", "versionId", "versioning",
		"versions", "website"} {
		if !query.Has(name) {
			continue
		}
		if v := query.Get(name); v != "" {
			name += "=" + v
		}
		named = append(named, name)
	}
	if len(named) == 0 {
		return target.EscapedPath()
	}
	return target.EscapedPath() + "?" + strings.Join(named, "&")
}

func isContent(name string) bool { return name == "content-type" || name == "content-md5" }

// answer ends a request with one of S3's errors.
func answer(ctx fiber.Ctx, e s3err.S3Error) error {
	requestID, hostID := utils.EnsureRequestIDs(ctx)
	ctx.Response().Header.SetContentType(fiber.MIMEApplicationXML)
	return ctx.Status(e.StatusCode()).Send(e.XMLBody(requestID, hostID))
}
