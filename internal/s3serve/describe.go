package s3serve

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/valyala/fasthttp"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"
)

// Additions to the gateway's answers about objects.

// unchanged returns err. If err is 304 Not Modified, it also sets the headers that a cache
// needs: ETag, Last-Modified, Cache-Control and Expires (RFC 9110, section 15.4.5).
func (s *store) unchanged(ctx context.Context, path, key string, err error) error {
	response, ok := ctx.(*fasthttp.RequestCtx)
	if !ok || s3err.GetAPIError(s3err.ErrNotModified) != err {
		return err
	}
	if out, herr := s.posix.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &path, Key: &key}); herr == nil {
		header := &response.Response.Header
		for name, value := range map[string]*string{"ETag": out.ETag, "Cache-Control": out.CacheControl, "Expires": out.ExpiresString} {
			if aws.ToString(value) != "" {
				header.Set(name, *value)
			}
		}
		if out.LastModified != nil {
			header.Set("Last-Modified", out.LastModified.UTC().Format(http.TimeFormat))
		}
	}
	return err
}

// second returns the last nanosecond of the second of a condition's time. HTTP dates have full
// seconds but files have nanoseconds, so a file would otherwise be newer than its own
// Last-Modified.
func second(at *time.Time) *time.Time {
	if at == nil {
		return nil
	}
	end := at.Truncate(time.Second).Add(time.Second - time.Nanosecond)
	return &end
}

// countKey is the request value that holds the number of parts of an object, for
// GetObjectAttributes.
const countKey = "batholith-parts"

// partsPage is the maximum number of parts in one answer (S3: GetObjectAttributes).
const partsPage = 1000

// describe completes the answer of GetObjectAttributes: the object's parts, its checksum
// without the number of parts, and Last-Modified in HTTP's format, which the gateway writes
// differently.
func (s *store) describe(ctx context.Context, path string, in *s3.GetObjectAttributesInput, out *s3response.GetObjectAttributesResponse) {
	response, ok := ctx.(*fasthttp.RequestCtx)
	if ok && out.LastModified != nil {
		response.Response.Header.Set("Last-Modified", out.LastModified.UTC().Format(http.TimeFormat))
		out.LastModified = nil
	}
	if !wholeNumber(out.Checksum) {
		out.Checksum = nil
	}
	value, err := s.meta.RetrieveAttribute(nil, path, *in.Key, uploadAttribute)
	if err != nil {
		return // the object was not uploaded in parts
	}
	if upload, err := backend.UnmarshalMpUploadMetadata(value, false); err == nil && len(upload.Parts) > 0 {
		out.ObjectParts = parts(upload.Parts, s.meta.partSums(path, *in.Key), aws.ToString(in.PartNumberMarker), in.MaxParts)
		if ok {
			response.SetUserValue(countKey, len(upload.Parts))
		}
	}
}

// attributesHeader lists the attributes that GetObjectAttributes is asked for.
const attributesHeader = "X-Amz-Object-Attributes"

// amendAttributes rewrites x-amz-object-attributes as one header without spaces, the only form
// that the gateway reads. SDKs add spaces after commas.
func amendAttributes(request *fasthttp.RequestCtx) {
	var wanted []string
	for _, list := range request.Request.Header.PeekAll(attributesHeader) {
		for one := range strings.SplitSeq(string(list), ",") {
			wanted = append(wanted, strings.TrimSpace(one))
		}
	}
	if len(wanted) > 0 {
		request.Request.Header.Del(attributesHeader)
		request.Request.Header.Set(attributesHeader, strings.Join(wanted, ","))
	}
}

// parts returns one page of an object's parts after marker. ends[i] is the offset of the end of
// part i+1.
func parts(ends []int64, sums partSums, marker string, most *int32) *s3response.ObjectParts {
	after, _ := strconv.Atoi(marker)
	page := &s3response.ObjectParts{PartNumberMarker: after, MaxParts: partsPage}
	if most != nil && *most > 0 && *most < partsPage {
		page.MaxParts = int(*most)
	}
	var begin int64
	for i, end := range ends {
		size := end - begin
		if begin = end; i < after {
			continue
		}
		if len(page.Parts) == page.MaxParts {
			page.IsTruncated = true
			break
		}
		page.NextPartNumberMarker = i + 1
		part := types.ObjectPart{PartNumber: aws.Int32(int32(i + 1)), Size: &size}
		sums.give(&part, i+1)
		page.Parts = append(page.Parts, part)
	}
	return page
}

// wholeNumber removes the number of parts ("-2") from the checksums of an object uploaded in
// parts. It reports whether there are any checksums.
func wholeNumber(c *types.Checksum) (some bool) {
	if c == nil {
		return false
	}
	for _, sum := range []*string{c.ChecksumCRC32, c.ChecksumCRC32C, c.ChecksumCRC64NVME, c.ChecksumSHA1, c.ChecksumSHA256, c.ChecksumSHA512,
		c.ChecksumMD5, c.ChecksumXXHASH64, c.ChecksumXXHASH3, c.ChecksumXXHASH128} {
		if sum != nil {
			*sum, _, _ = strings.Cut(*sum, "-") // base64 has no minus sign
			some = true
		}
	}
	return some
}

// escaper reports whether a list request asks for percent-encoded keys (S3: encoding-type=url).
// XML cannot represent some characters that keys may contain.
func escaper(ctx context.Context) (bool, error) {
	a := addressOf(ctx)
	if a == nil {
		return false, nil
	}
	switch how, _ := a.value("encoding-type"); how {
	case "":
		return false, nil
	case string(types.EncodingTypeUrl):
		return true, nil
	default:
		return false, s3err.InvalidArgumentError{ArgumentName: "encoding-type", ArgumentValue: how, Description: "Invalid Encoding Method specified in Request"}
	}
}

// escapeAll percent-encodes texts in place as S3 does: a space becomes +, and a slash stays.
func escapeAll(texts ...*string) {
	for _, text := range texts {
		if text != nil {
			*text = strings.NewReplacer("%2F", "/", "%2A", "*", "~", "%7E").Replace(url.QueryEscape(*text))
		}
	}
}

// escapeKeys encodes the keys of a list. It allocates new strings, because keys may share
// memory.
func escapeKeys(objects []s3response.Object, prefixes []types.CommonPrefix) {
	for i := range objects {
		key := aws.ToString(objects[i].Key)
		escapeAll(&key)
		objects[i].Key = &key
	}
	for i := range prefixes {
		prefix := aws.ToString(prefixes[i].Prefix)
		escapeAll(&prefix)
		prefixes[i].Prefix = &prefix
	}
}
