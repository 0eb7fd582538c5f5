package cluster

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/bedrock/types"
	"github.com/jackc/pgx/v5"

	"github.com/batholith/batholith/tests/harness"
)

// job is a job that is watched from its creation to its end.
type job struct {
	c     *cluster
	name  string // its prompts begin with it
	arn   string
	files int
	each  int // records in a file

	may     int            // records that may be sent more than once
	lost    map[string]int // of these, by the worker that was lost
	watched chan struct{}
	stop    context.CancelFunc

	mu    sync.Mutex
	last  *harness.Job
	wrong []string // what was seen going back
}

// fileName is the name of the n-th input file.
func fileName(n int) string { return fmt.Sprintf("%03d.jsonl", n) }

// begin creates a job of so many files, which are several chunks each worker can take.
func (c *cluster) begin(model string, files, each int, changes ...func(*bedrock.CreateModelInvocationJobInput)) *job {
	c.t.Helper()
	j := c.prepare(files, each)
	j.arn = c.client.Create("in/"+j.name+"/", append([]func(*bedrock.CreateModelInvocationJobInput){j.named(model)}, changes...)...)
	j.watch()
	return j
}

// named sets the name and model of a request.
func (j *job) named(model string) func(*bedrock.CreateModelInvocationJobInput) {
	return func(in *bedrock.CreateModelInvocationJobInput) { in.JobName, in.ModelId = &j.name, &model }
}

// prepare uploads the input of a job.
func (c *cluster) prepare(files, each int) *job {
	c.t.Helper()
	j := &job{c: c, name: fmt.Sprintf("job%d", len(c.jobs)+1), files: files, each: each, lost: map[string]int{}, watched: make(chan struct{})}
	c.jobs = append(c.jobs, j)
	for f := range files {
		var body bytes.Buffer
		for i := range each {
			n := f*each + i
			fmt.Fprintf(&body, `{"recordId":"r%d", "modelInput":{"messages":[{"role":"user","content":"%s-%d"}] , "max_tokens":5}}`+"\n", n, j.name, n)
		}
		c.client.Put("in/"+j.name+"/"+fileName(f), body.Bytes())
	}
	return j
}

// ranks is the order in which a job has its statuses. A job that is stopping may yet end otherwise.
var ranks = map[types.ModelInvocationJobStatus]int{"Submitted": 1, "Validating": 2, "Scheduled": 3, "InProgress": 4, "Stopping": 5,
	"Completed": 6, "PartiallyCompleted": 6, "Failed": 6, "Stopped": 6, "Expired": 6}

// watch reads the job again and again, from one API process after another, and notes what goes back. Errors are others' business: a watcher
// goes on while the database is away.
func (j *job) watch() {
	ctx, cancel := context.WithCancel(context.Background())
	j.stop = cancel
	j.c.t.Cleanup(func() { cancel(); <-j.watched })
	client := j.c.client.BedrockClient()
	go func() {
		defer close(j.watched)
		for ctx.Err() == nil {
			now, err := client.GetModelInvocationJob(ctx, &bedrock.GetModelInvocationJobInput{JobIdentifier: &j.arn})
			if err == nil {
				j.see(now)
				if now.EndTime != nil {
					return
				}
			}
			select {
			case <-time.After(j.c.look):
			case <-ctx.Done():
			}
		}
	}()
}

// see compares an observation of the job with the last one.
func (j *job) see(now *harness.Job) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if was := j.last; was != nil {
		switch {
		case ranks[now.Status] < ranks[was.Status]:
			j.wrong = append(j.wrong, fmt.Sprintf("the status was %s, and then %s", was.Status, now.Status))
		case aws.ToInt64(now.ProcessedRecordCount) < aws.ToInt64(was.ProcessedRecordCount):
			j.wrong = append(j.wrong, fmt.Sprintf("%d records were processed, and then %d", aws.ToInt64(was.ProcessedRecordCount), aws.ToInt64(now.ProcessedRecordCount)))
		}
	}
	j.last = now
}

// processed is the number of records that the last observation had.
func (j *job) processed() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.last == nil {
		return 0
	}
	return int(aws.ToInt64(j.last.ProcessedRecordCount))
}

