//go:build linux

package power

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/bedrock/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/batholith/batholith/tests/harness"
)

// TestMain gives the tests a namespace of their own where they may mount, unless they are root already.
func TestMain(m *testing.M) {
	Keep()
	alone := []string{"--user", "--map-root-user", "--mount"}
	if os.Geteuid() == 0 || exec.Command("unshare", append(alone, "true")...).Run() != nil {
		harness.Main(m)
	}
	cmd := exec.Command("unshare", append(alone, os.Args...)...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		os.Exit(1)
	}
	os.Exit(0)
}

const (
	slots = 16 // requests that the model server gets at once
	// What was finished is synced 20 ms later, and an fsync takes its time; this is how many records that may be at most.
	unsynced = 8 * slots
)

// site is a server on a disk that loses power.
type site struct {
	t    *testing.T
	seed uint64 // of what the disk keeps that was not synced; 0: nothing
	disk *Keeper
	s    *harness.Server
	w    *harness.Witness
	tags []types.Tag // of its jobs
}

func newSite(t *testing.T, latency time.Duration) *site {
	t.Helper()
	w := harness.NewWitness(t, latency)
	p := &site{t: t, w: w}
	p.s = harness.New(t, harness.Model(w.URL, fmt.Sprint(", max_in_flight: ", slots)))
	must(t, os.Mkdir(p.s.Data, 0o700))
	p.disk = mount(t, p.s.Data)
	t.Cleanup(p.s.Kill) // before the file system goes
	return p
}

// lose takes the power away, and mounts what is left.
func (p *site) lose() {
	p.t.Helper()
	p.s.Kill()
	must(p.t, p.disk.Lose(p.seed))
}

// create makes job i, once or again: its token is always the same.
func (p *site) create(i int) (arn string, err error) {
	return p.createOf(i, fmt.Sprintf("in/%d.jsonl", i))
}

// createOf makes job i over an object, or over all below a prefix.
func (p *site) createOf(i int, input string) (arn string, err error) {
	in := p.s.Request(input)
	in.JobName, in.ClientRequestToken = aws.String(fmt.Sprint("job-", i)), aws.String(fmt.Sprint("token-", i))
	in.Tags = p.tags
	out, err := p.s.BedrockClient().CreateModelInvocationJob(p.t.Context(), in, func(o *bedrock.Options) { o.RetryMaxAttempts = 1 })
	if err != nil {
		return "", err
	}
	return *out.JobArn, nil
}

// put uploads an object, without another try.
func (p *site) put(ctx context.Context, key string, body []byte) error {
	_, err := p.s.S3Client().PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String(harness.Bucket), Key: &key, Body: bytes.NewReader(body)},
		func(o *s3.Options) { o.RetryMaxAttempts = 1 })
	return err
}

// putInParts uploads an object in one part, without another try.
func (p *site) putInParts(ctx context.Context, key string, body []byte) error {
	c := p.s.S3Client()
	once := func(o *s3.Options) { o.RetryMaxAttempts = 1 }
	up, err := c.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: aws.String(harness.Bucket), Key: &key}, once)
	if err != nil {
		return err
	}
	part, err := c.UploadPart(ctx, &s3.UploadPartInput{Bucket: up.Bucket, Key: &key, UploadId: up.UploadId, PartNumber: aws.Int32(1),
		Body: bytes.NewReader(body)}, once)
	if err != nil {
		return err
	}
	_, err = c.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: up.Bucket, Key: &key, UploadId: up.UploadId,
		MultipartUpload: &s3types.CompletedMultipartUpload{Parts: []s3types.CompletedPart{{PartNumber: aws.Int32(1), ETag: part.ETag}}}}, once)
	return err
}

// abortUploads ends the uploads that a client began and did not complete.
func (p *site) abortUploads() {
	p.t.Helper()
	c := p.s.S3Client()
	list, err := c.ListMultipartUploads(p.t.Context(), &s3.ListMultipartUploadsInput{Bucket: aws.String(harness.Bucket), Prefix: aws.String("in/")})
	must(p.t, err)
	for _, u := range list.Uploads {
		_, err := c.AbortMultipartUpload(p.t.Context(), &s3.AbortMultipartUploadInput{Bucket: aws.String(harness.Bucket), Key: u.Key, UploadId: u.UploadId})
		must(p.t, err)
	}
}

