// Package cluster runs the real program as several processes on one PostgreSQL and one S3, breaks what they stand on, and holds every
// job to the same laws afterwards (see job.ends):
//
//	every record has one line, in input order; counters, manifest and lines agree, and batholith verify finds nothing
//	a record is sent again only if its worker was lost with it in flight, or finished and not committed
//	status and counters never go back, whichever API process tells them; the outbox has one event for each status
//	what has ended leaves only its output
package cluster

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/bedrock/types"
	"github.com/jackc/pgx/v5"

	"github.com/batholith/batholith/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

const (
	completed = types.ModelInvocationJobStatusCompleted
	stopped   = types.ModelInvocationJobStatusStopped
)

// answerTime is how long an answer takes while a test breaks something, so that the job lasts until then.
const answerTime = 200 * time.Millisecond

// movesWithin bounds the time in which the chunks of a lost worker move. They move within 5 s; the rest is for a machine that is busy. The log
// has the time that it took.
const movesWithin = 20 * time.Second

func TestJobsKeepTheLawsWhateverBreaks(t *testing.T) {
	c := newCluster(t, "")
	for _, s := range []struct {
		name string
		run  func(*cluster)
	}{
		{"AWorkerIsKilled", aWorkerIsKilled},
		{"AWorkerStandsStillForLongerThanItsLease", aWorkerStandsStill},
		{"AWorkerIsCutOffFromTheDatabase", aWorkerIsCutOffFromTheDatabase},
		{"AWorkerIsCutOffFromTheS3", aWorkerIsCutOffFromTheS3},
		{"AWorkerIsCutOffFromBoth", aWorkerIsCutOffFromBoth},
		{"APIsAreKilledWhileJobsAreCreated", apisAreKilled},
		{"AStopTakesEffectEverywhere", aStopTakesEffectEverywhere},
		{"TheS3IsAway", theS3IsAway},
		{"TheDatabaseIsAwayForLongerThanALease", theDatabaseIsAway},
		{"TheDatabaseIsRestarted", theDatabaseIsRestarted},
		{"TheDatabaseFailsOverToItsStandby", theDatabaseFailsOver},
		{"AWorkerJoinsAndAnotherLeaves", aWorkerJoinsAndAnotherLeaves},
		{"WorkersShareALimit", workersShareALimit},
		{"EveryProcessIsRestartedInTurn", everyProcessIsRestarted},
		{"AnyFaultsInAnyOrder", anyFaults},
	} {
		t.Run(s.name, func(t *testing.T) {
			c.in(t)
			s.run(c)
		})
	}
	c.in(t)
	c.leavesNothing()
}

// busy begins a job that lasts until finish, and waits until every worker has a part in it.
func (c *cluster) busy() *job {
	c.t.Helper()
	c.w.takes(answerTime)
	j := c.begin("m", 40, 128)
	j.runs(0.02, c.workers()...)
	return j
}

// finish lets a job end quickly.
func (j *job) finish() {
	j.c.t.Helper()
	j.c.w.takes(0)
	j.ends(completed)
}

// holds are the records of the chunks that a worker has leased.
func (j *job) holds(p *process) map[string]bool {
	j.c.t.Helper()
	type chunk struct{ File, First, Count int }
	all := map[string]bool{}
	for _, k := range query(j.c.db, pgx.RowToStructByPos[chunk], `SELECT file::int, first::int, count::int FROM chunks WHERE job = $1 AND owner = $2 AND state = 'leased'`,
		harness.ID(j.arn), p.id(j.c.t)) {
		for n := k.File*j.each + k.First; n < k.File*j.each+k.First+k.Count; n++ {
			all[fmt.Sprintf("%s-%d", j.name, n)] = true
		}
	}
	return all
}

