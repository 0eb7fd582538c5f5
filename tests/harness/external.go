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

// external is an S3 that the test servers use in place of their embedded one. scripts/test-servers.sh sets its environment variables:
// BATHOLITH_TEST_S3_ENDPOINT, BATHOLITH_TEST_S3_KEY and BATHOLITH_TEST_S3_SECRET.
type external struct{ endpoint, key, secret string }

// externalS3 is the S3 that the environment names; nil: the embedded ones are used.
func externalS3() *external {
	e := &external{os.Getenv("BATHOLITH_TEST_S3_ENDPOINT"), os.Getenv("BATHOLITH_TEST_S3_KEY"), os.Getenv("BATHOLITH_TEST_S3_SECRET")}
	if e.endpoint == "" {
		return nil
	}
	return e
}

// EmbeddedS3Only skips a test of the embedded S3, or of roles with limited buckets, which only the embedded S3 has, if an external S3 is used.
func EmbeddedS3Only(t testing.TB) {
	t.Helper()
	if externalS3() != nil {
		t.Skip("it is about the embedded S3")
	}
}

// EmbeddedS3 reports whether the test servers use their embedded S3. Tests must not judge the speed of another one.
func EmbeddedS3() bool { return externalS3() == nil }

// StartBeside starts a server whose S3 is the embedded one of another server, which it reaches with that server's first access key.
func StartBeside(t testing.TB, other *Server, settings string) *Server {
	t.Helper()
	s := Beside(t, other, settings)
	s.Start()
	return s
}

// Beside prepares a server whose S3 is the embedded one of another server, without starting it.
func Beside(t testing.TB, other *Server, settings string, flags ...string) *Server {
	t.Helper()
	return prepare(t, &external{other.At.S3, other.At.AccessKeyID, other.At.SecretAccessKey}, Bucket, settings, flags...)
}

// BesideAt prepares a server whose S3 is the embedded one of another server, which it reaches at the address s3 (a URL), with these settings and
// flags. It is one process of several that share a database and an S3.
func BesideAt(t testing.TB, other *Server, s3, settings string, flags ...string) *Server {
	t.Helper()
	return prepare(t, &external{s3, other.At.AccessKeyID, other.At.SecretAccessKey}, Bucket, settings, flags...)
}

// Front is a server without a process of its own: clients that it makes call url, behind which are other processes, with the key of one of
// them. They use the S3 of the server s3.
func Front(t testing.TB, s3, key *Server, url string) *Server {
	t.Helper()
	at := key.At
	at.Bedrock, at.S3 = url, s3.At.S3
	return &Server{t: t, s3: &external{s3.At.S3, s3.At.AccessKeyID, s3.At.SecretAccessKey}, bucket: Bucket, At: at, log: &output{}}
}

// settings are the environment variables with which a server uses the S3.
func (e *external) settings() []string {
	return []string{"BATHOLITH_S3_ENDPOINT=" + e.endpoint, "BATHOLITH_S3_ACCESS_KEY_ID=" + e.key, "BATHOLITH_S3_SECRET_ACCESS_KEY=" + e.secret}
}

// client is an SDK client of the S3.
func (e *external) client() *s3.Client {
	return s3.New(s3.Options{Region: "us-east-1", BaseEndpoint: &e.endpoint, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(e.key, e.secret, "")})
}

// bucket makes a bucket for one server, which is deleted at the end of the test.
func (e *external) bucket(t testing.TB) string {
	t.Helper()
	name := "batholith-" + strings.ToLower(rand.Text()[:12])
	if _, err := e.client().CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.Background() // t.Context has ended
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

// keyOf reads the access key in a data directory.
func keyOf(dir string) (id, secret string) {
	key, err := config.ReadKey(filepath.Clean(dir))
	if err != nil {
		return "", ""
	}
	return key.ID, key.Secret
}
