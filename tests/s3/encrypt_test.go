package s3_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/pkg/xattr"
	"pgregory.net/rapid"

	"github.com/batholith/batholith/internal/authz"
	"github.com/batholith/batholith/internal/kms"
	"github.com/batholith/batholith/internal/object"
	"github.com/batholith/batholith/internal/object/objecttest"
	"github.com/batholith/batholith/internal/s3serve"
	"github.com/batholith/batholith/internal/sigv4"
)

// keys makes keys with the aliases a, b and so on; their files are keys/a and so on below dir.
func keys(t testing.TB, dir string, disabled ...string) *kms.Ring {
	t.Helper()
	var all []kms.Key
	must(t, os.MkdirAll(filepath.Join(dir, "keys"), 0o700))
	for _, name := range []string{"a", "b"} {
		path := filepath.Join(dir, "keys", name)
		if _, err := os.Stat(path); err != nil {
			_, err := kms.Create(path, "key-"+name, time.Now())
			must(t, err)
		}
		all = append(all, kms.Key{Aliases: []string{name}, File: path, Disabled: len(disabled) > 0 && disabled[0] == name})
	}
	r, err := kms.Open(region, accountID, all)
	must(t, err)
	return r
}

// arn is the ARN of a key.
func arn(name string) string {
	return "arn:aws:kms:" + region + ":" + accountID + ":key/key-" + name
}

// vault is a server that encrypts, with the bucket box.
type vault struct {
	endpoint
	dir string // of the server; the keys are not below it
	api *s3.Client
}

func newVault(t testing.TB, o s3serve.Options) *vault {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	if o.Keys == nil {
		o.Keys = keys(t, t.TempDir())
	}
	e := serveWith(t, o)
	must(t, e.server.EnsureBucket("box"))
	return &vault{e, o.Dir, sdk(e.url, keyID, secret, http.DefaultClient)}
}

var box = aws.String("box")

// eachStorage runs a test with attributes in the file system and in files.
func eachStorage(t *testing.T, f func(t *testing.T, o s3serve.Options)) {
	for name, files := range map[string]bool{"attributes": false, "files": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, s3serve.Options{MetaFiles: files})
		})
	}
}

func (v *vault) put(t testing.TB, in s3.PutObjectInput, body []byte) *s3.PutObjectOutput {
	t.Helper()
	in.Bucket, in.Body = box, bytes.NewReader(body)
	out, err := v.api.PutObject(context.Background(), &in)
	must(t, err)
	return out
}

// get reads an object, or the range of it that a header names.
func (v *vault) get(t testing.TB, key, part string) ([]byte, *s3.GetObjectOutput, error) {
	t.Helper()
	in := &s3.GetObjectInput{Bucket: box, Key: &key}
	if part != "" {
		in.Range = &part
	}
	out, err := v.api.GetObject(context.Background(), in)
	if err != nil {
		return nil, nil, err
	}
	defer out.Body.Close()
	body, err := io.ReadAll(out.Body)
	return body, out, err
}

func (v *vault) reads(t testing.TB, key string, want []byte) *s3.GetObjectOutput {
	t.Helper()
	body, out, err := v.get(t, key, "")
	must(t, err)
	if !bytes.Equal(body, want) {
		t.Fatalf("%s: %d bytes were read, %d are right", key, len(body), len(want))
	}
	return out
}

const secretWord = "the-quick-brown-prompt"

// secretly is a body of n bytes with a word in every place.
func secretly(n int) []byte {
	return bytes.Repeat([]byte(secretWord+" "), n/len(secretWord)+1)[:n]
}

// shown lists where a word is below a directory: in files, in their attributes, and in names.
func shown(t testing.TB, dir, word string) (where []string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.Type().IsRegular() {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if bytes.Contains(text, []byte(word)) {
				where = append(where, path)
			}
		}
		names, _ := xattr.List(path)
		for _, name := range names {
			if value, _ := xattr.Get(path, name); bytes.Contains(value, []byte(word)) {
				where = append(where, path+" "+name)
			}
		}
		return nil
	}))
	return where
}

func TestAnEncryptedBucketKeepsTheLawOfABucket(t *testing.T) {
	eachStorage(t, func(t *testing.T, o s3serve.Options) {
		v := newVault(t, o)
		c := client(t, v.endpoint, keyID, secret)
		n := 0
		objecttest.Run(t, func(t *testing.T) objecttest.Bucket {
			n++
			name := fmt.Sprintf("law-%d", n)
			must(t, c.CreateBucket(t.Context(), name))
			b := c.Bucket(name, object.Options{Owner: accountID, KMSKeyID: "alias/a"})
			if o.MetaFiles { // one of the two storages near, the other over HTTP
				return v.server.Near(keyID, name, accountID, "alias/a", b)
			}
			return b
		})
	})
}

