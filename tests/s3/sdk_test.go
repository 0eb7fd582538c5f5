package s3_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/batholith/batholith/internal/s3serve"
)

// sdk is the AWS SDK as its default configuration makes it, with nothing set but where and who.
func sdk(url, id, secret string, client *http.Client, more ...func(*s3.Options)) *s3.Client {
	c, err := config.LoadDefaultConfig(context.Background(), config.WithRegion(region),
		config.WithBaseEndpoint(url), config.WithSharedConfigFiles([]string{}), config.WithSharedCredentialsFiles([]string{}),
		config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(id, secret, "")))
	if err != nil {
		panic(err)
	}
	return s3.NewFromConfig(c, append([]func(*s3.Options){func(o *s3.Options) { o.UsePathStyle, o.HTTPClient = true, client }}, more...)...)
}

// serveTLS runs a server that speaks TLS, where the SDK sends bodies in chunks with a trailing checksum.
func serveTLS(t *testing.T) (url string, client *http.Client) {
	t.Helper()
	certified := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(certified.Close)
	s, err := s3serve.New(s3serve.Options{Dir: t.TempDir(), Region: region, Owner: accountID,
		Accounts: []s3serve.Account{{AccessKeyID: keyID, Secret: secret}}})
	must(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- s.Serve(ctx, tls.NewListener(ln, &tls.Config{Certificates: certified.TLS.Certificates}))
	}()
	t.Cleanup(func() {
		cancel()
		must(t, <-done)
	})
	return "https://" + ln.Addr().String(), certified.Client()
}

func TestSDKDefaultsWork(t *testing.T) {
	e := serve(t, t.TempDir())
	secure, trusting := serveTLS(t)
	for name, api := range map[string]*s3.Client{
		"http": sdk(e.url, keyID, secret, http.DefaultClient), "https": sdk(secure, keyID, secret, trusting)} {
		t.Run(name, func(t *testing.T) { sdkDefaults(t, api) })
	}
}

func sdkDefaults(t *testing.T, api *s3.Client) {
	ctx, bucket, key, body := t.Context(), aws.String("defaults"), aws.String("k"), noise(300_000)
	_, err := api.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: bucket})
	must(t, err)
	for _, algorithm := range []types.ChecksumAlgorithm{"", types.ChecksumAlgorithmCrc32, types.ChecksumAlgorithmCrc32c,
		types.ChecksumAlgorithmCrc64nvme, types.ChecksumAlgorithmSha1, types.ChecksumAlgorithmSha256} {
		_, err := api.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: key, Body: bytes.NewReader(body), ChecksumAlgorithm: algorithm})
		if err != nil {
			t.Errorf("put with checksum %q: %v", algorithm, err)
			continue
		}
		out, err := api.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: key}) // the SDK checks the checksum as it reads
		must(t, err)
		if got, err := io.ReadAll(out.Body); err != nil || !bytes.Equal(got, body) {
			t.Errorf("get with checksum %q: %d bytes, %v", algorithm, len(got), err)
		}
	}
	for _, algorithm := range []types.ChecksumAlgorithm{"", types.ChecksumAlgorithmCrc32, types.ChecksumAlgorithmCrc64nvme} {
		up, err := api.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: bucket, Key: key, ChecksumAlgorithm: algorithm})
		must(t, err)
		part, err := api.UploadPart(ctx, &s3.UploadPartInput{Bucket: bucket, Key: key, UploadId: up.UploadId, PartNumber: aws.Int32(1),
			Body: bytes.NewReader(body), ChecksumAlgorithm: algorithm})
		must(t, err)
		done := types.CompletedPart{PartNumber: aws.Int32(1), ETag: part.ETag}
		if algorithm != "" {
			done.ChecksumCRC32, done.ChecksumCRC64NVME = part.ChecksumCRC32, part.ChecksumCRC64NVME
		}
		_, err = api.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: bucket, Key: key, UploadId: up.UploadId,
			MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{done}}})
		if err != nil {
			t.Errorf("upload with checksum %q: %v", algorithm, err)
		}
	}
	_, err = api.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: bucket, Delete: &types.Delete{Objects: []types.ObjectIdentifier{{Key: key}}}})
	must(t, err)
}

