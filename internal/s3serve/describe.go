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

// What answers about objects have beside what the gateway writes.

// unchanged passes err on. For an object that the client has already (304), it writes the headers by which a cache knows what it keeps:
// ETag, Last-Modified, Cache-Control and Expires (RFC 9110, section 15.4.5).
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

// second is the last instant of a condition's second. HTTP has no finer times, files do: else an object of half past would be newer than the
// time that its own Last-Modified tells.
func second(at *time.Time) *time.Time {
	if at == nil {
		return nil
	}
	end := at.Truncate(time.Second).Add(time.Second - time.Nanosecond)
	return &end
}

// countKey is where the number of parts of an object lies among the values of the request that asks for its attributes.
const countKey = "batholith-parts"

// partsPage is how many parts of an object one answer describes at most (S3: GetObjectAttributes).
const partsPage = 1000

// describe completes the attributes of an object: the parts that it was uploaded in with their checksums, a checksum without the number of parts behind it,
// and the time of the last change as HTTP writes it, which the gateway would write in a form of its own.
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
		return // it came in one piece
	}
	if upload, err := backend.UnmarshalMpUploadMetadata(value, false); err == nil && len(upload.Parts) > 0 {
		out.ObjectParts = parts(upload.Parts, s.meta.partSums(path, *in.Key), aws.ToString(in.PartNumberMarker), in.MaxParts)
		if ok {
			response.SetUserValue(countKey, len(upload.Parts))
		}
	}
}

// amendAttributes writes the list of wanted attributes as the gateway reads it: in one header and without spaces, which SDKs put after
// the commas.
func amendAttributes(request *fasthttp.RequestCtx) {
	const name = "X-Amz-Object-Attributes"
	var wanted []string
	for _, list := range request.Request.Header.PeekAll(name) {
		for one := range strings.SplitSeq(string(list), ",") {
			wanted = append(wanted, strings.TrimSpace(one))
		}
	}
	if len(wanted) > 0 {
		request.Request.Header.Del(name)
		request.Request.Header.Set(name, strings.Join(wanted, ","))
	}
}

// parts are a page of the parts of an object, after the part of the marker. ends are the bytes up to the end of each.
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

// wholeNumber cuts the number of parts, "-2", off the checksums of an object that was uploaded in parts. It tells whether there are any.
func wholeNumber(c *types.Checksum) (some bool) {
	if c == nil {
		return false
	}
	for _, sum := range []*string{c.ChecksumCRC32, c.ChecksumCRC32C, c.ChecksumCRC64NVME, c.ChecksumSHA1, c.ChecksumSHA256, c.ChecksumSHA512,
		c.ChecksumMD5, c.ChecksumXXHASH64, c.ChecksumXXHASH3, c.ChecksumXXHASH128} {
		if sum != nil {
			*sum, _, _ = strings.Cut(*sum, "-") // base64 has no minus
			some = true
		}
	}
	return some
}

// escaper tells whether a listing's request wants keys escaped, since XML has no way to write some characters that keys may hold
// (S3: encoding-type).
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

// escapeAll escapes texts in place, as S3 does: a space is a plus, and a slash stays.
func escapeAll(texts ...*string) {
	for _, text := range texts {
		if text != nil {
			*text = strings.NewReplacer("%2F", "/", "%2A", "*", "~", "%7E").Replace(url.QueryEscape(*text))
		}
	}
}

// escapeKeys replaces the keys of a listing, which may share their bytes with others.
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