// Every range of an encrypted object is answered as that of a plain one is: bytes, headers and errors.
func TestRangesOfAnEncryptedObjectAreThoseOfAPlainOne(t *testing.T) {
	v := newVault(t, s3serve.Options{})
	const block = 64 << 10
	var sizes []int
	for _, n := range []int{0, block, 2 * block} {
		for _, off := range []int{-1, 0, 1} {
			if n+off < 0 {
				continue
			}
			sizes = append(sizes, n+off)
			body := make([]byte, n+off)
			rand.NewChaCha8([32]byte{byte(n + off)}).Read(body)
			for _, sse := range []types.ServerSideEncryption{"", "AES256", "aws:kms"} {
				v.put(t, s3.PutObjectInput{Key: aws.String(fmt.Sprint(n+off, sse)), ServerSideEncryption: sse}, body)
			}
		}
	}
	near := rapid.Custom(func(t *rapid.T) int {
		return max(0, rapid.SampledFrom([]int{0, block, 2 * block}).Draw(t, "block")+rapid.IntRange(-2, 2).Draw(t, "off"))
	})
	rapid.Check(t, func(t *rapid.T) {
		n, sse := rapid.SampledFrom(sizes).Draw(t, "size"), rapid.SampledFrom([]string{"AES256", "aws:kms"}).Draw(t, "sse")
		a, b := near.Draw(t, "from"), near.Draw(t, "to")
		part := rapid.SampledFrom([]string{fmt.Sprintf("bytes=%d-%d", a, b), fmt.Sprintf("bytes=%d-", a), fmt.Sprintf("bytes=-%d", a), "", "bytes=0-0,1-1", "nonsense"}).Draw(t, "range")
		ask := func(key string) (answer string) {
			in := &s3.GetObjectInput{Bucket: box, Key: &key, Range: &part}
			if part == "" {
				in.Range = nil
			}
			out, err := v.api.GetObject(context.Background(), in)
			head, herr := v.api.HeadObject(context.Background(), &s3.HeadObjectInput{Bucket: box, Key: &key, Range: in.Range})
			if err != nil {
				return fmt.Sprint(codeOf(err), codeOf(herr))
			}
			defer out.Body.Close()
			got, err := io.ReadAll(out.Body)
			if err != nil || herr != nil {
				t.Fatal(err, herr)
			}
			return fmt.Sprint(aws.ToInt64(out.ContentLength), aws.ToString(out.ContentRange), md5.Sum(got), aws.ToInt64(head.ContentLength), aws.ToString(head.ContentRange))
		}
		if plain, sealed := ask(fmt.Sprint(n)), ask(fmt.Sprint(n, sse)); plain != sealed {
			t.Fatalf("%d bytes, %q: %s, %s", n, part, plain, sealed)
		}
	})
}

func TestAnEncryptedObjectIsToldAndListedAsAPlainOne(t *testing.T) {
	eachStorage(t, func(t *testing.T, o s3serve.Options) {
		v := newVault(t, o)
		body := secretly(100_000)
		context64 := base64.StdEncoding.EncodeToString([]byte(`{"team":"red"}`))
		for _, tt := range []struct {
			sse      types.ServerSideEncryption
			key, arn string // asked for, answered
		}{{"AES256", "", ""}, {"aws:kms", "", arn("a")}, {"aws:kms", "alias/b", arn("b")}, {"aws:kms", arn("b"), arn("b")}, {"aws:kms", "key-a", arn("a")}} {
			in := s3.PutObjectInput{Key: aws.String("k"), ServerSideEncryption: tt.sse, Metadata: map[string]string{"m": "1"}, ContentType: aws.String("text/x"), Tagging: aws.String("a=b"),
				ChecksumAlgorithm: types.ChecksumAlgorithmSha256}
			if tt.sse == "aws:kms" {
				in.SSEKMSEncryptionContext = &context64
			}
			if tt.key != "" {
				in.SSEKMSKeyId = &tt.key
			}
			out := v.put(t, in, body)
			got := v.reads(t, "k", body)
			summed, err := v.api.GetObject(t.Context(), &s3.GetObjectInput{Bucket: box, Key: in.Key, ChecksumMode: types.ChecksumModeEnabled})
			must(t, err)
			_, err = io.Copy(io.Discard, summed.Body) // which the SDK checks
			must(t, err)
			head, err := v.api.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: box, Key: in.Key, ChecksumMode: types.ChecksumModeEnabled})
			must(t, err)
			list, err := v.api.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: box})
			must(t, err)
			attributes, err := v.api.GetObjectAttributes(t.Context(), &s3.GetObjectAttributesInput{Bucket: box, Key: in.Key,
				ObjectAttributes: []types.ObjectAttributes{types.ObjectAttributesObjectSize, types.ObjectAttributesChecksum, types.ObjectAttributesEtag}})
			must(t, err)
			for where, said := range map[string][2]string{
				"put":  {string(out.ServerSideEncryption), aws.ToString(out.SSEKMSKeyId)},
				"get":  {string(got.ServerSideEncryption), aws.ToString(got.SSEKMSKeyId)},
				"head": {string(head.ServerSideEncryption), aws.ToString(head.SSEKMSKeyId)},
			} {
				if want := [2]string{string(tt.sse), tt.arn}; said != want {
					t.Errorf("%s, %v: %v", where, tt, said)
				}
			}
			if tt.sse == "aws:kms" && aws.ToString(out.SSEKMSEncryptionContext) != context64 {
				t.Error("the context is not answered")
			}
			sum := aws.ToString(out.ChecksumSHA256)
			if aws.ToInt64(head.ContentLength) != 100_000 || aws.ToInt64(list.Contents[0].Size) != 100_000 || aws.ToInt64(attributes.ObjectSize) != 100_000 ||
				sum == "" || aws.ToString(head.ChecksumSHA256) != sum || aws.ToString(summed.ChecksumSHA256) != sum || aws.ToString(attributes.Checksum.ChecksumSHA256) != sum {
				t.Errorf("%v: head %v, list %v, attributes %v, sums %q %v %v", tt, *head.ContentLength, *list.Contents[0].Size, *attributes.ObjectSize, sum,
					aws.ToString(head.ChecksumSHA256), aws.ToString(summed.ChecksumSHA256))
			}
			if etag := fmt.Sprintf(`"%x"`, md5.Sum(body)); (tt.sse == "AES256") != (aws.ToString(out.ETag) == etag) || aws.ToString(head.ETag) != *out.ETag || aws.ToString(list.Contents[0].ETag) != *out.ETag {
				t.Errorf("%v: ETag %s", tt, *out.ETag)
			}
			if got.Metadata["m"] != "1" || aws.ToString(got.ContentType) != "text/x" || aws.ToInt32(got.TagCount) != 1 {
				t.Errorf("%v: %v", tt, got.ResultMetadata)
			}
			if _, err := v.api.GetObject(t.Context(), &s3.GetObjectInput{Bucket: box, Key: in.Key, IfNoneMatch: out.ETag}); err == nil {
				t.Error("a condition does not hold")
			}
			if where := shown(t, v.dir, secretWord); len(where) > 0 {
				t.Errorf("%v: plain bytes are in %v", tt, where)
			}
		}
	})
}

