package cli

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/audit"
	"github.com/batholith/batholith/internal/bedrock"
	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/console"
	"github.com/batholith/batholith/internal/dialect"
	"github.com/batholith/batholith/internal/object"
	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/release"
	"github.com/batholith/batholith/internal/sigv4"
)

// consoleFolder is the folder in the data directory for files that were uploaded through the console and are not used yet.
const consoleFolder = "console"

// openConsole returns the web pages, or nil if the settings have none.
func (s *service) openConsole() (*console.Console, error) {
	c := s.o.Config
	if !c.Console.Enabled {
		return nil, nil
	}
	verify := authenticate(s.verifier())
	o := console.Options{
		API: s.calls, Region: c.Region,
		Verify: func(r *http.Request) (sigv4.Identity, error) {
			who, err := verify(r, nil)
			return sigv4.Identity{Account: who.Account, Principal: who.Principal, Groups: who.Groups}, err
		},
		Jobs: consoleJobs{s}, Endpoint: s.base.Endpoint, Validate: s.validateUpload, Records: s.recordsOfTable, Table: isTable, Role: config.OwnRole, Bucket: defaultBucket,
		Dir: filepath.Join(c.Data, consoleFolder), Secure: s.cert != nil, Version: release.This().Version, Log: s.o.Log, Now: s.clock.Now,
	}
	if s.s3 != nil {
		o.Buckets = newConsoleBuckets(s)
	} else {
		o.Far = consoleFar{s}
	}
	return console.New(o)
}

// verifier returns what tells whose key a request has.
func (s *service) verifier() verifier {
	return newVerifier(s.o.Config, sigv4.New(s.o.Config.Region, "bedrock", s.callers, s.clock.Now))
}

// consoleJobs reads for the console what the API does not answer.
type consoleJobs struct{ s *service }

// History implements console.Jobs.
func (j consoleJobs) History(ctx context.Context, job string) ([]batholith.Change, error) {
	return j.s.store.History(ctx, job)
}

// Changes implements console.Jobs.
func (j consoleJobs) Changes(ctx context.Context, account string, before int64, limit int) ([]batholith.Change, error) {
	return j.s.store.AccountEvents(ctx, account, before, limit)
}

// PutPoints implements console.Jobs.
func (j consoleJobs) PutPoints(ctx context.Context, all []batholith.Point) error {
	return j.s.store.PutPoints(ctx, all)
}

// Points implements console.Jobs.
func (j consoleJobs) Points(ctx context.Context, job string) ([]batholith.Point, error) {
	return j.s.store.Points(ctx, job)
}

// Running implements console.Jobs. It looks at the accounts of the settings' keys.
func (j consoleJobs) Running(ctx context.Context, limit int) (all []batholith.Job, err error) {
	for _, account := range accountsOf(j.s.settings()) {
		jobs, _, err := j.s.store.Jobs(ctx, batholith.ListQuery{Account: account, Status: batholith.StatusInProgress, Limit: limit})
		if err != nil {
			return nil, err
		}
		if all = append(all, jobs...); len(all) >= limit {
			return all[:limit], nil
		}
	}
	return all, nil
}

// accountsOf returns the accounts of the settings, each once.
func accountsOf(c *config.Config) []string {
	all := []string{c.Account}
	for _, k := range c.Credentials {
		all = append(all, cmp.Or(k.Account, c.Account))
	}
	for _, k := range c.APIKeys {
		all = append(all, cmp.Or(k.Account, c.Account))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// InFlight implements console.Jobs. All processes know the servers of the settings; those inside this process are counted here.
func (j consoleJobs) InFlight() map[string]int64 {
	flying := map[string]int64{}
	for _, b := range j.s.engine.Backends() {
		for _, m := range b.Models {
			flying[m] += int64(b.InFlight)
		}
	}
	inside := map[string]int64{}
	for _, server := range j.s.engine.Dispatch().Servers {
		inside[server.Model] += int64(server.Sample.InFlight)
	}
	for model, n := range inside {
		flying[model] = max(flying[model], n)
	}
	return flying
}

// Receivers implements console.Jobs.
func (j consoleJobs) Receivers(ctx context.Context) (all []console.Receiver, err error) {
	for _, e := range j.s.settings().Events {
		seq, err := j.s.store.Receiver(ctx, e.Name)
		if err != nil {
			return nil, err
		}
		waiting, err := j.s.store.Events(ctx, seq, console.PendingMost)
		if err != nil {
			return nil, err
		}
		all = append(all, console.Receiver{Name: plain.RedactURL(e.Name), URL: plain.RedactURL(e.URL), Pending: int64(len(waiting))})
	}
	return all, nil
}

// consoleBuckets gives the console access to the embedded S3, with a key pair for each use.
type consoleBuckets struct {
	s    *service
	http *http.Client
}

func newConsoleBuckets(s *service) *consoleBuckets {
	return &consoleBuckets{s, object.NewHTTPClientOver(s.s3.Dial)}
}

// As implements console.Buckets.
func (b *consoleBuckets) As(who sigv4.Identity, r *http.Request) (client *s3.Client, done func()) {
	caller := bedrock.Caller{Account: who.Account, Principal: who.Principal, Groups: who.Groups}
	id, secret, end := b.s.s3.Lend(s3Caller(b.s.settings(), caller))
	keys := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}, nil
	})
	return s3.New(s3.Options{Region: b.s.o.Config.S3.Region, BaseEndpoint: aws.String(b.s.base.Endpoint), UsePathStyle: true, Credentials: keys, RetryMaxAttempts: 1,
		HTTPClient:                 &auditedClient{http: b.http, log: b.s.audit, who: who, source: r},
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired, ResponseChecksumValidation: aws.ResponseChecksumValidationWhenRequired}), end
}

