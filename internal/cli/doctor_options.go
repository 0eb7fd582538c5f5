package cli

import (
	"context"
	"errors"
	"iter"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsbedrock "github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/bedrock/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/doctor"
	"github.com/batholith/batholith/internal/object"
)

// doctorOptions returns what doctor.Examine needs to know of the service: the settings, which came from file, and
// the server's address. Nothing is contacted yet; doctor calls the functions when it reaches their check.
func (a *app) doctorOptions(c *config.Config, file string) doctor.Options {
	o := doctor.Options{DataDir: c.Data, Serve: "batholith serve" + dataFlag(c), Server: a.serverURL(c),
		Jobs: func(ctx context.Context) (doctor.Jobs, error) { return a.jobsOf(ctx, c, file) },
		S3:   func() (*doctor.S3, error) { return s3Of(c) },
		Explain: func(err error) (why, remedyOf string) {
			return plainly(err).Error(), remedy(err)
		}}
	bundle := ""
	if server, err := config.ReadServer(c.Data); err == nil && server.Bedrock == o.Server {
		bundle, o.NameCertificate = server.CA, server.ClientCA
		if server.Worker { // it has no API to list jobs
			o.Jobs = nil
		}
	}
	if show, err := clientCertificate(c.Client); err == nil && show != nil { // an error is told by the check of the jobs
		o.Certificate = show
	}
	o.Authorities, _ = object.Authorities(context.Background(), bundle, "") // a file that cannot be read is told by the S3's check
	for _, m := range modelOptions(c).Served {
		o.Models = append(o.Models, doctor.Model(m))
	}
	return o
}

// serverURL returns the URL of the server's Bedrock API: the one that the server wrote into the data directory,
// unless only the environment names a server. It returns "" if neither does.
func (a *app) serverURL(c *config.Config) string {
	named := namedServer()
	if s, err := config.ReadServer(c.Data); err == nil && (named == "" || c.Origin("data").Source != "default") {
		return s.Bedrock
	}
	return named
}

// namedServer returns the URL of the Bedrock API that AWS variables or the AWS profile name, or "".
func namedServer() string {
	cfg, err := awsSettings(context.Background(), nil)
	if err != nil {
		return ""
	}
	return aws.ToString(awsbedrock.NewFromConfig(cfg).Options().BaseEndpoint)
}

// s3Of returns the S3 of the settings and the roles to test there. It returns nil without an error if the S3 is
// embedded and no server runs, because nothing can be tested then.
func s3Of(c *config.Config) (*doctor.S3, error) {
	base, ok := reachRunning(c)
	if !ok {
		return nil, nil
	}
	s := &doctor.S3{Name: s3Name(c), Embedded: c.EmbeddedS3(), Base: base, Roles: []string{c.DefaultRole()}}
	for _, r := range c.Roles {
		if r.Assume != nil && r.Assume.RoleARN == "" && strings.Contains(r.ARN, "*") {
			continue // a token service knows no role of this name
		}
		if r.AccessKeyID != "" || !c.EmbeddedS3() { // the others have keys that the server made up for itself
			s.Roles = append(s.Roles, r.ARN)
		}
	}
	p, err := placesOf(c, base)
	if err != nil {
		return s, err
	}
	s.Client = p.Client
	return s, nil
}

// reachRunning returns how to reach the S3: as the settings say, or at the address that the running server wrote
// into the data directory. ok is false if the S3 is embedded and its address or key is not known.
func reachRunning(c *config.Config) (object.Config, bool) {
	if !c.EmbeddedS3() {
		return reachS3(c, c.S3.Endpoint), true
	}
	server, err := config.ReadServer(c.Data)
	if err != nil {
		return object.Config{}, false // its own check says that no server runs
	}
	key, err := callerKey(c)
	if err != nil {
		return object.Config{}, false
	}
	o := reachS3(c, server.S3)
	o.AccessKeyID, o.SecretAccessKey, o.PathStyle, o.UploadsByPrefix, o.CABundle = key.ID, key.Secret, true, true, server.CA
	if show, err := clientCertificate(c.Client); err == nil && show != nil {
		if o.HTTPClient, err = objectClient(context.Background(), o, show); err != nil {
			o.HTTPClient = nil // its own check says why
		}
	}
	return o, true
}