// upload puts an object in parts, and copies part 2 from another object if that is named. Its
// parts are bodies of 5 MiB and a small one.
func (v *vault) upload(t testing.TB, key string, in s3.CreateMultipartUploadInput, copied string, bodies ...[]byte) (*s3.CreateMultipartUploadOutput, []types.CompletedPart) {
	t.Helper()
	in.Bucket, in.Key = box, &key
	begun, err := v.api.CreateMultipartUpload(context.Background(), &in)
	must(t, err)
	var done []types.CompletedPart
	if in.ChecksumAlgorithm == "" {
		defer func() {
			for i := range done { // without an algorithm, S3 takes none from a completion
				done[i].ChecksumCRC32, done[i].ChecksumCRC64NVME = nil, nil
			}
		}()
	}
	for i, body := range bodies {
		n := aws.Int32(int32(i + 1))
		if i == 1 && copied != "" {
			out, err := v.api.UploadPartCopy(context.Background(), &s3.UploadPartCopyInput{Bucket: box, Key: &key, UploadId: begun.UploadId, PartNumber: n, CopySource: aws.String("box/" + copied)})
			must(t, err)
			r := out.CopyPartResult
			done = append(done, types.CompletedPart{PartNumber: n, ETag: r.ETag, ChecksumSHA256: r.ChecksumSHA256, ChecksumCRC32: r.ChecksumCRC32, ChecksumCRC64NVME: r.ChecksumCRC64NVME})
			continue
		}
		out, err := v.api.UploadPart(context.Background(), &s3.UploadPartInput{Bucket: box, Key: &key, UploadId: begun.UploadId, PartNumber: n, Body: bytes.NewReader(body), ChecksumAlgorithm: in.ChecksumAlgorithm})
		must(t, err)
		done = append(done, types.CompletedPart{PartNumber: n, ETag: out.ETag, ChecksumSHA256: out.ChecksumSHA256, ChecksumCRC32: out.ChecksumCRC32, ChecksumCRC64NVME: out.ChecksumCRC64NVME})
	}
	return begun, done
}

func TestAnEncryptedUploadMakesTheObjectOfAPlainOne(t *testing.T) {
	parts := [][]byte{secretly(5<<20 + 3), secretly(5 << 20), secretly(70_000)}
	whole := bytes.Join(parts, nil)
	eachStorage(t, func(t *testing.T, o s3serve.Options) {
		v := newVault(t, o)
		v.put(t, s3.PutObjectInput{Key: aws.String("source"), ServerSideEncryption: "aws:kms", SSEKMSKeyId: aws.String("alias/b")}, parts[1])
		for name, in := range map[string]s3.CreateMultipartUploadInput{
			"default":   {},
			"composite": {ChecksumAlgorithm: types.ChecksumAlgorithmSha256},
			"full":      {ChecksumAlgorithm: types.ChecksumAlgorithmCrc32, ChecksumType: types.ChecksumTypeFullObject},
		} {
			var sums [2]string
			for i, sse := range []types.ServerSideEncryption{"", "aws:kms", "AES256"} {
				in.ServerSideEncryption = sse
				key := fmt.Sprint(name, i)
				begun, done := v.upload(t, key, in, "source", parts...)
				if begun.ServerSideEncryption != sse {
					t.Errorf("%s: the upload is said to be encrypted by %q", key, begun.ServerSideEncryption)
				}
				listed, err := v.api.ListParts(t.Context(), &s3.ListPartsInput{Bucket: box, Key: &key, UploadId: begun.UploadId})
				must(t, err)
				for j, p := range listed.Parts {
					if aws.ToInt64(p.Size) != int64(len(parts[j])) || aws.ToString(p.ETag) != aws.ToString(done[j].ETag) {
						t.Errorf("%s: part %d is listed with %d bytes", key, j+1, *p.Size)
					}
				}
				for _, where := range shown(t, v.dir, secretWord) {
					if sse != "" && !strings.HasSuffix(where, "0") { // the object of the plain upload
						t.Errorf("%s: plain bytes are in %s", key, where)
					}
				}
				_, err = v.api.CompleteMultipartUpload(t.Context(), &s3.CompleteMultipartUploadInput{Bucket: box, Key: &key, UploadId: begun.UploadId,
					MultipartUpload: &types.CompletedMultipartUpload{Parts: done}, MpuObjectSize: aws.Int64(1)})
				if err == nil {
					t.Errorf("%s: a wrong size is believed", key)
				}
				out, err := v.api.CompleteMultipartUpload(t.Context(), &s3.CompleteMultipartUploadInput{Bucket: box, Key: &key, UploadId: begun.UploadId,
					MultipartUpload: &types.CompletedMultipartUpload{Parts: done}, MpuObjectSize: aws.Int64(int64(len(whole)))})
				must(t, err)
				if out.ServerSideEncryption != sse {
					t.Errorf("%s: the object is said to be encrypted by %q", key, out.ServerSideEncryption)
				}
				v.reads(t, key, whole)
				got, err := v.api.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: box, Key: &key, ChecksumMode: types.ChecksumModeEnabled})
				must(t, err)
				said := fmt.Sprint(aws.ToString(got.ChecksumCRC64NVME), aws.ToString(got.ChecksumCRC32), aws.ToString(got.ChecksumSHA256), got.ChecksumType, aws.ToString(out.ChecksumCRC64NVME),
					aws.ToString(out.ChecksumCRC32), aws.ToString(out.ChecksumSHA256))
				if sse != "aws:kms" {
					said += aws.ToString(out.ETag)
					if sums[0] == "" {
						sums[0] = said
					} else if said != sums[0] {
						t.Errorf("%s: %s, in plain %s", key, said, sums[0])
					}
				}
				for j, part := range parts {
					one, err := v.api.GetObject(t.Context(), &s3.GetObjectInput{Bucket: box, Key: &key, PartNumber: aws.Int32(int32(j + 1))})
					must(t, err)
					body, err := io.ReadAll(one.Body)
					must(t, err)
					if !bytes.Equal(body, part) || aws.ToInt32(one.PartsCount) != 3 {
						t.Errorf("%s: part %d has %d bytes of %d, %d parts", key, j+1, len(body), len(part), aws.ToInt32(one.PartsCount))
					}
				}
				attributes, err := v.api.GetObjectAttributes(t.Context(), &s3.GetObjectAttributesInput{Bucket: box, Key: &key,
					ObjectAttributes: []types.ObjectAttributes{types.ObjectAttributesObjectSize, types.ObjectAttributesObjectParts}})
				must(t, err)
				if aws.ToInt64(attributes.ObjectSize) != int64(len(whole)) || aws.ToInt64(attributes.ObjectParts.Parts[2].Size) != 70_000 {
					t.Errorf("%s: %v", key, attributes.ObjectParts)
				}
			}
		}
	})
}