// forgiveJournal removes what was put aside: a disk that writes pages in an order of its own may tear the journal's unsynced end in the
// middle, which cannot be told from damage.
func (p *site) forgiveJournal() {
	p.t.Helper()
	aside, err := filepath.Glob(filepath.Join(p.s.Data, "journal", "*.damaged"))
	must(p.t, err)
	for _, path := range aside {
		must(p.t, os.Remove(path))
	}
}

// read reads an object.
func (p *site) read(key string) []byte {
	p.t.Helper()
	out, err := p.s.S3Client().GetObject(p.t.Context(), &s3.GetObjectInput{Bucket: aws.String(harness.Bucket), Key: &key})
	if err != nil {
		p.t.Fatalf("%s was acknowledged, and is gone: %v", key, err)
	}
	defer out.Body.Close()
	b, err := io.ReadAll(out.Body)
	must(p.t, err)
	return b
}

// completes waits for the end of job i, with so many records, and makes sure that each is there once, in order.
func (p *site) completes(i int, arn string, records int) {
	p.t.Helper()
	p.completed(i, arn, records)
	p.lines(arn, i, records)
}

// completed waits for the end of job i, and makes sure that it is Completed and counts so many records.
func (p *site) completed(i int, arn string, records int) {
	p.t.Helper()
	if out := p.s.End(arn); out.Status != types.ModelInvocationJobStatusCompleted {
		p.t.Fatalf("job %d ended %s: %s", i, out.Status, harness.Told(out))
	}
	if m := p.s.Manifest(arn); m.SuccessRecordCount != int64(records) || m.ProcessedRecordCount != int64(records) {
		p.t.Errorf("job %d has the manifest %+v; want %d", i, m, records)
	}
}

// lines makes sure that the output of input file i has each of its records once, in order.
func (p *site) lines(arn string, i, records int) {
	p.t.Helper()
	lines := p.s.Lines(arn, fmt.Sprintf("%d.jsonl.out", i))
	if len(lines) != records {
		p.t.Errorf("the output of file %d has %d lines; want %d", i, len(lines), records)
	}
	for n, l := range lines {
		if want := i*records + n; l.RecordID != fmt.Sprintf("r%d", want) || !strings.Contains(string(l.ModelOutput), fmt.Sprintf("answer to p%d\"", want)) {
			p.t.Fatalf("line %d of file %d is of %s: %s", n+1, i, l.RecordID, l.ModelOutput)
		}
	}
}

// client uploads and creates until the power goes, and remembers what it was told.
type client struct {
	p       *site
	each    int               // records of a job
	objects map[string][]byte // that were acknowledged
	jobs    []string          // ARNs; "" where the answer did not come
	ended   map[string]bool   // jobs that were seen to be Completed
}

func newClient(p *site, each int) *client {
	return &client{p: p, each: each, objects: map[string][]byte{}, ended: map[string]bool{}}
}

// work goes on with uploads and jobs until one is not acknowledged, or there are enough.
func (c *client) work(ctx context.Context, most int) {
	for len(c.jobs) < most {
		i := len(c.jobs)
		key, body := fmt.Sprintf("in/%d.jsonl", i), harness.PromptsFrom(i*c.each, c.each)
		put := c.p.put
		if i%2 == 1 {
			put = c.p.putInParts
		}
		if put(ctx, key, body) != nil {
			return
		}
		c.objects[key] = body
		arn, err := c.p.create(i)
		c.jobs = append(c.jobs, arn)
		if err != nil {
			return
		}
	}
}

// check makes sure that everything that was acknowledged is there.
func (c *client) check(t *testing.T) {
	t.Helper()
	for key, body := range c.objects {
		if !bytes.Equal(c.p.read(key), body) {
			t.Fatalf("%s is not what was acknowledged", key)
		}
	}
	for i, arn := range c.jobs {
		again, err := c.p.create(i)
		if err != nil || arn != "" && again != arn {
			t.Fatalf("the token of job %d, which made %q, makes %q, %v", i, arn, again, err)
		}
		c.jobs[i] = again
		ended := c.p.s.Job(again).Status == types.ModelInvocationJobStatusCompleted
		if c.ended[again] {
			c.p.completes(i, again, c.each)
		}
		if c.ended[again] && !ended {
			t.Errorf("job %d was Completed and is not any more", i)
		}
		c.ended[again] = ended
	}
}

