package s3serve

import (
	"context"
	"encoding/xml"
	"net/url"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/valyala/fasthttp"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3err"
)

// Tags with S3's limits, which count characters. The gateway counts the bytes of a document,
// and the bytes of an encoded header, so for non-Latin scripts its limits would be a third or a
// ninth of S3's.

const (
	mostObjectTags = 10
	mostBucketTags = 50
	mostTagKey     = 128 // characters, as in mostTagValue
	mostTagValue   = 256
)

// tagText matches allowed tags: letters, spaces and digits of every script, and _.:/=+-@ (S3:
// object tagging).
var tagText = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)

// tagSet collects tags and rejects what S3 rejects.
type tagSet struct {
	tags map[string]string
	most int // maximum number of tags
}

// add adds one tag, or returns S3's error for it.
func (t tagSet) add(key, value string) error {
	switch _, twice := t.tags[key]; {
	case key == "" || utf8.RuneCountInString(key) > mostTagKey || !utf8.ValidString(key) || !tagText.MatchString(key) || strings.HasPrefix(strings.ToLower(key), "aws:"):
		return s3err.GetInvalidTagErr(s3err.ErrInvalidTagKey, key, "")
	case utf8.RuneCountInString(value) > mostTagValue || !utf8.ValidString(value) || !tagText.MatchString(value):
		return s3err.GetInvalidTagErr(s3err.ErrInvalidTagValue, key, value)
	case twice:
		return s3err.GetAPIError(s3err.ErrDuplicateTagKey)
	case len(t.tags) == t.most && t.most == mostBucketTags:
		return s3err.GetAPIError(s3err.ErrBucketTaggingLimited)
	case len(t.tags) == t.most:
		return s3err.GetAPIError(s3err.ErrObjectTaggingLimited)
	}
	t.tags[key] = value
	return nil
}

// tagsOf parses the tags of a header or form, key=value&key=value with percent-encoding. It
// returns nil if there are none.
func tagsOf(text *string) (map[string]string, error) {
	if text == nil || *text == "" {
		return nil, nil
	}
	t := tagSet{map[string]string{}, mostObjectTags}
	malformed := s3err.GetInvalidArgumentErr(s3err.InvalidArgURLEncodedTagging, *text)
	for pair := range strings.SplitSeq(*text, "&") {
		if pair == "" {
			continue
		}
		key, value, _ := strings.Cut(pair, "=")
		key, kerr := url.QueryUnescape(key)
		value, verr := url.QueryUnescape(value)
		if _, twice := t.tags[key]; kerr != nil || verr != nil || twice {
			return nil, malformed
		}
		if err := t.add(key, value); err != nil {
			return nil, err
		}
	}
	return t.tags, nil
}

// split returns the tags as sent if the gateway accepts them; otherwise it returns the parsed
// tags, which are stored after the gateway's call.
func split(text *string) (theirs *string, ours map[string]string, err error) {
	tags, err := tagsOf(text)
	if err != nil || tags == nil {
		return nil, nil, err
	}
	if _, refused := backend.ParseObjectTags(*text); refused != nil {
		return nil, tags, nil
	}
	return text, nil, nil
}

// tagging is the document of PutObjectTagging and PutBucketTagging.
type tagging struct {
	XMLName xml.Name                      `xml:"Tagging"`
	Tags    []struct{ Key, Value string } `xml:"TagSet>Tag"`
}

// taggingKey is the request value that holds the tags of the request's document, as a *tagged.
const taggingKey = "batholith-tagging"

// tagged is the result of parsing a document of tags.
type tagged struct {
	tags map[string]string
	err  error
}

// sent returns the tags of the request's document: those that amendTags parsed, or else theirs,
// which the gateway parsed.
func sent(ctx context.Context, theirs map[string]string) (map[string]string, error) {
	if read, ok := ctx.Value(taggingKey).(*tagged); ok {
		return read.tags, read.err
	}
	return theirs, nil
}

// amendTags parses the tags of a verified document, and gives the gateway a document without
// tags.
func amendTags(request *fasthttp.RequestCtx, most int) {
	var d tagging
	if xml.Unmarshal(request.Request.Body(), &d) != nil {
		return // the gateway rejects it
	}
	read, t := &tagged{}, tagSet{map[string]string{}, most}
	for _, tag := range d.Tags {
		if read.err = t.add(tag.Key, tag.Value); read.err != nil {
			break
		}
	}
	read.tags = t.tags
	request.SetUserValue(taggingKey, read)
	request.Request.SetBodyRaw([]byte("<Tagging><TagSet></TagSet></Tagging>"))
}

// tagsAttribute is the attribute in which the gateway stores tags.
const tagsAttribute = "X-Amz-Tagging"