func TestAPartThatIsTooSmallIsRefusedEncryptedToo(t *testing.T) {
	v := newVault(t, s3serve.Options{})
	// With what encryption adds, the first part would be large enough.
	begun, done := v.upload(t, "k", s3.CreateMultipartUploadInput{ServerSideEncryption: "AES256"}, "", secretly(5<<20-1), secretly(10))
	_, err := v.api.CompleteMultipartUpload(t.Context(), &s3.CompleteMultipartUploadInput{Bucket: box, Key: aws.String("k"), UploadId: begun.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: done}})
	if codeOf(err) != "EntityTooSmall" {
		t.Error(err)
	}
	if _, err := v.api.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: box, Key: aws.String("k")}); codeOf(err) != "NotFound" {
		t.Errorf("an object appeared: %v", err)
	}
}

func TestACopyIsEncryptedAnew(t *testing.T) {
	eachStorage(t, func(t *testing.T, o s3serve.Options) {
		v := newVault(t, o)
		body := secretly(200_000)
		v.put(t, s3.PutObjectInput{Key: aws.String("a"), ServerSideEncryption: "aws:kms", SSEKMSKeyId: aws.String("alias/a"), Metadata: map[string]string{"m": "1"}, Tagging: aws.String("t=1")}, body)
		for _, tt := range []struct {
			from, to string
			sse      types.ServerSideEncryption
			key      string
			replace  bool
			want     string
		}{
			{"a", "kept", "", "", false, arn("a")},
			{"a", "b", "aws:kms", "alias/b", false, arn("b")},
			{"b", "s3", "AES256", "", true, ""},
			{"a", "a", "aws:kms", "alias/b", false, arn("b")}, // itself
			{"a", "a", "", "", true, arn("b")},
		} {
			in := &s3.CopyObjectInput{Bucket: box, Key: &tt.to, CopySource: aws.String("box/" + tt.from), ServerSideEncryption: tt.sse}
			if tt.key != "" {
				in.SSEKMSKeyId = &tt.key
			}
			if tt.replace {
				in.MetadataDirective, in.Metadata = types.MetadataDirectiveReplace, map[string]string{"m": "2"}
			}
			out, err := v.api.CopyObject(t.Context(), in)
			must(t, err)
			got := v.reads(t, tt.to, body)
			if aws.ToString(out.SSEKMSKeyId) != tt.want || aws.ToString(got.SSEKMSKeyId) != tt.want || (got.Metadata["m"] == "2") != tt.replace || aws.ToInt32(got.TagCount) != 1 ||
				aws.ToString(out.CopyObjectResult.ETag) != aws.ToString(got.ETag) {
				t.Errorf("%+v: %v, %v, %v", tt, aws.ToString(out.SSEKMSKeyId), aws.ToString(got.SSEKMSKeyId), got.Metadata)
			}
		}
		if where := shown(t, v.dir, secretWord); len(where) > 0 {
			t.Error("plain bytes are in", where)
		}
		if _, err := v.api.CopyObject(t.Context(), &s3.CopyObjectInput{Bucket: box, Key: aws.String("x"), CopySource: aws.String("box/a"), CopySourceIfMatch: aws.String("other")}); codeOf(err) != "PreconditionFailed" {
			t.Error(err)
		}
	})
}

// A server that was started again decrypts, after rotations too. Without the key, or with
// another one, it answers an error, never other bytes.
func TestEncryptedObjectsKeepTheirKey(t *testing.T) {
	eachStorage(t, func(t *testing.T, o s3serve.Options) {
		o.Dir = t.TempDir()
		where := t.TempDir()
		body := secretly(100_000)
		v := newVault(t, s3serve.Options{Dir: o.Dir, MetaFiles: o.MetaFiles, Keys: keys(t, where)})
		kmsA := s3.PutObjectInput{Key: aws.String("one"), ServerSideEncryption: "aws:kms", SSEKMSKeyId: aws.String("alias/a")}
		v.put(t, kmsA, body)
		_, err := kms.Rotate(filepath.Join(where, "keys", "a"), time.Now())
		must(t, err)
		kmsA.Key = aws.String("two")
		v.put(t, kmsA, body)
		v.reads(t, "one", body)
		v.stop()

		v = newVault(t, s3serve.Options{Dir: o.Dir, MetaFiles: o.MetaFiles, Keys: keys(t, where)})
		v.reads(t, "one", body)
		v.reads(t, "two", body)
		v.stop()

		none, err := kms.Open(region, accountID, nil)
		must(t, err)
		for name, tt := range map[string]struct {
			ring *kms.Ring
			code string
		}{
			"no keys":     {none, "KMS.KMSInvalidStateException"},
			"another key": {keys(t, t.TempDir()), "InternalError"},
			"disabled":    {keys(t, where, "a"), "KMS.DisabledException"},
		} {
			v := newVault(t, s3serve.Options{Dir: o.Dir, MetaFiles: o.MetaFiles, Keys: tt.ring})
			v.api = sdk(v.url, keyID, secret, http.DefaultClient, func(o *s3.Options) { o.Retryer = aws.NopRetryer{} })
			for _, part := range []string{"", "bytes=0-0"} {
				if body, _, err := v.get(t, "one", part); codeOf(err) != tt.code {
					t.Errorf("%s: %q, %v", name, body, err)
				}
			}
			head, err := v.api.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: box, Key: aws.String("one")})
			if err != nil || aws.ToInt64(head.ContentLength) != 100_000 {
				t.Errorf("%s: head: %v", name, err)
			}
			v.stop()
		}
	})
}