// moves waits until other workers have all chunks that a lost worker held. It was lost at the time since.
func (j *job) moves(lost *process, held map[string]bool, since time.Time) {
	j.c.t.Helper()
	if len(held) == 0 {
		j.c.t.Fatalf("%s had no chunk", lost.name)
	}
	for len(j.holds(lost)) > 0 {
		if time.Since(since) > patience {
			j.c.t.Fatalf("the chunks of %s do not move: %s%s", lost.name, j.state(), j.c.logs())
		}
		<-time.After(20 * time.Millisecond)
	}
	took := time.Since(since)
	j.c.t.Logf("the chunks of %s had moved after %s", lost.name, took.Round(time.Millisecond))
	if took > movesWithin {
		j.c.t.Errorf("the chunks of %s moved after %s", lost.name, took)
	}
}

func aWorkerIsKilled(c *cluster) {
	j, lost := c.busy(), c.process("worker1")
	held, since := j.holds(lost), time.Now()
	lost.Kill()
	j.moves(lost, held, since)
	j.forgives(lost)
	c.restart(lost)
	j.finish()
}

func aWorkerStandsStill(c *cluster) {
	j, lost := c.busy(), c.process("worker2")
	held, since := j.holds(lost), time.Now()
	c.signal(lost, syscall.SIGSTOP)
	j.moves(lost, held, since)
	j.forgives(lost)
	c.signal(lost, syscall.SIGCONT)
	c.sends(lost, j) // it goes on, with other chunks
	j.finish()
}

// signal sends a signal to a process.
func (c *cluster) signal(p *process, s syscall.Signal) {
	c.t.Helper()
	if err := p.Signal(s); err != nil {
		c.t.Fatal(err)
	}
}

// sends waits until a worker sends a record of a job, from now on.
func (c *cluster) sends(p *process, j *job) {
	c.t.Helper()
	c.w.await(c.t, "a record from "+p.name, c.w.mark(), func(r request) bool { return r.worker == p.name && strings.HasPrefix(r.prompt, j.name+"-") })
}

func aWorkerIsCutOffFromTheDatabase(c *cluster) { cutOff(c, true, false) }
func aWorkerIsCutOffFromBoth(c *cluster)        { cutOff(c, true, true) }

// cutOff cuts a worker off for longer than its lease. It must have stopped when others take its chunks.
func cutOff(c *cluster, fromDB, fromS3 bool) {
	j, lost := c.busy(), c.process("worker3")
	held, since := j.holds(lost), time.Now()
	lost.isolate(fromDB, fromS3)
	j.moves(lost, held, since)
	moved := c.w.mark()
	j.forgives(lost)
	c.w.more(c.t, 50)
	late := 0
	for _, r := range c.w.since(moved) {
		if r.worker == lost.name {
			late++
		}
	}
	if late > slots { // what was on its way may have been noted late
		c.t.Errorf("%s sent %d records when its chunks had moved", lost.name, late)
	}
	lost.join()
	c.sends(lost, j)
	j.finish()
}

// A worker that does not reach the S3 keeps what it has finished, and sends nothing again.
func aWorkerIsCutOffFromTheS3(c *cluster) {
	j, lost := c.busy(), c.process("worker1")
	lost.isolate(false, true)
	c.w.more(c.t, 200)
	lost.join()
	j.finish()
}

func theS3IsAway(c *cluster) {
	j := c.busy()
	for _, p := range c.all {
		p.s3.cut()
	}
	later := c.prepare(2, 5) // the test itself reaches the S3
	later.arn = c.client.Create("in/"+later.name+"/", later.named("m"))
	later.watch()
	c.w.more(c.t, 200)
	for _, p := range c.all {
		p.join()
	}
	j.finish()
	later.ends(completed)
}

// While the database is away, a worker sends until its lease ends, and then waits. Nobody takes the chunks of another afterwards: only what was in
// flight is sent again.
func theDatabaseIsAway(c *cluster) {
	j := c.busy()
	for _, p := range c.all {
		p.isolate(true, false)
	}
	c.quiet(4 * answerTime)
	c.back(j, func() {
		for _, p := range c.all {
			p.join()
		}
	})
	j.finish()
}

