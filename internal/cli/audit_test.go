package cli

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awsbedrock "github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	awssts "github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/batholith/batholith/internal/audit"
	"github.com/batholith/batholith/internal/config"
)

func TestEveryCallLeavesItsLineAndNoSecret(t *testing.T) {
	c := config.Default(config.ProfileDefault)
	dir := t.TempDir()
	c.Data, c.Listen, c.S3.Listen, c.Embedded = filepath.Join(dir, "data"), "127.0.0.1:0", "127.0.0.1:0", false
	c.Credentials = []config.Credential{{AccessKeyID: "AKALICE", SecretAccessKey: "planted-secret", Principal: "alice", Account: c.Account}}
	c.APIKeys = []config.APIKey{{Key: "planted-bearer", Principal: "bob", Account: c.Account}}
	c.Audit.File, c.Policy = filepath.Join(dir, "audit.log"), filepath.Join(dir, "policy.cedar")
	policy := `@id("reads") permit(principal == Principal::"alice", action in [Action::"bedrock:ListModelInvocationJobs", Action::"s3:PutObject"], resource);`
	if err := os.WriteFile(c.Policy, []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	at := startService(t, c)
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	keys := func(secret string) aws.CredentialsProvider {
		return credentials.NewStaticCredentialsProvider("AKALICE", secret, "")
	}
	api := awsbedrock.New(awsbedrock.Options{Region: c.Region, BaseEndpoint: &at.Bedrock, Credentials: keys("planted-secret"), HTTPClient: client})
	objects := s3.New(s3.Options{Region: c.Region, BaseEndpoint: &at.S3, UsePathStyle: true, Credentials: keys("planted-secret"), HTTPClient: client})
	wrong := s3.New(s3.Options{Region: c.Region, BaseEndpoint: &at.S3, UsePathStyle: true, Credentials: keys("planted-other"), HTTPClient: client})

	if _, err := api.ListModelInvocationJobs(t.Context(), &awsbedrock.ListModelInvocationJobsInput{}); err != nil {
		t.Fatal(err)
	}
	if _, err := objects.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(defaultBucket), Key: aws.String("in/a"), Body: strings.NewReader("planted-prompt")}); err != nil {
		t.Fatal(err)
	}
	if _, err := objects.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String(defaultBucket), Key: aws.String("in/a")}); err == nil {
		t.Fatal("alice deleted an object")
	}
	if _, err := wrong.ListBuckets(t.Context(), &s3.ListBucketsInput{}); err == nil {
		t.Fatal("a wrong secret did")
	}
	for _, endpoint := range []string{at.Bedrock, at.S3} { // both listeners have the token service
		tokens := awssts.New(awssts.Options{Region: c.Region, BaseEndpoint: &endpoint, Credentials: keys("planted-secret"), HTTPClient: client})
		if _, err := tokens.GetSessionToken(t.Context(), &awssts.GetSessionTokenInput{}); err != nil {
			t.Fatal(err)
		}
		if _, err := tokens.AssumeRole(t.Context(), &awssts.AssumeRoleInput{RoleArn: aws.String(c.DefaultRole()), RoleSessionName: aws.String("planted-session")}); err == nil {
			t.Fatal("alice assumed a role")
		}
		resp, err := client.PostForm(endpoint, url.Values{"Action": {"GetCallerIdentity"}})
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	link, err := s3.NewPresignClient(objects).PresignGetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(defaultBucket), Key: aws.String("in/a")})
	if err != nil {
		t.Fatal(err)
	}
	_, signature, _ := strings.Cut(link.URL, "X-Amz-Signature=")
	for _, ask := range []func() (*http.Request, error){
		func() (*http.Request, error) { return http.NewRequest(http.MethodGet, link.URL, nil) },
		func() (*http.Request, error) {
			r, err := http.NewRequest(http.MethodGet, at.Bedrock+"/model-invocation-jobs?planted=planted-query", nil)
			r.Header.Set("Authorization", "Bearer planted-bearer")
			return r, err
		},
		func() (*http.Request, error) {
			r, err := http.NewRequest(http.MethodGet, at.Bedrock+"/model-invocation-jobs", nil)
			r.Header.Set("Authorization", "Bearer planted-unknown")
			return r, err
		},
	} {
		r, err := ask()
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}

	text, err := os.ReadFile(c.Audit.File)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"planted-", signature[:20]} {
		if bytes.Contains(text, []byte(secret)) {
			t.Errorf("%q is in the audit log:\n%s", secret, text)
		}
	}
	var got []string
	for line := range bytes.Lines(text) {
		var e audit.Entry
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		if e.Request == "" || e.Source != "127.0.0.1" || e.Time.IsZero() || e.Status == 0 {
			t.Errorf("incomplete: %s", line)
		}
		policies := ""
		for _, d := range e.Decisions {
			policies += strings.Join(d.Policies, ",")
		}
		got = append(got, strings.Join([]string{e.Service, e.Principal, e.Key, e.Action, e.Resource, e.Decision, e.Code, policies}, "|"))
	}
	want := []string{
		"bedrock|alice|AKALICE|bedrock:ListModelInvocationJobs|/model-invocation-jobs|allowed||reads",
		"s3|alice|AKALICE|s3:PutObject|/batholith/in/a|allowed||reads",
		"s3|alice|AKALICE|s3:DeleteObject|/batholith/in/a|denied|AccessDenied|",
		"s3||AKALICE|GET|/|denied|SignatureDoesNotMatch|",
		"sts|alice|AKALICE|sts:GetSessionToken|/|allowed||",
		"sts|alice|AKALICE|sts:AssumeRole|/|denied|AccessDenied|",
		"sts|||POST|/|denied|MissingAuthenticationToken|",
		"sts|alice|AKALICE|sts:GetSessionToken|/|allowed||",
		"sts|alice|AKALICE|sts:AssumeRole|/|denied|AccessDenied|",
		"sts|||POST|/|denied|MissingAuthenticationToken|",
		"s3|alice|AKALICE|s3:GetObject|/batholith/in/a|denied|AccessDenied|",
		"bedrock|bob|bearer|bedrock:ListModelInvocationJobs|/model-invocation-jobs|denied|AccessDeniedException|",
		"bedrock||bearer|GET|/model-invocation-jobs|denied|UnrecognizedClientException|",
	}
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("the log has\n%s\nwant\n%s", g, w)
	}
}