func TestSDKWaitersAndPresignWork(t *testing.T) {
	e := serve(t, t.TempDir())
	api := sdk(e.url, keyID, secret, http.DefaultClient)
	bucket := aws.String("presigned")
	_, err := api.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: bucket})
	must(t, err)
	must(t, s3.NewBucketExistsWaiter(api).Wait(t.Context(), &s3.HeadBucketInput{Bucket: bucket}, time.Minute))
	put, err := s3.NewPresignClient(api).PresignPutObject(t.Context(), &s3.PutObjectInput{Bucket: bucket, Key: aws.String("a b")})
	must(t, err)
	req, err := http.NewRequest(put.Method, put.URL, strings.NewReader("sent by URL"))
	must(t, err)
	resp, err := http.DefaultClient.Do(req)
	must(t, err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status)
	}
	if got, err := read(t, client(t, e, keyID, secret).Bucket("presigned", noOptions), "a b"); err != nil || got != "sent by URL" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestBucketMayStandInTheHostName(t *testing.T) {
	e := serve(t, t.TempDir())
	must(t, e.server.EnsureBucket("in-host"))
	address := strings.TrimPrefix(e.url, "http://")
	_, port, err := net.SplitHostPort(address)
	must(t, err)
	resolving := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address) // *.localhost
	}}}
	api := s3.NewFromConfig(aws.Config{Region: region, BaseEndpoint: aws.String("http://localhost:" + port), HTTPClient: resolving,
		Credentials: credentials.NewStaticCredentialsProvider(keyID, secret, "")})
	_, err = api.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("in-host"), Key: aws.String("a b/k"), Body: strings.NewReader("x")})
	must(t, err)
	out, err := api.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String("in-host")})
	must(t, err)
	if len(out.Contents) != 1 || *out.Contents[0].Key != "a b/k" {
		t.Errorf("listed %v", out.Contents)
	}
}

func TestWrongSignaturesAreRefused(t *testing.T) {
	e := serve(t, t.TempDir())
	must(t, e.server.EnsureBucket("guarded"))
	for name, api := range map[string]*s3.Client{
		"InvalidAccessKeyId":    sdk(e.url, "AKNOBODY", secret, http.DefaultClient),
		"SignatureDoesNotMatch": sdk(e.url, keyID, "not the secret", http.DefaultClient)} {
		_, err := api.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String("guarded")})
		var answer smithy.APIError
		if !errors.As(err, &answer) || answer.ErrorCode() != name {
			t.Errorf("want %s, got %v", name, err)
		}
	}
	for _, path := range []string{"/", "/guarded", "/guarded/key", "/guarded?policy"} {
		resp, err := http.Get(e.url + path)
		must(t, err)
		resp.Body.Close()
		if resp.StatusCode != http.StatusForbidden {
			t.Errorf("unsigned GET %s: %s", path, resp.Status)
		}
	}
}