// fileOf is where the object of a key is.
func (v *vault) fileOf(key string) string { return filepath.Join(v.dir, "buckets", "box", key) }

// Whichever byte of the file is changed, and wherever it is cut off: the answer is an error or
// the right bytes.
func TestChangedCiphertextIsNeverAnswered(t *testing.T) {
	eachStorage(t, func(t *testing.T, o s3serve.Options) {
		v := newVault(t, o)
		v.api = sdk(v.url, keyID, secret, http.DefaultClient, func(o *s3.Options) { o.Retryer = aws.NopRetryer{} })
		body := secretly(130_000)
		v.put(t, s3.PutObjectInput{Key: aws.String("k"), ServerSideEncryption: "aws:kms"}, body)
		file := v.fileOf("k")
		whole, err := os.ReadFile(file)
		must(t, err)
		wrong := func(what string, changed []byte) {
			t.Helper()
			must(t, os.WriteFile(file, changed, 0o600)) // keeps the attributes
			got, _, err := v.get(t, "k", "")
			if err == nil {
				t.Errorf("%s: %d bytes without an error", what, len(got))
			}
			if part, _, err := v.get(t, "k", "bytes=65530-65550"); err == nil && !bytes.Equal(part, body[65530:65551]) {
				t.Errorf("%s: other bytes: %q", what, part)
			}
		}
		at := []int{0, 15, 16, 17, 31, 32, 33, 1000, 16 + 65536 + 31, 16 + 65536 + 32, 16 + 65536 + 40, len(whole) - 1, len(whole) - 12, len(whole) - 13, len(whole) - 16, len(whole) - 20, len(whole) - 48, len(whole) - 60, len(whole) - 150, len(whole) - 300}
		if o.MetaFiles {
			at = at[2:] // where attributes are files, a file without the magic is a plain one after a crash
		}
		for _, i := range at {
			changed := bytes.Clone(whole)
			changed[i] ^= 1
			wrong(fmt.Sprintf("byte %d", i), changed)
		}
		for _, n := range []int{17, 100, 16 + 65536 + 32, len(whole) - 100, len(whole) - 1} {
			wrong(fmt.Sprintf("cut off at %d", n), whole[:n])
		}
		wrong("longer", append(bytes.Clone(whole), 'x'))
		wrong("two packages in the other order", bytes.Join([][]byte{whole[:16], whole[16+65568:], whole[16 : 16+65568]}, nil))

		// Ciphertext of another key of the bucket, with all its attributes.
		must(t, os.WriteFile(file, whole, 0o600))
		v.put(t, s3.PutObjectInput{Key: aws.String("other"), ServerSideEncryption: "aws:kms"}, body)
		must(t, os.Rename(v.fileOf("other"), file))
		if _, _, err := v.get(t, "k", ""); codeOf(err) != "InternalError" {
			t.Error("an object that was moved:", err)
		}
	})
}

// Objects of clients that look like encrypted ones are their bytes.
func TestAPlainObjectMayLookEncrypted(t *testing.T) {
	eachStorage(t, func(t *testing.T, o s3serve.Options) {
		v := newVault(t, o)
		v.put(t, s3.PutObjectInput{Key: aws.String("sealed"), ServerSideEncryption: "aws:kms"}, secretly(1000))
		whole, err := os.ReadFile(v.fileOf("sealed"))
		must(t, err)
		for i, body := range [][]byte{whole, whole[:16], whole[:100], whole[len(whole)-100:], append(bytes.Clone(whole), 'x')} {
			key := fmt.Sprint("plain", i)
			v.put(t, s3.PutObjectInput{Key: &key}, body)
			if out := v.reads(t, key, body); out.ServerSideEncryption != "" {
				t.Errorf("object %d is said to be encrypted", i)
			}
		}
	})
}

// A backup without attributes loses what HTTP says of an object, and not the object.
func TestAnEncryptedFileWithoutAttributesIsDecrypted(t *testing.T) {
	v := newVault(t, s3serve.Options{})
	body := secretly(1000)
	v.put(t, s3.PutObjectInput{Key: aws.String("k"), ServerSideEncryption: "aws:kms"}, body)
	whole, err := os.ReadFile(v.fileOf("k"))
	must(t, err)
	must(t, os.Remove(v.fileOf("k")))
	must(t, os.WriteFile(v.fileOf("k"), whole, 0o600))
	v.reads(t, "k", body)
}

// With attributes in files, a crash can leave an object with the attributes of the one that was
// to replace it.
func TestACrashBetweenAttributesAndNameNeverShowsCiphertext(t *testing.T) {
	v := newVault(t, s3serve.Options{MetaFiles: true})
	plain, sealed := secretly(1000), secretly(2000)
	k := aws.String("k")
	for name, swap := range map[string][2]types.ServerSideEncryption{"plain, then encrypted": {"", "aws:kms"}, "encrypted, then plain": {"aws:kms", ""}} {
		bodies := map[types.ServerSideEncryption][]byte{"": plain, "aws:kms": sealed}
		v.put(t, s3.PutObjectInput{Key: k, ServerSideEncryption: swap[0]}, bodies[swap[0]])
		before, err := os.ReadFile(v.fileOf("k"))
		must(t, err)
		v.put(t, s3.PutObjectInput{Key: k, ServerSideEncryption: swap[1]}, bodies[swap[1]])
		must(t, os.WriteFile(v.fileOf("k"), before, 0o600))
		body, _, err := v.get(t, "k", "bytes=0-99")
		must(t, err)
		if !bytes.Equal(body, bodies[swap[0]][:100]) {
			t.Errorf("%s: %q", name, body)
		}
	}
}