func TestAnOpenPageLeavesOneLineUntilSomethingDiffers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "audit.log")
		log, err := audit.Open(audit.Options{File: file, MaxBytes: 1 << 20, Keep: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer log.Close()
		status := http.StatusOK
		h := audited(log, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			audit.Of(r.Context()).Asked("bedrock:GetModelInvocationJob")
			w.Header().Set("x-amzn-RequestId", rand.Text())
			w.WriteHeader(status)
		}))
		lines := func() int {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			return strings.Count(string(text), "\n")
		}
		var page audit.Repeats
		for _, step := range []struct {
			name string
			do   func(ctx context.Context) context.Context
			want int
		}{
			{"a request of a client", func(ctx context.Context) context.Context { return ctx }, 10},
			{"an open page", func(ctx context.Context) context.Context { return audit.Repeating(ctx, &page) }, 1},
			{"another page", func(ctx context.Context) context.Context { return audit.Repeating(ctx, new(audit.Repeats)) }, 10},
			{"the page when it is denied", func(ctx context.Context) context.Context {
				status = http.StatusForbidden
				return audit.Repeating(ctx, &page)
			}, 1},
			{"the page when it is permitted again", func(ctx context.Context) context.Context {
				status = http.StatusOK
				return audit.Repeating(ctx, &page)
			}, 1},
			{"the page after some time", func(ctx context.Context) context.Context {
				time.Sleep(audit.RepeatTime / 9)
				return audit.Repeating(ctx, &page)
			}, 1},
		} {
			before := lines()
			for range 10 {
				ctx := step.do(t.Context())
				h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/model-invocation-job/x", nil))
			}
			if got := lines() - before; got != step.want {
				t.Errorf("10 times %s: %d lines, want %d", step.name, got, step.want)
			}
		}
	})
}
