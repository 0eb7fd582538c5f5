package s3serve

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/http"

	"github.com/valyala/fasthttp"
	"github.com/versity/versitygw/s3err"
)

// Default encryption of a bucket, for objects of which no request says how to encrypt them. The
// gateway has no such setting and answers 501, which is replaced here (see settings).

// defaultAttribute is the attribute of a bucket that has its default encryption, as JSON of
// bucketDefault.
const defaultAttribute = "batholith-encryption"

type bucketDefault struct {
	Algorithm string `json:"alg"`
	Key       string `json:"key,omitempty"` // as it was set: any name of a key
}

// sseDocument is the document of the setting (S3: PutBucketEncryption).
type sseDocument struct {
	XMLName xml.Name  `xml:"ServerSideEncryptionConfiguration"`
	Rules   []sseRule `xml:"Rule"`
}

type sseRule struct {
	Algorithm string `xml:"ApplyServerSideEncryptionByDefault>SSEAlgorithm"`
	Key       string `xml:"ApplyServerSideEncryptionByDefault>KMSMasterKeyID,omitempty"`
	BucketKey bool   `xml:"BucketKeyEnabled"`
}

// defaultWish is the default encryption of a bucket; zero if it has none.
func (s *store) defaultWish(bucket string) (wish, error) {
	text, err := s.meta.RetrieveAttribute(nil, s.path(bucket), "", defaultAttribute)
	switch {
	case isAbsent(err): // without the bucket, the gateway refuses the request
		return wish{}, nil
	case err != nil:
		return wish{}, fmt.Errorf("read the default encryption of bucket %s: %w", bucket, err)
	}
	var d bucketDefault
	if err := json.Unmarshal(text, &d); err != nil {
		return wish{}, fmt.Errorf("read the default encryption of bucket %s: %w", bucket, err)
	}
	return wish{algorithm: d.Algorithm, key: d.Key}, nil
}

// withDefaults answers requests for the setting. next is the gateway, which has checked the
// signature and the document's hash.
func (s *store) withDefaults(next fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		next(ctx)
		a := addressOf(ctx)
		if s.keys == nil || ctx.Response.StatusCode() != http.StatusNotImplemented || a == nil || a.bucket == "" || a.key != "" || !a.has("encryption") || ctx.UserValue(allowedKey) == nil {
			return
		}
		var err error
		verb := "PutBucketEncryption"
		switch {
		case ctx.IsPut():
			err = s.setDefault(ctx, a.bucket, ctx.Request.Body())
		case ctx.IsDelete():
			verb = "DeleteBucketEncryption"
			err = s.meta.DeleteAttribute(s.path(a.bucket), "", defaultAttribute)
			if isAbsent(err) {
				err = nil
			}
		case ctx.IsGet():
			if err := s.tellDefault(ctx, a.bucket); err != nil {
				fail(ctx, s.explain("GetBucketEncryption", err))
			}
			return
		default:
			return
		}
		if err != nil {
			fail(ctx, s.explain(verb, err))
			return
		}
		status := http.StatusOK
		if ctx.IsDelete() {
			status = http.StatusNoContent
		}
		ctx.Response.ResetBody()
		ctx.SetStatusCode(status)
	}
}

// setDefault stores the setting. The key must be there, so that a mistake is noticed before
// objects are refused because of it.
func (s *store) setDefault(ctx context.Context, bucket string, body []byte) error {
	var d sseDocument
	if xml.Unmarshal(body, &d) != nil || len(d.Rules) != 1 {
		return s3err.GetAPIError(s3err.ErrMalformedXML)
	}
	rule := d.Rules[0]
	asked := map[string]string{sseHeader: rule.Algorithm}
	if rule.Key != "" {
		asked[sseKeyHeader] = rule.Key
	}
	w, err := s.wish(asked)
	switch {
	case err != nil:
		return err
	case w.algorithm == "":
		return s3err.GetAPIError(s3err.ErrMalformedXML)
	}
	if _, err := s.keyFor(ctx, w); err != nil {
		return s.keyError(err)
	}
	text, err := json.Marshal(bucketDefault{w.algorithm, w.key})
	if err != nil {
		return err
	}
	return s.meta.StoreAttribute(nil, s.path(bucket), "", defaultAttribute, text)
}

// tellDefault answers with the setting, if there is one.
func (s *store) tellDefault(ctx *fasthttp.RequestCtx, bucket string) error {
	w, err := s.defaultWish(bucket)
	if err != nil || w.algorithm == "" {
		return err
	}
	text, err := xml.Marshal(sseDocument{Rules: []sseRule{{Algorithm: w.algorithm, Key: w.key}}})
	if err != nil {
		return err
	}
	ctx.SetStatusCode(http.StatusOK)
	ctx.Response.Header.SetContentType("application/xml")
	ctx.SetBody(named(append([]byte(xmlHead), text...), 0))
	return nil
}