// back ends an outage of the database, and waits until every worker sends again. What was in flight may be sent again. Nothing more, if the workers
// come back within a lease, of which all have one then; a machine that is too busy for that may cost them what they had not committed.
func (c *cluster) back(j *job, ends func()) {
	c.t.Helper()
	j.may += slots * len(c.workers())
	ends()
	began, most := time.Now(), 0
	for _, p := range c.workers() {
		most += max(0, c.w.from(p.name, j.name)-j.committed(p))
	}
	for _, p := range c.workers() {
		c.sends(p, j)
	}
	if took := time.Since(began); took > 3*time.Second {
		c.t.Logf("the workers were back after %s: %d repeats are permitted", took, most)
		j.may += most
	}
}

// theDatabaseIsRestarted restarts the database as after a crash. A job whose creation was answered just before is there.
func theDatabaseIsRestarted(c *cluster) {
	j := c.busy()
	last := c.begin("m", 1, 2)
	c.back(j, func() {
		c.db.primary().Stop(c.t)
		c.db.primary().Launch(c.t)
	})
	j.finish()
	last.may = last.records()
	last.ends(completed)
}

// theDatabaseFailsOver loses the primary and promotes the standby, and gives the new primary a standby afterwards.
func theDatabaseFailsOver(c *cluster) {
	j := c.busy()
	last := c.begin("m", 1, 2)
	c.back(j, c.failOver)
	j.finish()
	last.may = last.records()
	last.ends(completed)
}

// failOver kills the primary and promotes the standby. A new standby takes the place of the old primary.
func (c *cluster) failOver() {
	c.t.Helper()
	c.db.primary().Stop(c.t)
	gone := c.db.now
	c.db.now = 1 - gone
	c.db.primary().Promote(c.t)
	c.db.nodes[gone] = c.db.primary().Standby(c.db.whole)
	for _, p := range c.all {
		p.db[gone].to(target{"unix", c.db.nodes[gone].Socket()})
	}
}

// quiet waits until no request has come for so long.
func (c *cluster) quiet(long time.Duration) {
	c.t.Helper()
	late := time.Now().Add(patience)
	for mark := c.w.mark(); ; {
		<-time.After(long)
		now := c.w.mark()
		if now == mark {
			return
		}
		if mark = now; time.Now().After(late) {
			c.t.Fatal("the workers do not stop")
		}
	}
}

// persistent is a client that tries again for longer than a process needs to start.
func (c *cluster) persistent() *bedrock.Client {
	o := c.client.BedrockClient().Options()
	o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts, o.MaxBackoff = 40, time.Second
		o.RateLimiter = unlimited{}
	})
	return bedrock.New(o)
}

// unlimited lets a client retry as often as it has attempts.
type unlimited struct{}

func (unlimited) GetToken(context.Context, uint) (func() error, error) {
	return func() error { return nil }, nil
}
func (unlimited) AddTokens(uint) error { return nil }

func apisAreKilled(c *cluster) {
	const jobs, clients = 60, 6
	client := c.persistent()
	made := make([]*job, jobs)
	for i := range made {
		made[i] = c.prepare(1, 2)
	}
	create := func(j *job) (string, error) {
		in := c.client.Request("in/" + j.name + "/")
		j.named("m")(in)
		in.ClientRequestToken = aws.String("token-of-" + j.name)
		out, err := client.CreateModelInvocationJob(c.t.Context(), in)
		if err != nil {
			return "", err
		}
		return *out.JobArn, nil
	}
	answered := make(chan struct{}, jobs)
	var all sync.WaitGroup
	for first := range clients {
		all.Go(func() {
			for i := first; i < jobs; i += clients {
				arn, err := create(made[i])
				if err != nil {
					c.t.Errorf("create: %v", err)
				}
				made[i].arn = arn
				answered <- struct{}{}
			}
		})
	}
	for i := range 4 { // either process twice
		for range 8 {
			<-answered
		}
		api := c.process([]string{"api1", "api2"}[i%2])
		api.Kill()
		c.restart(api)
	}
	all.Wait()
	for _, j := range made {
		again, err := create(j)
		if err != nil || again != j.arn {
			c.t.Errorf("%s was made again with its token: %s, %v", j.arn, again, err)
		}
		j.watch()
	}
	for _, j := range made[:jobs-1] {
		<-j.watched
	}
	for _, j := range made[jobs-5:] {
		j.ends(completed)
	}
	if n := query(c.db, pgx.RowTo[int], `SELECT count(*)::int FROM tokens WHERE token LIKE 'token-of-%'`); n[0] != jobs {
		c.t.Errorf("%d jobs of %d tokens", n[0], jobs)
	}
}

