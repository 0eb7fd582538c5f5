package object_test

import (
	"context"
	"crypto/rand"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/batholith/batholith/internal/object"
	"github.com/batholith/batholith/internal/object/objecttest"
)

// A real server is held to the law when the environment names one:
//
//	BATHOLITH_TEST_S3_ENDPOINT=http://127.0.0.1:9000 BATHOLITH_TEST_S3_KEY=… BATHOLITH_TEST_S3_SECRET=… go test ./internal/object -run Endpoint
//
// BATHOLITH_TEST_S3_REGION is us-east-1 if unset, and BATHOLITH_TEST_S3_KMS names a key to encrypt with. Its buckets are made for each
// test and deleted after it.
func TestTheServerOfTheEndpointKeepsTheLaw(t *testing.T) {
	c := object.Config{Endpoint: os.Getenv("BATHOLITH_TEST_S3_ENDPOINT"), Region: os.Getenv("BATHOLITH_TEST_S3_REGION"), PathStyle: true,
		AccessKeyID: os.Getenv("BATHOLITH_TEST_S3_KEY"), SecretAccessKey: os.Getenv("BATHOLITH_TEST_S3_SECRET")}
	if c.Endpoint == "" {
		t.Skip("BATHOLITH_TEST_S3_ENDPOINT is not set")
	}
	if c.Region == "" {
		c.Region = "us-east-1"
	}
	client, err := object.New(c)
	if err != nil {
		t.Fatal(err)
	}
	o := object.Options{KMSKeyID: os.Getenv("BATHOLITH_TEST_S3_KMS")}
	objecttest.Run(t, func(t *testing.T) objecttest.Bucket {
		name := "batholith-" + strings.ToLower(rand.Text()[:12])
		if err := client.CreateBucket(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		b := client.Bucket(name, o)
		t.Cleanup(func() { removeBucket(t, c, b) })
		return b
	})
	if objecttest.Quirk("makes-buckets") {
		return // the rest is about a bucket that is missing
	}
	objecttest.RunRemote(t, client.Bucket("batholith-"+strings.ToLower(rand.Text()[:12]), o))
}

// removeBucket deletes a bucket and what is in it.
func removeBucket(t *testing.T, c object.Config, b *object.Bucket) {
	ctx := context.Background() // the test's has ended
	for u, err := range b.ListUploads(ctx, "") {
		if err == nil {
			err = b.AbortUpload(ctx, u.Key, u.UploadID)
		}
		if err != nil {
			t.Log(err) // a server without this list
			break
		}
	}
	var keys []string
	for o, err := range b.List(ctx, "") {
		if err != nil {
			t.Error(err)
			return
		}
		keys = append(keys, o.Key)
	}
	if err := b.Delete(ctx, keys...); err != nil {
		t.Error(err)
	}
	api := awss3.New(awss3.Options{Region: c.Region, BaseEndpoint: &c.Endpoint, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, "")})
	if _, err := api.DeleteBucket(ctx, &awss3.DeleteBucketInput{Bucket: aws.String(b.Name())}); err != nil {
		t.Log(err)
	}
}