// guard permits everything but the use of keys, of which it permits one action with one key; and all
// to the caller "admin".
type guard struct{ action, key string }

func (g guard) Decide(_ context.Context, r authz.Request) authz.Decision {
	return authz.Decision{Allowed: r.Resource.Type != authz.TypeKey || r.Who.Principal == "admin" || r.Action == g.action && r.Resource.ID == g.key}
}

func TestOnlyWhoMayUseTheKeyReadsAndWrites(t *testing.T) {
	const other, otherSecret, boss, bossSecret = "OTHER", "othersecret", "BOSS", "bosssecret"
	for _, g := range []guard{{"kms:Decrypt", "key-a"}, {"kms:GenerateDataKey", "key-a"}, {"kms:Decrypt", "key-b"}} {
		v := newVault(t, s3serve.Options{Authorizer: g, Accounts: []s3serve.Account{{AccessKeyID: other, Secret: otherSecret}, {AccessKeyID: boss, Secret: bossSecret, Identity: sigv4.Identity{Principal: "admin"}}}})
		v.api = sdk(v.url, boss, bossSecret, http.DefaultClient)
		body := secretly(100)
		v.put(t, s3.PutObjectInput{Key: aws.String("a"), ServerSideEncryption: "aws:kms", SSEKMSKeyId: aws.String("alias/a")}, body)
		v.put(t, s3.PutObjectInput{Key: aws.String("s3"), ServerSideEncryption: "AES256"}, body)
		v.put(t, s3.PutObjectInput{Key: aws.String("plain")}, body)
		v.api = sdk(v.url, other, otherSecret, http.DefaultClient)
		_, _, rerr := v.get(t, "a", "")
		_, werr := v.api.PutObject(t.Context(), &s3.PutObjectInput{Bucket: box, Key: aws.String("w"), Body: bytes.NewReader(body), ServerSideEncryption: "aws:kms", SSEKMSKeyId: aws.String("alias/a")})
		_, uerr := v.api.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: box, Key: aws.String("w"), ServerSideEncryption: "aws:kms", SSEKMSKeyId: aws.String("alias/a")})
		_, cerr := v.api.CopyObject(t.Context(), &s3.CopyObjectInput{Bucket: box, Key: aws.String("copy"), CopySource: aws.String("box/a"), ServerSideEncryption: "AES256"})
		for what, got := range map[string]error{"kms:Decrypt": rerr, "kms:Decrypt ": cerr, "kms:GenerateDataKey": werr, "kms:GenerateDataKey ": uerr} {
			allowed := strings.TrimSpace(what) == g.action && g.key == "key-a"
			if allowed != (got == nil) || !allowed && (codeOf(got) != "AccessDenied" || !strings.Contains(got.Error(), strings.TrimSpace(what))) {
				t.Errorf("%v, %s: %v", g, what, got)
			}
		}
		v.reads(t, "s3", body)
		v.reads(t, "plain", body)
		for attribute, secret := range map[types.ObjectAttributes]bool{"Checksum": true, "ObjectParts": true, "ETag": false, "ObjectSize": false} {
			for _, key := range []string{"a", "s3", "plain"} {
				_, err := v.api.GetObjectAttributes(t.Context(), &s3.GetObjectAttributesInput{Bucket: box, Key: &key, ObjectAttributes: []types.ObjectAttributes{"StorageClass", attribute}})
				denied := secret && key == "a" && attribute == "Checksum" && g != guard{"kms:Decrypt", "key-a"} // it has no parts
				if denied != (codeOf(err) == "AccessDenied") || !denied && err != nil {
					t.Errorf("%v, %s of %s: %v", g, attribute, key, err)
				}
			}
		}
		for key, denied := range map[string]bool{"a": g != guard{"kms:Decrypt", "key-a"}, "s3": false, "plain": false} {
			_, err := v.api.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: box, Key: &key, ChecksumMode: types.ChecksumModeEnabled})
			if denied != (err != nil) {
				t.Errorf("%v, the head with checksums of %s: %v", g, key, err)
			}
		}
		if head, err := v.api.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: box, Key: aws.String("a")}); err != nil || *head.ContentLength != 100 {
			t.Error(err)
		}
	}
}

// Keys without an account are those of the server's account: the callers of another have SSE-S3 only.
func TestAnotherAccountHasNoneOfTheKeys(t *testing.T) {
	v := newVault(t, s3serve.Options{Accounts: []s3serve.Account{{AccessKeyID: "THEIRS", Secret: "s", Identity: sigv4.Identity{Account: "111111111111", Principal: "admin"}}}})
	api, theirs, k := sdk(v.url, "THEIRS", "s", http.DefaultClient), aws.String("theirs"), aws.String("k")
	_, err := api.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: theirs})
	must(t, err)
	if err := put(api, s3.PutObjectInput{Bucket: theirs, Key: k, ServerSideEncryption: "aws:kms", SSEKMSKeyId: aws.String(arn("a"))})(t.Context()); codeOf(err) != "AccessDenied" {
		t.Error(err)
	}
	must(t, put(api, s3.PutObjectInput{Bucket: theirs, Key: k, ServerSideEncryption: "AES256"})(t.Context()))
}

