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

// Tags by S3's limits, which count characters. The gateway counts the bytes of a document, and the bytes of a header while its
// characters are escaped; so tags in other scripts would reach its limits at a third, and a ninth, of S3's.

const (
	mostObjectTags = 10
	mostBucketTags = 50
	mostTagKey     = 128 // characters
	mostTagValue   = 256
)

// tagText are the characters that tags may have: letters, spaces and digits of every script, and these.
var tagText = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)

// tagSet is a set of tags as it is put together. It refuses what S3 refuses.
type tagSet struct {
	tags map[string]string
	most int
}

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

// tagsOf reads the tags of a header or a form, key=value&key=value with characters escaped; nil for none.
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

// split returns the tags that the gateway takes itself, as they were sent, or those that it would refuse, which are stored after it is done.
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

// taggingKey is where the tags of a request's document lie among the request's values, read: a tagged.
const taggingKey = "batholith-tagging"

// tagged is what came of reading a document of tags.
type tagged struct {
	tags map[string]string
	err  error
}

// sent are the tags of a request's document, as they were read here if the gateway was handed another.
func sent(ctx context.Context, theirs map[string]string) (map[string]string, error) {
	if read, ok := ctx.Value(taggingKey).(*tagged); ok {
		return read.tags, read.err
	}
	return theirs, nil
}

// amendTags takes the tags out of a verified document, and hands the gateway one without tags.
func amendTags(request *fasthttp.RequestCtx, most int) {
	var d tagging
	if xml.Unmarshal(request.Request.Body(), &d) != nil {
		return // which the gateway refuses
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

// tagsAttribute is the gateway's name of the attribute.
const tagsAttribute = "X-Amz-Tagging"
