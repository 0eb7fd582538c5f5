package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsbedrock "github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/bedrock/types"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	awssts "github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/authz"
	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/pgtest"
)

// oneOf makes a process of several: on a database, with the S3 of another service.
func oneOf(database string, objects *site, roles ...string) func(*config.Config) {
	return func(c *config.Config) {
		c.Store, c.Process, c.Credentials, c.Roles = database, roles, nil, nil
		c.S3 = config.S3{Listen: "off", Endpoint: objects.at.S3, Region: c.Region, PathStyle: true, AccessKeyID: "AKALICE", SecretAccessKey: "alice-secret"}
	}
}

// Clients need not know which API process they talk to: keys, request tokens, page tokens, sessions, models and jobs are those of one service.
func TestEveryAPIProcessIsTheSameService(t *testing.T) {
	database := pgtest.Shared(t).Database(t)
	objects, _ := startSite(t, t.TempDir())
	one, _ := startSite(t, t.TempDir(), oneOf(database, objects, config.RoleAPI))
	two, _ := startSite(t, t.TempDir(), oneOf(database, objects, config.RoleAPI))
	worker, _ := startSite(t, t.TempDir(), oneOf(database, objects, config.RoleWorker))

	key, err := config.ReadKey(one.c.Data)
	if other, otherErr := config.ReadKey(two.c.Data); err != nil || otherErr != nil || key != other {
		t.Fatalf("the admin keys differ, or are missing: %v, %v", err, otherErr)
	}
	if _, err := config.ReadKey(worker.c.Data); err == nil {
		t.Error("a worker has an admin key")
	}
	admin := static(key.ID, key.Secret, "")
	input := `{"recordId":"1","modelInput":{"messages":[{"role":"user","content":"Hi"}],"max_tokens":4}}` + "\n"
	if _, err := objects.s3(alice).PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("batholith"), Key: aws.String("in/a.jsonl"), Body: strings.NewReader(input)}); err != nil {
		t.Fatal(err)
	}
	job := &awsbedrock.CreateModelInvocationJobInput{JobName: aws.String("a"), ClientRequestToken: aws.String("token"), ModelId: aws.String("batholith.simulated-v1"),
		RoleArn:          aws.String(one.c.DefaultRole()),
		InputDataConfig:  &types.ModelInvocationJobInputDataConfigMemberS3InputDataConfig{Value: types.ModelInvocationJobS3InputDataConfig{S3Uri: aws.String("s3://batholith/in/a.jsonl")}},
		OutputDataConfig: &types.ModelInvocationJobOutputDataConfigMemberS3OutputDataConfig{Value: types.ModelInvocationJobS3OutputDataConfig{S3Uri: aws.String("s3://batholith/out/")}}}
	made, err := one.bedrock(admin).CreateModelInvocationJob(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	again, err := two.bedrock(admin).CreateModelInvocationJob(t.Context(), job)
	if err != nil || *again.JobArn != *made.JobArn {
		t.Errorf("the request token is %v at another process: %v", again, err)
	}
	two.ends(admin, *made.JobArn, types.ModelInvocationJobStatusCompleted)

	session, err := one.sts(admin).AssumeRole(t.Context(), &awssts.AssumeRoleInput{RoleArn: aws.String(one.c.DefaultRole()), RoleSessionName: aws.String("night")})
	if err != nil {
		t.Fatal(err)
	}
	k := session.Credentials
	list, err := two.bedrock(static(*k.AccessKeyId, *k.SecretAccessKey, *k.SessionToken)).ListModelInvocationJobs(t.Context(), &awsbedrock.ListModelInvocationJobsInput{})
	if err != nil || len(list.InvocationJobSummaries) != 1 {
		t.Errorf("a session of one process lists %v at another: %v", list, err)
	}
	call := bedrockruntime.New(bedrockruntime.Options{Region: one.c.Region, BaseEndpoint: &one.at.Bedrock, Credentials: admin})
	if _, err := call.InvokeModel(t.Context(), &bedrockruntime.InvokeModelInput{ModelId: aws.String("batholith.simulated-v1"), Body: []byte(`{"messages":[{"role":"user","content":"Hi"}]}`)}); err != nil {
		t.Errorf("a call at a process without a worker: %v", err)
	}
	for path, want := range map[string]string{"/healthz": "200 ok", "/readyz": "200 ready", "/model-invocation-jobs": "404 this process is a worker"} {
		resp, err := http.Get(worker.at.Bedrock + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if got := fmt.Sprintf("%d %s", resp.StatusCode, body); !strings.HasPrefix(got, want) {
			t.Errorf("a worker answers %s: %q, want %q", path, got, want)
		}
	}
}

// ends waits until a job has ended, and demands how.
func (s *site) ends(as aws.CredentialsProvider, arn string, want types.ModelInvocationJobStatus) {
	s.t.Helper()
	for {
		got, err := s.bedrock(as).GetModelInvocationJob(s.t.Context(), &awsbedrock.GetModelInvocationJobInput{JobIdentifier: &arn})
		if err != nil {
			s.t.Fatal(err)
		}
		switch got.Status {
		case want:
			return
		case types.ModelInvocationJobStatusFailed, types.ModelInvocationJobStatusStopped, types.ModelInvocationJobStatusExpired:
			s.t.Fatalf("the job is %s: %s", got.Status, aws.ToString(got.Message))
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-s.t.Context().Done():
			s.t.Fatal(s.t.Context().Err())
		}
	}
}

// A process that would lose records or not find objects is refused, with the remedy.
func TestAProcessJoinsTheDatabaseThatItBelongsTo(t *testing.T) {
	cluster := pgtest.Shared(t)
	database, another, untouched := cluster.Database(t), cluster.Database(t), cluster.Database(t)
	joins := func(dir, database string, embedded bool) error {
		c := config.Default(config.ProfileDefault)
		c.Data, c.Store, c.Listen, c.S3.Listen = dir, database, "127.0.0.1:0", "127.0.0.1:0"
		if !embedded {
			c.S3.Endpoint, c.S3.Listen = "http://127.0.0.1:1", "off"
		}
		s := &service{o: serveOptions{Config: c, Log: slog.New(slog.DiscardHandler)}}
		var err error
		if s.store, err = openStore(context.Background(), c); err != nil {
			return err
		}
		defer s.store.Close()
		return s.join(t.Context())
	}
	first, second, third := t.TempDir(), t.TempDir(), t.TempDir()
	old := t.TempDir()
	if err := os.WriteFile(filepath.Join(old, databaseName), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, dir, database string
		embedded            bool
		want                string
	}{
		{"the first process, with the embedded S3", first, database, true, ""},
		{"the same again", first, database, true, ""},
		{"another that uses its S3", second, database, false, ""},
		{"another with an embedded S3", third, database, true, "use the embedded S3 of another process"},
		{"a directory of this database", first, another, true, "belongs to another database"},
		{"the first of another database", t.TempDir(), another, false, ""},
		{"its second, with an embedded S3", t.TempDir(), another, true, "use an external S3"},
		{"a directory with a database of its own", old, another, false, "has a SQLite database, batholith.db, whose jobs are not in"},
		{"a directory of this database, and an empty one", first, untouched, true, "belongs to another database"},
		{"a directory with a database of its own, and an empty one", old, untouched, true, "has a SQLite database, batholith.db, whose jobs are not in"},
	} {
		err := joins(c.dir, c.database, c.embedded)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || remedy(err) == ""):
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	// What was refused left no trace.
	if id, err := config.DatabaseID(third); err != nil || id != "" {
		t.Errorf("a directory that was refused belongs to the database %q, %v", id, err)
	}
	s, err := openStore(t.Context(), &config.Config{Store: untouched})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if id, err := s.ReadShared(t.Context(), sharedID); err != nil || id != nil {
		t.Errorf("a database without processes has the id %q, %v", id, err)
	}
}

// Whose a job is comes from the database of the settings, not from one that the data directory had before.
func TestDoctorFindsAJobInTheDatabaseOfTheSettings(t *testing.T) {
	c := config.Default(config.ProfileDefault)
	c.Data, c.Store = t.TempDir(), pgtest.Shared(t).Database(t)
	s, err := openStore(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	want := batholith.Job{ID: "abcdefghijkl", Account: c.Account, Owner: "alice", Model: "m", Request: batholith.Request{Name: "n"}}
	if _, err := s.CreateJob(t.Context(), want, "h", 0); err != nil {
		t.Fatal(err)
	}
	r := authz.Resource{ID: batholith.JobARN(c.Region, c.Account, want.ID).String()}
	if err := (assumed{}).job(t.Context(), c, &r); err != nil || r.Job.Owner != "alice" || r.Job.Model != "m" || r.Job.Name != "n" {
		t.Errorf("%+v, %v", r.Job, err)
	}
	r.ID = batholith.JobARN(c.Region, c.Account, "nosuchjob000").String()
	if err := (assumed{}).job(t.Context(), c, &r); err == nil || !strings.Contains(err.Error(), "is not in "+c.StoreName()) {
		t.Error(err)
	}
}
