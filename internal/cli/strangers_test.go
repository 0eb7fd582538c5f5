package cli

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awsbedrock "github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/bedrock/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/door"
)

// The whole service, with a job that begins, runs and ends while strangers fill both listeners.
func TestAJobRunsWhileStrangersFillBothListeners(t *testing.T) {
	c := config.Default(config.ProfileDefault)
	c.Data, c.Listen, c.S3.Listen = filepath.Join(t.TempDir(), "data"), "127.0.0.1:0", "127.0.0.1:0"
	data, err := config.OpenData(c.Data)
	if err != nil {
		t.Fatal(err)
	}
	defer data.Close()
	c.Data = data.Dir
	c.Credentials = []config.Credential{{AccessKeyID: "AKALICE", SecretAccessKey: "secret", Principal: "alice", Account: c.Account}}
	ctx, stop := context.WithCancel(context.Background())
	ready, done := make(chan addresses, 1), make(chan error, 1)
	limits := door.Limits{Open: 60, Strangers: 30, PerAddress: 30, Bytes: 256 << 10}
	const stopTime = time.Minute // on any machine longer than the end takes by itself
	go func() {
		done <- serve(ctx, serveOptions{Config: c, Log: slog.New(slog.DiscardHandler), Doors: limits, Stop: stopTime, Ready: func(at addresses) { ready <- at }})
	}()
	defer func() {
		began := time.Now()
		stop() // the strangers are still there
		if err := <-done; err != nil && !shutDown(ctx, err) {
			t.Error(err)
		}
		if d := time.Since(began); d >= stopTime {
			t.Errorf("strangers held up the end for %v", d)
		}
	}()
	var at addresses
	select {
	case at = <-ready:
	case err := <-done:
		done <- err
		t.Fatal(err)
	}

	keys := credentials.NewStaticCredentialsProvider("AKALICE", "secret", "")
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	objects := s3.New(s3.Options{Region: c.Region, BaseEndpoint: &at.S3, UsePathStyle: true, Credentials: keys, HTTPClient: client})
	api := awsbedrock.New(awsbedrock.Options{Region: c.Region, BaseEndpoint: &at.Bedrock, Credentials: keys, HTTPClient: client})
	input := strings.Repeat(`{"modelInput":`+helloBody("anthropic")+"}\n", 50)
	if _, err := objects.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(defaultBucket), Key: aws.String("in/a.jsonl"), Body: strings.NewReader(input)}); err != nil {
		t.Fatal(err)
	}
	crowd(t, at.S3, limits.Open)
	crowd(t, at.Bedrock, limits.Open)
	job, err := api.CreateModelInvocationJob(t.Context(), &awsbedrock.CreateModelInvocationJobInput{JobName: aws.String("j"),
		ModelId: aws.String("batholith.simulated-v1"), RoleArn: aws.String(c.DefaultRole()),
		InputDataConfig:  &types.ModelInvocationJobInputDataConfigMemberS3InputDataConfig{Value: types.ModelInvocationJobS3InputDataConfig{S3Uri: aws.String("s3://" + defaultBucket + "/in/")}},
		OutputDataConfig: &types.ModelInvocationJobOutputDataConfigMemberS3OutputDataConfig{Value: types.ModelInvocationJobS3OutputDataConfig{S3Uri: aws.String("s3://" + defaultBucket + "/out/")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); ; {
		crowd(t, at.S3, 5)
		crowd(t, at.Bedrock, 5)
		got, err := api.GetModelInvocationJob(t.Context(), &awsbedrock.GetModelInvocationJobInput{JobIdentifier: job.JobArn})
		if err != nil {
			t.Fatal(err)
		}
		if got.Status == types.ModelInvocationJobStatusCompleted {
			break
		}
		if got.Status == types.ModelInvocationJobStatusFailed || time.Now().After(end) {
			t.Fatalf("the job is %s: %s", got.Status, aws.ToString(got.Message))
		}
	}
	if _, err := objects.ListBuckets(t.Context(), &s3.ListBucketsInput{}); err != nil {
		t.Error(err)
	}
}

// crowd has n strangers of each kind come, who stay until the test ends or the door closes their connections.
func crowd(t *testing.T, at string, n int) {
	t.Helper()
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range []string{"", "GET / HTTP/1.1\r\nX: ", "POST /bucket?delete HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n" + strings.Repeat("x", 20_000)} {
		for range n {
			c, err := net.Dial("tcp", u.Host)
			if errors.Is(err, syscall.EMFILE) { // ulimit -n; a child inherits it
				t.Skipf("this process may open too few files: %v", err)
			}
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			io.WriteString(c, data) // the door may have closed it
		}
	}
}
