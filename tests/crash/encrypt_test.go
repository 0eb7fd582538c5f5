package crash

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/bedrock/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/batholith/batholith/internal/kms"
	"github.com/batholith/batholith/tests/harness"
)

// encrypts sets the key of a job.
func encrypts(key string) func(*bedrock.CreateModelInvocationJobInput) {
	return func(in *bedrock.CreateModelInvocationJobInput) {
		in.OutputDataConfig.(*types.ModelInvocationJobOutputDataConfigMemberS3OutputDataConfig).Value.S3EncryptionKeyId = &key
	}
}

// holding lists the files below a directory that hold one of these texts.
func holding(t *testing.T, dir string, texts ...string) (where []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && !d.Type().IsRegular() {
			return nil
		}
		if err != nil {
			return err
		}
		text, err := os.ReadFile(path)
		for _, s := range texts {
			if bytes.Contains(text, []byte(s)) {
				where = append(where, path)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return where
}

// With a key of the job and one of the data, no file of the data directory shows a prompt or an
// answer: no object, also of the time in between, no journal and no database; also across a kill and
// a rotation. The output is what it is without keys.
func TestAJobWithAKeyKeepsItsObjectsEncrypted(t *testing.T) {
	harness.EmbeddedS3Only(t)
	const records = 300
	w := harness.NewWitness(t, 5*time.Millisecond)
	file := filepath.Join(t.TempDir(), "prompts.key")
	if _, err := kms.Create(file, "", time.Now()); err != nil {
		t.Fatal(err)
	}
	settings := harness.Model(w.URL, fmt.Sprint(", max_in_flight: ", slots)) + fmt.Sprintf("\nkms: {data_key: alias/prompts, keys: [{aliases: [prompts], file: %q}]}\n", file)
	s := harness.Start(t, settings)
	if _, err := s.BedrockClient().CreateModelInvocationJob(t.Context(), func() *bedrock.CreateModelInvocationJobInput {
		in := s.Request("in/a.jsonl")
		encrypts("alias/unknown")(in)
		return in
	}()); err == nil || !bytes.Contains([]byte(err.Error()), []byte("ValidationException: s3EncryptionKeyId 'alias/unknown'")) {
		t.Error("an unknown key:", err)
	}
	_, err := s.S3Client().PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(harness.Bucket), Key: aws.String("in/a.jsonl"), Body: bytes.NewReader(harness.Prompts(records)),
		ServerSideEncryption: "aws:kms", SSEKMSKeyId: aws.String("alias/prompts")})
	if err != nil {
		t.Fatal(err)
	}
	job := s.Create("in/a.jsonl", encrypts("alias/prompts"))
	w.Await(t, records/2)
	s.Kill()
	if where := holding(t, s.Data, "answer to p", `"modelInput"`); len(where) > 0 {
		t.Error("after the kill, prompts or answers are in", where)
	}
	if _, err := kms.Rotate(file, time.Now()); err != nil {
		t.Fatal(err)
	}
	s.Start()
	if out := s.End(job); out.Status != types.ModelInvocationJobStatusCompleted {
		t.Fatalf("the job ended %s: %s", out.Status, harness.Told(out))
	}
	check(t, s, job, records)
	if where := holding(t, s.Data, "answer to p", `"modelInput"`); len(where) > 0 {
		t.Error("at the end, prompts or answers are in", where)
	}
	listed, err := s.S3Client().ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String(harness.Bucket), Prefix: aws.String("out/")})
	if err != nil || len(listed.Contents) != 2 {
		t.Fatal(err, listed.Contents)
	}
	for _, o := range listed.Contents {
		head, err := s.S3Client().HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String(harness.Bucket), Key: o.Key})
		if err != nil || head.ServerSideEncryption != "aws:kms" {
			t.Errorf("%s: %v", *o.Key, err)
		}
	}
}