// Each account encrypts with its own keys, whatever the other calls its own, and reads only its own objects.
func TestAKeyIsUsedInItsAccountOnly(t *testing.T) {
	const theirs = "111111111111"
	var all []kms.Key
	for _, account := range []string{accountID, theirs} {
		path := filepath.Join(t.TempDir(), "k")
		_, err := kms.Create(path, "key-of-"+account, time.Now())
		must(t, err)
		all = append(all, kms.Key{Aliases: []string{"prompts"}, File: path, Account: account})
	}
	ring, err := kms.Open(region, accountID, all)
	must(t, err)
	v := newVault(t, s3serve.Options{Keys: ring, Accounts: []s3serve.Account{{AccessKeyID: "THEIRS", Secret: "s", Identity: sigv4.Identity{Account: theirs, Principal: "admin"}}}})
	other, body := sdk(v.url, "THEIRS", "s", http.DefaultClient), secretly(100)
	_, err = other.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("theirs")})
	must(t, err)
	for _, c := range []struct {
		api             *s3.Client
		bucket, account string
		name, code      string
	}{
		{v.api, "box", accountID, "alias/prompts", ""}, {other, "theirs", theirs, "alias/prompts", ""},
		{v.api, "box", accountID, "", ""}, {other, "theirs", theirs, "", ""},
		{other, "theirs", theirs, "key-of-" + theirs, ""}, {other, "theirs", theirs, "arn:aws:kms:" + region + ":" + theirs + ":alias/prompts", ""},
		{v.api, "box", "", "key-of-" + theirs, "KMS.NotFoundException"}, {other, "theirs", "", "key-of-" + accountID, "KMS.NotFoundException"},
		{v.api, "box", "", "arn:aws:kms:" + region + ":" + theirs + ":key/key-of-" + theirs, "AccessDenied"},
		{other, "theirs", "", "arn:aws:kms:" + region + ":" + accountID + ":alias/prompts", "AccessDenied"},
	} {
		in := &s3.PutObjectInput{Bucket: &c.bucket, Key: aws.String("k"), Body: bytes.NewReader(body), ServerSideEncryption: "aws:kms"}
		if c.name != "" {
			in.SSEKMSKeyId = &c.name
		}
		out, err := c.api.PutObject(t.Context(), in)
		if codeOf(err) != c.code {
			t.Errorf("%s in %s: %v, want %q", c.name, c.bucket, err, c.code)
		}
		if err != nil {
			continue
		}
		if got, want := aws.ToString(out.SSEKMSKeyId), "arn:aws:kms:"+region+":"+c.account+":key/key-of-"+c.account; got != want {
			t.Errorf("%q in %s encrypts with %s, want %s", c.name, c.bucket, got, want)
		}
		read, err := c.api.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &c.bucket, Key: aws.String("k")})
		must(t, err)
		if got, err := io.ReadAll(read.Body); err != nil || !bytes.Equal(got, body) {
			t.Errorf("%q: %v", got, err)
		}
		read.Body.Close()
	}
	rule := types.ServerSideEncryptionRule{ApplyServerSideEncryptionByDefault: &types.ServerSideEncryptionByDefault{SSEAlgorithm: "aws:kms", KMSMasterKeyID: aws.String("key-of-" + accountID)}}
	if _, err := other.PutBucketEncryption(t.Context(), &s3.PutBucketEncryptionInput{Bucket: aws.String("theirs"), ServerSideEncryptionConfiguration: &types.ServerSideEncryptionConfiguration{Rules: []types.ServerSideEncryptionRule{rule}}}); codeOf(err) != "KMS.NotFoundException" {
		t.Error(err)
	}
}

func TestEncryptionThatTheServerLacksIsRefused(t *testing.T) {
	v := newVault(t, s3serve.Options{Keys: keys(t, t.TempDir(), "b")})
	k := aws.String("k")
	for name, tt := range map[string]struct {
		ask  func(context.Context) error
		code string
	}{
		"unknown key":   {put(v.api, s3.PutObjectInput{Bucket: box, Key: k, ServerSideEncryption: "aws:kms", SSEKMSKeyId: aws.String("alias/none")}), "KMS.NotFoundException"},
		"disabled key":  {put(v.api, s3.PutObjectInput{Bucket: box, Key: k, ServerSideEncryption: "aws:kms", SSEKMSKeyId: aws.String("alias/b")}), "KMS.DisabledException"},
		"other region":  {put(v.api, s3.PutObjectInput{Bucket: box, Key: k, ServerSideEncryption: "aws:kms", SSEKMSKeyId: aws.String("arn:aws:kms:eu-west-1:000000000000:key/key-a")}), "KMS.NotFoundException"},
		"DSSE":          {put(v.api, s3.PutObjectInput{Bucket: box, Key: k, ServerSideEncryption: "aws:kms:dsse"}), "NotImplemented"},
		"SSE-C":         {put(v.api, s3.PutObjectInput{Bucket: box, Key: k, SSECustomerAlgorithm: algorithm, SSECustomerKey: customerKey, SSECustomerKeyMD5: customerMD5}), "NotImplemented"},
		"algorithm":     {put(v.api, s3.PutObjectInput{Bucket: box, Key: k, ServerSideEncryption: "ROT13"}), "InvalidEncryptionAlgorithmError"},
		"key without":   {put(v.api, s3.PutObjectInput{Bucket: box, Key: k, SSEKMSKeyId: aws.String("alias/a")}), "InvalidArgument"},
		"key of SSE-S3": {put(v.api, s3.PutObjectInput{Bucket: box, Key: k, ServerSideEncryption: "AES256", SSEKMSKeyId: aws.String("alias/a")}), "InvalidArgument"},
		"context":       {put(v.api, s3.PutObjectInput{Bucket: box, Key: k, ServerSideEncryption: "aws:kms", SSEKMSEncryptionContext: aws.String("e30=x")}), "InvalidArgument"},
		"bucket": {func(ctx context.Context) error {
			_, err := v.api.PutBucketEncryption(ctx, &s3.PutBucketEncryptionInput{Bucket: box, ServerSideEncryptionConfiguration: byDefault("aws:kms", "alias/none")})
			return err
		}, "KMS.NotFoundException"},
	} {
		if err := tt.ask(t.Context()); codeOf(err) != tt.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := v.api.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: box, Key: k}); codeOf(err) != "NotFound" {
		t.Errorf("something was stored: %v", err)
	}
}

func byDefault(algorithm types.ServerSideEncryption, key string) *types.ServerSideEncryptionConfiguration {
	d := &types.ServerSideEncryptionByDefault{SSEAlgorithm: algorithm}
	if key != "" {
		d.KMSMasterKeyID = &key
	}
	return &types.ServerSideEncryptionConfiguration{Rules: []types.ServerSideEncryptionRule{{ApplyServerSideEncryptionByDefault: d}}}
}