// runs waits until a share of the records was sent, and every one of these workers has committed some.
func (j *job) runs(part float64, workers ...*process) {
	j.c.t.Helper()
	want := int(part * float64(j.records()))
	late := time.Now().Add(patience)
	for {
		sent, _ := j.c.w.of(j.name)
		all := sent >= want
		for _, w := range workers {
			all = all && j.committed(w) > 0
		}
		if all {
			return
		}
		if time.Now().After(late) {
			j.c.t.Fatalf("%s: %d of %d records were sent: %s", j.name, sent, j.records(), j.state())
		}
		<-time.After(20 * time.Millisecond)
	}
}

func (j *job) records() int { return j.files * j.each }

// state is the job's latest state, for messages.
func (j *job) state() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.last == nil {
		return "never seen"
	}
	return fmt.Sprintf("%s, %d of %d records, %q", j.last.Status, aws.ToInt64(j.last.ProcessedRecordCount), aws.ToInt64(j.last.TotalRecordCount), harness.Told(j.last))
}

// committed is how many outcomes of the job a worker has committed, until the job is sealed.
func (j *job) committed(p *process) int {
	j.c.t.Helper()
	n := query(j.c.db, pgx.RowTo[int], `SELECT coalesce(sum(processed), 0)::int FROM progress WHERE job = $1 AND worker = $2`, harness.ID(j.arn), p.id(j.c.t))
	return n[0]
}

// forgives allows the repeats that the loss of a worker costs: what it has sent so far and not committed. The worker must not be sending. A job
// that is sealed loses nothing more.
func (j *job) forgives(p *process) {
	j.c.t.Helper()
	if sealed := query(j.c.db, pgx.RowTo[int], `SELECT sealed::int FROM jobs WHERE id = $1`, harness.ID(j.arn)); sealed[0] == 1 {
		return
	}
	sent, committed := j.c.w.from(p.name, j.name), j.committed(p)
	j.may += max(0, sent-committed-j.lost[p.name]) // what it lost before is still not committed
	j.lost[p.name] = max(j.lost[p.name], sent-committed)
	j.c.t.Logf("%s: %s has sent %d records and committed %d", j.name, p.name, sent, committed)
}

// ends waits for the end of the job, and holds it to the laws.
func (j *job) ends(want types.ModelInvocationJobStatus) {
	j.c.t.Helper()
	select {
	case <-j.watched:
	case <-time.After(patience):
		j.c.t.Fatalf("%s does not end: %s%s", j.name, j.state(), j.c.logs())
	}
	if j.last == nil || j.last.Status != want {
		j.c.t.Fatalf("%s ended %s; want %s%s", j.name, j.state(), want, j.c.logs())
	}
	for _, wrong := range j.wrong {
		j.c.t.Errorf("%s: %s", j.name, wrong)
	}
	j.isWhole(want == types.ModelInvocationJobStatusCompleted)
	j.hasOneEventPerStatus()
	j.verifies()
}

// isWhole compares the output with the input, the counters and the requests: each record that has an outcome has one line, in input order.
func (j *job) isWhole(complete bool) {
	j.c.t.Helper()
	lines := 0
	for f := range j.files {
		last := f*j.each - 1
		for _, l := range j.c.client.Lines(j.arn, fileName(f)+".out") {
			var n int
			if _, err := fmt.Sscanf(l.RecordID, "r%d", &n); err != nil || n <= last || complete && n != last+1 {
				j.c.t.Fatalf("%s: record %s comes after r%d", j.name, l.RecordID, last)
			}
			if want := fmt.Sprintf(`answer to %s-%d"`, j.name, n); !strings.Contains(string(l.ModelOutput), want) {
				j.c.t.Fatalf("%s: record %d has the answer %s", j.name, n, l.ModelOutput)
			}
			last = n
			lines++
		}
	}
	m := j.c.client.Manifest(j.arn)
	processed := int(aws.ToInt64(j.last.ProcessedRecordCount))
	sent, records := j.c.w.of(j.name)
	if lines != processed || int(m.ProcessedRecordCount) != processed || int(m.SuccessRecordCount) != processed || int(m.TotalRecordCount) != j.records() || complete && lines != j.records() {
		j.c.t.Errorf("%s: %d lines, %d records processed of %d, manifest %+v", j.name, lines, processed, j.records(), m)
	}
	if j.may == 0 && sent > records && j.c.stalled() {
		j.c.t.Logf("%s: %d repeats, because a lease ended by itself: the machine is too busy to judge that", j.name, sent-records)
	} else if records < processed || sent-records > j.may {
		j.c.t.Errorf("%s: %d requests for %d records, of which %d have an outcome: %d repeats, want no more than %d", j.name, sent, records, processed, sent-records, j.may)
	}
	j.c.t.Logf("%s: %d records, %d requests (%d repeats were possible)", j.name, lines, sent, j.may)
}