func TestNarrowedAccountUsesItsBucketsOnly(t *testing.T) {
	e := serve(t, t.TempDir(), s3serve.Account{AccessKeyID: "ROLEKEY", Secret: "rolesecret", Buckets: []string{"mine", "mine-too"}})
	for _, name := range []string{"mine", "theirs"} {
		must(t, e.server.EnsureBucket(name))
	}
	ctx, api := t.Context(), sdk(e.url, "ROLEKEY", "rolesecret", http.DefaultClient)
	all := sdk(e.url, keyID, secret, http.DefaultClient)
	theirs, mine, key := aws.String("theirs"), aws.String("mine"), aws.String("k")
	for _, bucket := range []*string{theirs, mine} {
		_, err := all.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: key, Body: strings.NewReader("x")})
		must(t, err)
	}
	up, err := all.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: theirs, Key: key})
	must(t, err)

	errs := map[string]error{}
	try := func(verb string, err error) { errs[verb] = err }
	attempt := func(bucket, source *string) {
		from := aws.String(*source + "/k")
		_, err := api.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: bucket})
		try("head bucket", err)
		_, err = api.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: bucket})
		try("list", err)
		_, err = api.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: key})
		try("get", err)
		_, err = api.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: key, Body: strings.NewReader("y")})
		try("put", err)
		_, err = api.CopyObject(ctx, &s3.CopyObjectInput{Bucket: mine, Key: aws.String("stolen"), CopySource: from})
		try("copy from", err)
		_, err = api.CopyObject(ctx, &s3.CopyObjectInput{Bucket: bucket, Key: aws.String("planted"), CopySource: aws.String("mine/k")})
		try("copy to", err)
		_, err = api.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: bucket, Key: key})
		try("begin upload", err)
		_, err = api.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: bucket, Key: aws.String("nothing")})
		try("delete", err)
		_, err = api.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: bucket, Delete: &types.Delete{Objects: []types.ObjectIdentifier{{Key: aws.String("nothing")}}}})
		try("delete many", err)
		_, err = api.PutObjectTagging(ctx, &s3.PutObjectTaggingInput{Bucket: bucket, Key: key, Tagging: &types.Tagging{TagSet: []types.Tag{{Key: aws.String("t"), Value: aws.String("v")}}}})
		try("tag", err)
	}
	attempt(mine, mine)
	for verb, err := range errs {
		if err != nil {
			t.Errorf("%s in its own bucket: %v", verb, err)
		}
	}
	attempt(theirs, theirs)
	_, err = api.UploadPart(ctx, &s3.UploadPartInput{Bucket: theirs, Key: key, UploadId: up.UploadId, PartNumber: aws.Int32(1), Body: strings.NewReader("z")})
	try("upload part", err)
	_, err = api.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: theirs})
	try("delete bucket", err)
	_, err = api.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("another")})
	try("create bucket", err)
	_, err = api.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: theirs, Policy: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":["arn:aws:s3:::theirs","arn:aws:s3:::theirs/*"]}]}`)})
	try("put policy", err)
	for verb, err := range errs {
		var answer smithy.APIError
		if !errors.As(err, &answer) || answer.ErrorCode() != "AccessDenied" && answer.ErrorCode() != "Forbidden" {
			t.Errorf("%s in another's bucket: %v", verb, err)
		}
	}

	_, err = api.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("mine-too")})
	must(t, err)
	out, err := api.ListBuckets(ctx, &s3.ListBucketsInput{})
	must(t, err)
	var names []string
	for _, b := range out.Buckets {
		names = append(names, *b.Name)
	}
	if fmt.Sprint(names) != "[mine mine-too]" {
		t.Errorf("it sees the buckets %q", names)
	}
}

func TestAccountsChangeWhileServing(t *testing.T) {
	e := serve(t, t.TempDir())
	must(t, e.server.EnsureBucket("bucket"))
	before := client(t, e, keyID, secret).Bucket("bucket", noOptions)
	must(t, before.Put(t.Context(), "k", []byte("x")))
	e.server.SetAccounts([]s3serve.Account{{AccessKeyID: "AKNEW", Secret: "newsecret"}})
	want(t, before.Put(t.Context(), "k", []byte("y")), errDenied)
	must(t, client(t, e, "AKNEW", "newsecret").Bucket("bucket", noOptions).Put(t.Context(), "k", []byte("z")))
	id, internal := e.server.Key()
	must(t, client(t, e, id, internal).Bucket("bucket", noOptions).Put(t.Context(), "k", []byte("ours")))
}