// stopsWithin bounds the time in which a stop takes effect: a second, and the rest for a machine that is busy. A process that only
// looked at the database from time to time would take longer.
const stopsWithin = 4 * time.Second

func aStopTakesEffectEverywhere(c *cluster) {
	for _, api := range []string{"api1", "api2"} {
		j := c.busy()
		c.balance.to(target{"tcp", strings.TrimPrefix(c.process(api).At.Bedrock, "http://")})
		asked := time.Now()
		if _, err := c.client.BedrockClient().StopModelInvocationJob(c.t.Context(), &bedrock.StopModelInvocationJobInput{JobIdentifier: &j.arn}); err != nil {
			c.t.Fatal(err)
		}
		answered := time.Now()
		slow := answered.Sub(asked)
		c.direct()
		j.ends(stopped)
		sent := c.w.since(0)
		last := sent[len(sent)-1].at.Sub(answered)
		c.t.Logf("the last record was sent %s after the answer to the stop by %s", last.Round(time.Millisecond), api)
		if last > stopsWithin+10*slow {
			c.t.Errorf("a record was sent %s after the answer to the stop by %s", last, api)
		}
	}
}

func aWorkerJoinsAndAnotherLeaves(c *cluster) {
	j := c.busy()
	joined := c.add("worker4", "")
	joined.Start()
	c.sends(joined, j)
	leaves := c.process("worker3")
	if code := leaves.Stop(); code != 0 {
		c.t.Errorf("exit status %d\n%s", code, leaves.Log())
	}
	j.finish() // with no repeat at all
	c.restart(leaves)
	if code := joined.Stop(); code != 0 {
		c.t.Errorf("exit status %d\n%s", code, joined.Log())
	}
	c.all = slices.DeleteFunc(c.all, func(p *process) bool { return p == joined })
}

func everyProcessIsRestarted(c *cluster) {
	j := c.busy()
	done := make(chan struct{})
	var user sync.WaitGroup
	calls := 0
	user.Go(func() { // a client with no more retries than the SDK has by default
		client := c.client.BedrockClient()
		for {
			select {
			case <-done:
				return
			case <-time.After(20 * time.Millisecond):
			}
			if _, err := client.ListModelInvocationJobs(c.t.Context(), &bedrock.ListModelInvocationJobsInput{MaxResults: aws.Int32(5)}); err != nil {
				c.t.Errorf("a client sees: %v", err)
			}
			calls++
		}
	})
	for _, p := range c.all {
		if code := p.Stop(); code != 0 {
			c.t.Errorf("%s: exit status %d\n%s", p.name, code, p.Log())
		}
		c.restart(p)
	}
	close(done)
	user.Wait()
	c.t.Logf("%d calls", calls)
	j.finish()
}

// Several workers have the limit of a model server together, whoever joins or leaves. While they divide it anew, it may be exceeded by a quarter.
func workersShareALimit(c *cluster) {
	c.w.takes(answerTime)
	j := c.begin("shared", 30, 128)
	j.runs(0.1)
	joined := c.add("worker5", "")
	joined.Start()
	c.w.more(c.t, 200)
	for _, p := range []*process{joined, c.process("worker2")} {
		if code := p.Stop(); code != 0 {
			c.t.Errorf("exit status %d\n%s", code, p.Log())
		}
		c.w.more(c.t, 100)
	}
	c.all = slices.DeleteFunc(c.all, func(p *process) bool { return p == joined })
	c.restart(c.process("worker2"))
	j.finish()
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	c.t.Logf("at most %d requests were in flight", c.w.most["shared"])
	if most := sharedSlots * 5 / 4; c.w.most["shared"] > most {
		c.t.Errorf("%d requests were in flight; want no more than %d", c.w.most["shared"], most)
	}
}