// stalled reports whether a worker noted that its lease ended. If the test did not want that, the machine left it no time for a heartbeat.
func (c *cluster) stalled() bool {
	return slices.ContainsFunc(c.workers(), func(p *process) bool { return strings.Contains(p.Log(), "the worker's lease has expired") })
}

// hasOneEventPerStatus makes sure that the outbox has each status once, in an order that a job can have.
func (j *job) hasOneEventPerStatus() {
	j.c.t.Helper()
	var seen []string
	rank := 0
	for _, status := range query(j.c.db, pgx.RowTo[string], `SELECT status FROM events WHERE job = $1 ORDER BY seq`, harness.ID(j.arn)) {
		r := ranks[types.ModelInvocationJobStatus(status)]
		if seen = append(seen, status); r <= rank {
			j.c.t.Errorf("%s: the events are %v", j.name, seen)
		}
		rank = r
	}
	if rank != ranks[j.last.Status] {
		j.c.t.Errorf("%s: the events are %v, and the job is %s", j.name, seen, j.last.Status)
	}
}

// verifies runs batholith verify for the job.
func (j *job) verifies() {
	j.c.t.Helper()
	cmd := exec.Command(harness.Binary(j.c.t), "verify", j.arn)
	cmd.Dir = j.c.s3.Dir
	at, s3 := j.c.client.At, j.c.s3.At
	cmd.Env = append(os.Environ(), "AWS_ENDPOINT_URL_BEDROCK="+at.Bedrock, "AWS_REGION="+at.Region,
		"AWS_ACCESS_KEY_ID="+at.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+at.SecretAccessKey,
		"BATHOLITH_S3_ENDPOINT="+s3.S3, "BATHOLITH_S3_ACCESS_KEY_ID="+s3.AccessKeyID, "BATHOLITH_S3_SECRET_ACCESS_KEY="+s3.SecretAccessKey)
	if out, err := cmd.CombinedOutput(); err != nil {
		j.c.t.Errorf("%s: verify: %v: %s", j.name, err, out)
	}
}

// logs are the last lines of what all processes have written, for the message of a test that fails.
func (c *cluster) logs() string {
	var b strings.Builder
	for _, p := range c.all {
		lines := strings.Split(strings.TrimSpace(p.Log()), "\n")
		fmt.Fprintf(&b, "\n-- %s:\n%s", p.name, strings.Join(lines[max(0, len(lines)-15):], "\n"))
	}
	return b.String()
}

// leavesNothing makes sure that jobs that have ended leave only their output: no temporary object, no row, no journal.
func (c *cluster) leavesNothing() {
	c.t.Helper()
	late := time.Now().Add(patience)
	for _, table := range []string{"files", "chunks", "segments", "uploads", "progress"} {
		for {
			n := query(c.db, pgx.RowTo[int], "SELECT count(*)::int FROM "+table)
			if n[0] == 0 {
				break
			}
			if time.Now().After(late) {
				c.t.Fatalf("%d rows of %s are left%s", n[0], table, c.logs())
			}
			<-time.After(20 * time.Millisecond)
		}
	}
	objects := 0
	for _, j := range c.jobs {
		objects += j.files + 1
	}
	c.client.CleanedUp(objects)
}
