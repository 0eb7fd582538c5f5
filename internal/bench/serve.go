package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/bedrock/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	_ "modernc.org/sqlite" // to put finished jobs into the database
)

// server is a process of batholith serve with a data directory of its own. Its clients are those of the AWS SDK.
type server struct {
	b     *bench
	data  string
	args  []string
	child *child
	at    struct{ Bedrock, S3, Region string }
	took  time.Duration // from the start of the process until /readyz answered 200
}

// principals are the principals in every server's settings. The access key of each is its name.
var principals = []string{"alice", "bob", "carol"}

// serve starts a server with these settings.
func (b *bench) serve(settings string) (*server, error) {
	s := &server{b: b, data: b.unique("data")}
	config := b.unique("config.yaml")
	settings += "log: {level: warn}\ncredentials:\n"
	for _, p := range principals {
		settings += fmt.Sprintf("- {access_key_id: %s, secret_access_key: secret-of-%s, principal: %s}\n", p, p, p)
	}
	if err := os.WriteFile(config, []byte(settings), 0o600); err != nil {
		return nil, err
	}
	s.args = []string{"serve", "--data", s.data, "--config", config, "--listen", "127.0.0.1:0", "--s3-listen", "127.0.0.1:0"}
	return s, s.start()
}

// start starts the process and waits until /readyz answers 200.
func (s *server) start() (err error) {
	announced := filepath.Join(s.data, "server.json")
	os.Remove(announced)
	began := time.Now()
	if s.child, err = s.b.start(exec.CommandContext(s.b.ctx, s.b.binary, s.args...)); err != nil {
		return err
	}
	err = until("the server gets ready", often, time.Minute, func() (bool, error) {
		select {
		case <-s.child.done:
			return false, fmt.Errorf("the server ended at its start: %s", s.child.text())
		default:
		}
		text, err := os.ReadFile(announced)
		if errors.Is(err, fs.ErrNotExist) || err == nil && json.Unmarshal(text, &s.at) != nil {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		resp, err := http.Get(s.at.Bedrock + "/readyz")
		if err != nil {
			return false, nil
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK, nil
	})
	s.took = time.Since(began)
	if err != nil {
		s.child.kill()
	}
	return err
}

// end ends the process.
func (s *server) end() { s.child.end() }

// memory is the process's largest resident set so far, in MB.
func (s *server) memory() (float64, error) { return s.child.memory() }

// key is the credentials of the n-th principal.
func key(n int) aws.CredentialsProvider {
	return credentials.NewStaticCredentialsProvider(principals[n], "secret-of-"+principals[n], "")
}

// client is an SDK client with the key of the n-th principal.
func (s *server) client(n int) *bedrock.Client {
	return bedrock.New(bedrock.Options{Region: s.at.Region, BaseEndpoint: &s.at.Bedrock, Credentials: key(n)})
}

// upload puts a file into the embedded bucket.
func (s *server) upload(name, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	c := s3.New(s3.Options{Region: s.at.Region, BaseEndpoint: &s.at.S3, UsePathStyle: true, Credentials: key(0)})
	_, err = c.PutObject(s.b.ctx, &s3.PutObjectInput{Bucket: aws.String("batholith"), Key: &name, Body: f})
	return err
}

// create creates a job of the model m for an object, and returns its ARN.
func (s *server) create(c *bedrock.Client, name, input string) (string, error) {
	out, err := c.CreateModelInvocationJob(s.b.ctx, &bedrock.CreateModelInvocationJobInput{
		JobName: &name, ModelId: aws.String("m"), RoleArn: aws.String("arn:aws:iam::000000000000:role/batholith"),
		InputDataConfig: &types.ModelInvocationJobInputDataConfigMemberS3InputDataConfig{
			Value: types.ModelInvocationJobS3InputDataConfig{S3Uri: aws.String("s3://batholith/" + input)}},
		OutputDataConfig: &types.ModelInvocationJobOutputDataConfigMemberS3OutputDataConfig{
			Value: types.ModelInvocationJobS3OutputDataConfig{S3Uri: aws.String("s3://batholith/out/")}},
	})
	if err != nil {
		return "", err
	}
	return *out.JobArn, nil
}

// jobState is the answer of Get.
type jobState = bedrock.GetModelInvocationJobOutput

// client is an SDK client.
type client = *bedrock.Client

// get reads a job.
func (s *server) get(c *bedrock.Client, arn string) (*jobState, error) {
	return c.GetModelInvocationJob(s.b.ctx, &bedrock.GetModelInvocationJobInput{JobIdentifier: &arn})
}

// over reads a job every so often until it has ended, whatever its status, at most for longest. Each Get costs the server CPU time.
func (s *server) over(c client, arn string, every, longest time.Duration) (job *jobState, err error) {
	err = until("the job "+arn+" ends", every, longest, func() (ended bool, err error) {
		if job, err = s.get(c, arn); err != nil {
			return false, err
		}
		return job.EndTime != nil, nil
	})
	return job, err
}

// ended is over for a job that must be Completed. Any other end is an error.
func (s *server) ended(arn string, every, longest time.Duration) (*jobState, error) {
	job, err := s.over(s.client(0), arn, every, longest)
	if err == nil && job.Status != types.ModelInvocationJobStatusCompleted {
		err = fmt.Errorf("the job ended as %s: %s", job.Status, aws.ToString(job.Message))
	}
	return job, err
}

// pages lists all jobs, page by page.
func (s *server) pages() error {
	p := bedrock.NewListModelInvocationJobsPaginator(s.client(0), &bedrock.ListModelInvocationJobsInput{MaxResults: aws.Int32(1000)})
	for p.HasMorePages() {
		if _, err := p.NextPage(s.b.ctx); err != nil {
			return err
		}
	}
	return nil
}

// multiply copies the rows of the one finished job n times, under new ids. With swept the copies look like jobs that ended long ago; without,
// their second clean-up is still due, as for the job itself. No process may use the database meanwhile.
func (s *server) multiply(n int, swept bool) error {
	db, err := sql.Open("sqlite", filepath.Join(s.data, "batholith.db"))
	if err != nil {
		return err
	}
	defer db.Close()
	tx, err := db.BeginTx(s.b.ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := multiplied(s.b.ctx, tx, n, swept); err != nil {
		return fmt.Errorf("make finished jobs: %w", err)
	}
	return tx.Commit()
}

// multiplied is multiply within a transaction.
func multiplied(ctx context.Context, tx *sql.Tx, n int, swept bool) error {
	var columns string
	err := tx.QueryRowContext(ctx, `SELECT group_concat(name) FROM pragma_table_info('jobs') WHERE name NOT IN ('id', 'seq', 'name')
		AND NOT ($1 AND name = 'sweep')`, swept).Scan(&columns)
	if err != nil {
		return err
	}
	var id string
	if err := tx.QueryRowContext(ctx, `SELECT id FROM jobs WHERE active = 0`).Scan(&id); err != nil {
		return err
	}
	numbers := `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1) `
	for _, statement := range []string{
		numbers + `INSERT INTO jobs (id, seq, name, ` + columns + `) SELECT printf('%012d', i), seq + i, printf('finished-%06d', i), ` + columns +
			` FROM jobs, n WHERE id = $2`,
		numbers + `INSERT INTO events (job, status, message, at) SELECT printf('%012d', i), status, message, at FROM events, n WHERE job = $2 ORDER BY i, seq`,
		`UPDATE accounts SET seq = seq + $1 WHERE account = (SELECT account FROM jobs WHERE id = $2)`,
	} {
		if _, err := tx.ExecContext(ctx, statement, n, id); err != nil {
			return fmt.Errorf("%s: %w", strings.Fields(statement)[0], err)
		}
	}
	return nil
}