// s3Name returns the S3 in words for a finding: Amazon with its region, the data directory, or the endpoint.
func s3Name(c *config.Config) string {
	switch {
	case c.S3.Endpoint == "aws":
		return "Amazon (" + c.S3.Region + ")"
	case c.EmbeddedS3():
		return c.Data
	}
	return c.S3.Endpoint
}

// serverJobs gives the doctor the jobs of a server through the server's API.
type serverJobs struct {
	c    *clients
	took func() (map[string]bool, error) // ids of the jobs in the usage; asked once
}

// jobsOf connects to the server that serverURL names. An external S3 is reached with the keys of the settings,
// because the caller's key is valid only for the Bedrock API.
func (a *app) jobsOf(ctx context.Context, c *config.Config, file string) (doctor.Jobs, error) {
	var k *clients
	var err error
	if namedServer() != "" && c.Origin("data").Source == "default" {
		k, err = a.connect(ctx, target{file: file, client: c.Client})
	} else {
		k, err = a.connectServer(ctx, c)
	}
	if err != nil {
		return nil, err
	}
	if !c.EmbeddedS3() {
		k.objects = nil
		if store, err := object.New(reachS3(c, c.S3.Endpoint)); err == nil {
			k.objects = &objects{store: store}
		}
	}
	return serverJobs{k, sync.OnceValues(func() (map[string]bool, error) { return k.took(ctx) })}, nil
}

// Objects returns the client of the S3, or nil if there is none. It implements [doctor.Jobs], as do List and Kept.
func (s serverJobs) Objects() *s3.Client {
	if s.c.objects == nil {
		return nil
	}
	return s.c.objects.store.API()
}

// List yields all jobs, newest first, and requests 200 at a time. After an error it ends.
func (s serverJobs) List(ctx context.Context) iter.Seq2[batholith.Job, error] {
	const page = 200
	return func(yield func(batholith.Job, error) bool) {
		for j, err := range s.c.list(ctx, &awsbedrock.ListModelInvocationJobsInput{MaxResults: aws.Int32(page)}) {
			if !yield(j.noun(), err) {
				return
			}
		}
	}
}

// Kept returns the state of a job's kept results. A server without that operation keeps none.
func (s serverJobs) Kept(ctx context.Context, j batholith.Job) (doctor.Kept, error) {
	k, err := s.c.kept(ctx, j.ARN().String())
	return doctor.Kept(k), err
}

// Knows reports whether the server has a job with this id. A server that does not say so is taken to have it.
func (s serverJobs) Knows(ctx context.Context, id string) (bool, error) {
	_, err := s.c.fetch(ctx, id)
	var none *types.ResourceNotFoundException
	if errors.As(err, &none) {
		return false, nil
	}
	return true, err
}

// Took reports whether the server's usage has the job.
func (s serverJobs) Took(_ context.Context, id string) (bool, error) {
	all, err := s.took()
	return all[id], err
}

// took returns the ids of all jobs in the usage of the account, since the service exists.
func (c *clients) took(ctx context.Context) (map[string]bool, error) {
	groups, err := c.usage(ctx, []string{"job"}, "", time.Unix(0, 0))
	ids := make(map[string]bool, len(groups))
	for _, g := range groups {
		if arn, err := batholith.ParseARN(g.Job); err == nil {
			ids[arn.Resource[strings.LastIndexByte(arn.Resource, '/')+1:]] = true
		}
	}
	return ids, err
}

// noun returns the job as the root package's type, with the members that the doctor uses. A forecast is left out
// of the message: it does not explain why a job makes no progress.
func (j jobFacts) noun() batholith.Job {
	_, told := j.told()
	if j.forecast() != nil {
		told = "" // it is not why a job stands still
	}
	job := batholith.Job{ID: j.id(), Status: j.Status, Message: told, Modified: aws.ToTime(j.Modified), Ended: aws.ToTime(j.Ended),
		Request: batholith.Request{RoleARN: j.Role, Input: batholith.Location{URI: j.Input}, Output: batholith.Location{URI: j.Output}, KMSKeyID: j.kmsKey}}
	if arn, err := batholith.ParseARN(j.ARN); err == nil {
		job.Region, job.Account = arn.Region, arn.Account
	}
	return job
}
