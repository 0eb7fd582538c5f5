package harness

import (
	"context"
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/batholith/batholith/internal/config"
)

// external is an S3 that the servers of the tests use in place of their embedded one. scripts/test-servers.sh names it in the environment:
// BATHOLITH_TEST_S3_ENDPOINT, BATHOLITH_TEST_S3_KEY and BATHOLITH_TEST_S3_SECRET.
type external struct{ endpoint, key, secret string }

func externalS3() *external {
	e := &external{os.Getenv("BATHOLITH_TEST_S3_ENDPOINT"), os.Getenv("BATHOLITH_TEST_S3_KEY"), os.Getenv("BATHOLITH_TEST_S3_SECRET")}
	if e.endpoint == "" {
		return nil
	}
	return e
}

// EmbeddedS3Only skips a test that is about the embedded S3, or about roles that only the embedded S3 can narrow, while another one is tried.
func EmbeddedS3Only(t testing.TB) {
	t.Helper()
	if externalS3() != nil {
		t.Skip("it is about the embedded S3")
	}
}

// EmbeddedS3 tells whether the servers of the tests use their embedded S3. How long another one takes is not ours to judge.
func EmbeddedS3() bool { return externalS3() == nil }

// settings are the variables by which a server takes the S3.
func (e *external) settings() []string {
	return []string{"BATHOLITH_S3_ENDPOINT=" + e.endpoint, "BATHOLITH_S3_ACCESS_KEY_ID=" + e.key, "BATHOLITH_S3_SECRET_ACCESS_KEY=" + e.secret}
}

func (e *external) client() *s3.Client {
	return s3.New(s3.Options{Region: "us-east-1", BaseEndpoint: &e.endpoint, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(e.key, e.secret, "")})
}

// bucket makes a bucket for one server, which goes with the test.
func (e *external) bucket(t testing.TB) string {
	t.Helper()
	name := "batholith-" + strings.ToLower(rand.Text()[:12])
	if _, err := e.client().CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.Background() // the test's has ended
		list, err := e.client().ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &name})
		if err == nil && len(list.Contents) > 0 {
			var all []types.ObjectIdentifier
			for _, o := range list.Contents {
				all = append(all, types.ObjectIdentifier{Key: o.Key})
			}
			_, err = e.client().DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: &name, Delete: &types.Delete{Objects: all, Quiet: aws.Bool(true)}})
		}
		if err == nil {
			_, err = e.client().DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: &name})
		}
		if err != nil {
			t.Logf("the bucket %s is left: %v", name, err)
		}
	})
	return name
}

// keyOf reads the key of a data directory.
func keyOf(dir string) (id, secret string) {
	key, err := config.ReadKey(filepath.Clean(dir))
	if err != nil {
		return "", ""
	}
	return key.ID, key.Secret
}