func TestTheDefaultEncryptionOfABucketIsUsed(t *testing.T) {
	eachStorage(t, func(t *testing.T, o s3serve.Options) {
		v := newVault(t, o)
		var notSet interface{ ErrorCode() string }
		if _, err := v.api.GetBucketEncryption(t.Context(), &s3.GetBucketEncryptionInput{Bucket: box}); !errors.As(err, &notSet) || notSet.ErrorCode() != "ServerSideEncryptionConfigurationNotFoundError" {
			t.Error(err)
		}
		_, err := v.api.PutBucketEncryption(t.Context(), &s3.PutBucketEncryptionInput{Bucket: box, ServerSideEncryptionConfiguration: byDefault("aws:kms", "alias/b")})
		must(t, err)
		got, err := v.api.GetBucketEncryption(t.Context(), &s3.GetBucketEncryptionInput{Bucket: box})
		must(t, err)
		if d := got.ServerSideEncryptionConfiguration.Rules[0].ApplyServerSideEncryptionByDefault; d.SSEAlgorithm != "aws:kms" || aws.ToString(d.KMSMasterKeyID) != "alias/b" {
			t.Error(d)
		}
		body := secretly(1000)
		if out := v.put(t, s3.PutObjectInput{Key: aws.String("k")}, body); aws.ToString(out.SSEKMSKeyId) != arn("b") {
			t.Error(aws.ToString(out.SSEKMSKeyId))
		}
		if out := v.put(t, s3.PutObjectInput{Key: aws.String("k2"), ServerSideEncryption: "AES256"}, body); out.ServerSideEncryption != "AES256" {
			t.Error(out.ServerSideEncryption)
		}
		begun, done := v.upload(t, "k3", s3.CreateMultipartUploadInput{}, "", body)
		_, err = v.api.CompleteMultipartUpload(t.Context(), &s3.CompleteMultipartUploadInput{Bucket: box, Key: aws.String("k3"), UploadId: begun.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: done}})
		must(t, err)
		near := v.server.Near(keyID, "box", accountID, "", client(t, v.endpoint, keyID, secret).Bucket("box", object.Options{}))
		must(t, near.Put(t.Context(), "k4", body))
		for _, key := range []string{"k", "k2", "k3", "k4"} {
			v.reads(t, key, body)
		}
		if where := shown(t, v.dir, secretWord); len(where) > 0 {
			t.Error("plain bytes are in", where)
		}
		_, err = v.api.DeleteBucketEncryption(t.Context(), &s3.DeleteBucketEncryptionInput{Bucket: box})
		must(t, err)
		if out := v.put(t, s3.PutObjectInput{Key: aws.String("k")}, body); out.ServerSideEncryption != "" {
			t.Error(out.ServerSideEncryption)
		}
	})
}

// A writer replaces an object by plain and encrypted ones in turn; readers only ever see one of
// the two, whole.
func TestReadersSeeOneObjectWhileItsEncryptionChanges(t *testing.T) {
	v := newVault(t, s3serve.Options{})
	a, b := secretly(70_000), bytes.Repeat([]byte("b"), 90_000)
	v.put(t, s3.PutObjectInput{Key: aws.String("k")}, a)
	var stop atomic.Bool
	done := make(chan error, 1)
	go func() {
		defer close(done)
		for i := 0; !stop.Load(); i++ {
			in := s3.PutObjectInput{Bucket: box, Key: aws.String("k"), Body: bytes.NewReader(a)}
			if i%2 == 0 {
				in.Body, in.ServerSideEncryption = bytes.NewReader(b), "aws:kms"
			}
			if _, err := v.api.PutObject(context.Background(), &in); err != nil {
				done <- err
				return
			}
		}
	}()
	for range 60 {
		body, out, err := v.get(t, "k", "")
		must(t, err)
		if sealed := out.ServerSideEncryption != ""; sealed && !bytes.Equal(body, b) || !sealed && !bytes.Equal(body, a) {
			t.Fatalf("%d bytes, encrypted %v", len(body), sealed)
		}
		head, err := v.api.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: box, Key: aws.String("k")})
		must(t, err)
		if n := *head.ContentLength; (head.ServerSideEncryption != "") != (n == 90_000) || n != 70_000 && n != 90_000 {
			t.Fatal(n, head.ServerSideEncryption)
		}
	}
	stop.Store(true)
	must(t, <-done)
}

func TestSignedURLsAndFormsAskForEncryption(t *testing.T) {
	v := newVault(t, s3serve.Options{})
	signer := s3.NewPresignClient(v.api)
	signed, err := signer.PresignPutObject(t.Context(), &s3.PutObjectInput{Bucket: box, Key: aws.String("by-url"), ServerSideEncryption: "aws:kms", SSEKMSKeyId: aws.String("alias/b")})
	must(t, err)
	req, err := http.NewRequest(signed.Method, signed.URL, strings.NewReader(secretWord))
	must(t, err)
	for name, values := range signed.SignedHeader {
		req.Header[name] = values
	}
	if got := statusOf(t, req); got != http.StatusOK {
		t.Errorf("by URL: %d", got)
	}
	form, err := signer.PresignPostObject(t.Context(), &s3.PutObjectInput{Bucket: box, Key: aws.String("by-form")}, func(o *s3.PresignPostOptions) {
		o.Conditions = []any{[]any{"starts-with", "$x-amz-server-side-encryption", ""}}
	})
	must(t, err)
	form.Values["x-amz-server-side-encryption"] = "AES256"
	if got := statusOf(t, formRequest(t, form)); got >= 300 {
		t.Errorf("by form: %d", got)
	}
	for key, want := range map[string]types.ServerSideEncryption{"by-url": "aws:kms", "by-form": "AES256"} {
		if _, out, err := v.get(t, key, ""); err != nil || out.ServerSideEncryption != want {
			t.Errorf("%s: %v", key, err)
		}
	}
	if where := shown(t, v.dir, secretWord); len(where) > 0 {
		t.Error("plain bytes are in", where)
	}
}