// committed is how many records of all jobs are counted as done.
func (c *client) committed() (n int) {
	for _, arn := range c.jobs {
		if arn != "" {
			n += int(aws.ToInt64(c.p.s.Job(arn).ProcessedRecordCount))
		}
	}
	return n
}

func TestAcknowledgedWritesSurviveALossOfPowerAtAnyMoment(t *testing.T) {
	t.Parallel()
	const losses, each = 10, 250
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	p := newSite(t, 15*time.Millisecond)
	c := newClient(p, each)
	for n := range losses {
		p.s.Start()
		c.check(t)
		done := make(chan struct{})
		go func() { defer close(done); c.work(t.Context(), 3*(n+1)) }()
		<-time.After(time.Duration(r.IntN(600)) * time.Millisecond)
		if p.seed = 0; n%2 == 1 {
			p.seed = r.Uint64()
		}
		p.s.Kill()
		<-done
		p.lose()
	}
	p.s.Start()
	c.check(t)
	for i, arn := range c.jobs {
		p.completes(i, arn, each)
	}
	all, prompts, _ := p.w.Requests()
	repeats := all - prompts
	t.Logf("%d jobs, %d repeats after %d losses", len(c.jobs), repeats, losses)
	if prompts != each*len(c.jobs) || repeats > losses*(slots+unsynced) {
		t.Errorf("%d records asked of %d, %d repeats after %d losses", prompts, each*len(c.jobs), repeats, losses)
	}
	p.abortUploads()
	p.forgiveJournal()
	p.s.NothingLeft(2 * len(c.jobs))
}

func TestACommittedRecordIsNotAskedAgainAfterTheLossOfPower(t *testing.T) {
	t.Parallel()
	const losses, each = 5, 4000
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	p := newSite(t, 15*time.Millisecond)
	c := newClient(p, each)
	p.s.Start()
	c.work(t.Context(), 1)
	may := 0 // records that may be asked again
	for range losses {
		all, _, _ := p.w.Requests()
		p.w.Await(t, all+300+r.IntN(400))
		committed := c.committed()
		p.s.Kill()
		p.w.Idle(t)
		_, asked, _ := p.w.Requests()
		may += asked - committed
		p.lose()
		p.s.Start()
		if now := c.committed(); now < committed {
			t.Errorf("%d records were committed, and %d are", committed, now)
		}
	}
	p.completes(0, c.jobs[0], each)
	all, prompts, _ := p.w.Requests()
	t.Logf("%d repeats after %d losses; %d records were asked and not committed", all-prompts, losses, may)
	if prompts != each || all-prompts > may || all-prompts > losses*(slots+unsynced) {
		t.Errorf("%d records asked, %d repeats; %d were not committed", prompts, all-prompts, may)
	}
	p.s.NothingLeft(2)
}

func TestAnAcknowledgedStopSurvivesTheLossOfPower(t *testing.T) {
	t.Parallel()
	p := newSite(t, 15*time.Millisecond)
	c := newClient(p, 3000)
	p.s.Start()
	c.work(t.Context(), 1)
	p.w.Await(t, 400)
	_, err := p.s.BedrockClient().StopModelInvocationJob(t.Context(), &bedrock.StopModelInvocationJobInput{JobIdentifier: &c.jobs[0]})
	must(t, err)
	p.s.Kill()
	p.w.Idle(t)
	before, _, _ := p.w.Requests()
	p.lose()
	p.s.Start()
	out := p.s.End(c.jobs[0])
	if out.Status != types.ModelInvocationJobStatusStopped {
		t.Errorf("the job ended %s", out.Status)
	}
	if lines := p.s.Lines(c.jobs[0], "0.jsonl.out"); int64(len(lines)) != *out.ProcessedRecordCount {
		t.Errorf("%d lines, %d records processed", len(lines), *out.ProcessedRecordCount)
	}
	if now, _, _ := p.w.Requests(); now != before {
		t.Errorf("%d records were sent after the stop", now-before)
	}
	p.s.NothingLeft(2)
}