// auditedClient writes a line to the audit log for each request that the console sends to the embedded S3, as the S3 does for requests
// from outside.
type auditedClient struct {
	http   *http.Client
	log    *audit.Log
	who    sigv4.Identity
	source *http.Request // the browser's
}

// errNoAudit says that a request that would leave no line in the audit log was not sent.
var errNoAudit = errors.New("the audit log cannot be written, so that requests are refused; ask the operator")

// Do implements s3.HTTPClient.
func (c *auditedClient) Do(r *http.Request) (*http.Response, error) {
	if c.log == nil {
		return c.http.Do(r)
	}
	e := audit.Entry{Time: time.Now().UTC(), Service: "s3", Action: r.Method, Resource: r.URL.Path, Agent: c.source.UserAgent(), Key: "console"}
	e.Source, _, _ = net.SplitHostPort(c.source.RemoteAddr)
	if c.log.Refuses(e) {
		return nil, errNoAudit
	}
	trail := audit.NewTrail(e)
	trail.Sender(c.who.Account, c.who.Principal)
	answer, err := c.http.Do(r)
	if err != nil {
		return nil, err
	}
	code := ""
	if answer.StatusCode >= http.StatusBadRequest {
		code = http.StatusText(answer.StatusCode)
	}
	c.log.Write(trail.Done(answer.Header.Get("X-Amz-Request-Id"), answer.StatusCode, code))
	return answer, nil
}

// validateUpload checks a file as the command validate does, with the settings of the server.
func (s *service) validateUpload(ctx context.Context, path, name, model string, typ batholith.InvocationType) (out console.Validation, err error) {
	c, a := s.settings(), &app{stdout: io.Discard, stderr: io.Discard}
	family := familyNamed(c, model)
	if typ == "" {
		if typ = batholith.InvokeModel; dialect.TypeOf(family, lineFormAt(path, name).input) == batholith.Converse {
			typ = batholith.Converse
		}
	}
	info, err := localInputs(ctx, []localFile{{path: path, key: name}})
	if err != nil {
		return out, err
	}
	for i := range info {
		info[i].name = name
	}
	v := &validator{app: a, limits: c.Limits.Rules(), family: family, strict: c.StrictBodies, inputs: info}
	if v.bodies, err = a.newBodies(c, model, typ); err != nil {
		return out, err
	}
	f, err := v.run(ctx)
	if err != nil {
		return out, err
	}
	out = console.Validation{OK: f.OK, Model: f.Model, Type: f.Type, Records: f.Records, Bytes: f.Bytes, Errors: f.Errors, Warnings: f.Warnings, ErrorList: listedProblems(f.ErrorList),
		WarningList: listedProblems(onePerFile(f.WarningList, f.Warnings)), Refusal: f.Refusal, Refused: f.Refused, Missing: f.Missing, Repeated: f.Repeated,
		InputTokens: f.inputTokens(), OutputTokens: f.outputTokens()}
	for _, r := range f.Reasons[:min(len(f.Reasons), reasonCount)] {
		out.Reasons = append(out.Reasons, console.Reason{Text: r.Reason, Count: r.Count})
	}
	if f.Cost != nil {
		out.Cost = f.Cost.String()
	}
	if f.other != "" {
		out.Hint = "Bodies look like those of " + string(f.other) + ": choose this under Bodies, and validate again."
	}
	return out, nil
}

func listedProblems(list []located) (all []console.Problem) {
	for _, p := range list {
		all = append(all, console.Problem{Line: p.Line, Column: p.Column, Reason: strings.TrimSpace(p.Reason)})
	}
	return all
}