// anyFaults draws faults from a seed, which BATHOLITH_SEED repeats.
func anyFaults(c *cluster) {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("BATHOLITH_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			c.t.Fatal(err)
		}
	}
	c.t.Logf("BATHOLITH_SEED=%d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	c.w.takes(answerTime)
	jobs := []*job{c.begin("m", 40, 128), c.begin("m", 40, 128)}
	for _, j := range jobs {
		j.runs(0.02)
	}
	for n := 0; n < faultsDrawn && !(jobs[0].isOver() && jobs[1].isOver()); n++ {
		f := faults[r.IntN(len(faults))]
		who := c.all[r.IntN(len(c.all))]
		if f.worker {
			who = c.workers()[r.IntN(len(c.workers()))]
		}
		long := r.IntN(250) // requests of others in the meantime
		c.t.Logf("%s, %s, for %d requests", f.name, who.name, long)
		f.begin(c, who)
		c.elapse(long)
		for _, j := range jobs {
			f.forgives(j, who)
		}
		c.mend()
		if f.name == "frozen" {
			c.signal(who, syscall.SIGCONT)
		}
		c.elapse(r.IntN(50))
	}
	c.w.takes(0)
	for _, j := range jobs {
		j.ends(completed)
	}
}

// isOver reports whether the end of the job was seen.
func (j *job) isOver() bool {
	select {
	case <-j.watched:
		return true
	default:
		return false
	}
}

const faultsDrawn = 6

// fault is a fault that the seeded test draws. cluster.mend ends it.
type fault struct {
	name     string
	worker   bool // it happens to a worker, not to any process
	begin    func(*cluster, *process)
	forgives func(*job, *process) // repeats that it permits; called while it lasts
}

var faults = []fault{
	{"killed", false, func(_ *cluster, p *process) { p.Kill() }, lostWorker},
	{"frozen", true, func(c *cluster, p *process) { c.signal(p, syscall.SIGSTOP) }, lostWorker},
	{"cut off from the database", false, func(_ *cluster, p *process) { p.isolate(true, false) }, lostWorker},
	{"cut off from all", false, func(_ *cluster, p *process) { p.isolate(true, true) }, lostWorker},
	{"cut off from the S3", false, func(_ *cluster, p *process) { p.isolate(false, true) }, nothingLost},
	{"restarted", false, func(c *cluster, p *process) { p.Stop() }, nothingLost},
	{"its connections are reset", false, func(_ *cluster, p *process) {
		for _, x := range append(p.db, p.s3) {
			x.reset()
		}
	}, nothingLost},
	{"slow", false, func(_ *cluster, p *process) {
		for _, x := range append(p.db, p.s3) {
			x.slow(50 * time.Millisecond)
		}
	}, nothingLost},
	{"the S3 is away", false, func(c *cluster, _ *process) {
		for _, p := range c.all {
			p.s3.cut()
		}
	}, nothingLost},
	{"the database restarts", false, func(c *cluster, _ *process) {
		c.db.primary().Stop(c.t)
		c.db.primary().Launch(c.t)
	}, databaseLost},
	{"the database fails over", false, func(c *cluster, _ *process) { c.failOver() }, databaseLost},
}

func nothingLost(*job, *process) {}

// lostWorker is for a worker whose chunks others may take.
func lostWorker(j *job, p *process) {
	if strings.HasPrefix(p.name, "worker") {
		j.forgives(p)
		j.may += slots // it may be sending
	}
}

// databaseLost is for an outage that may be longer than a lease.
func databaseLost(j *job, _ *process) {
	for _, p := range j.c.workers() {
		lostWorker(j, p)
	}
}

// elapse waits for so many requests, or until none comes for two leases, because nobody can send.
func (c *cluster) elapse(requests int) {
	c.t.Helper()
	for mark := c.w.mark(); c.w.mark() < mark+requests; {
		before := c.w.mark()
		select {
		case <-c.w.next():
		case <-time.After(8 * time.Second):
			if c.w.mark() == before {
				return
			}
		}
	}
}
