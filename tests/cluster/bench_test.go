package cluster

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/jackc/pgx/v5"

	"github.com/batholith/batholith/internal/pgtest"
	"github.com/batholith/batholith/tests/harness"
)

// `make bench-cluster` runs these benchmarks, each once. All processes run on one machine, so they share its processors: besides the rate there
// is always the CPU time.

// BenchmarkWorkers measures the rate of one job with several workers. Each worker sends 64 requests at once, of 250 ms each, so that the model
// server is not the limit and 256 records a second are possible for each worker.
func BenchmarkWorkers(b *testing.B) {
	const atOnce, takes, each = 64, 250 * time.Millisecond, 128
	for _, n := range []int{1, 2, 4} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			c := newClusterOf(b, 1, n, atOnce, "")
			c.w.takes(takes)
			c.look = time.Second // the test's own calls are transactions too
			files := 40 * n
			c.settle()
			idle, from := c.transactions(), time.Now()
			<-time.After(10 * time.Second) // what the processes do without a job
			perSecond := float64(c.transactions()-idle) / time.Since(from).Seconds()
			cpu, transactions := c.cpu(), c.transactions()
			b.ResetTimer()
			j := c.begin("m", files, each)
			<-j.watched
			b.StopTimer()
			c.settle()
			sent := c.w.since(0)
			took := sent[len(sent)-1].at.Sub(sent[0].at) + takes
			rate := float64(j.records()) / took.Seconds()
			thousands := float64(j.records()) / 1000
			b.ReportMetric(rate, "records/s")
			b.ReportMetric(rate/(float64(n)*atOnce/takes.Seconds()), "of-ideal")
			for who, used := range c.cpu() {
				b.ReportMetric((used-cpu[who]).Seconds()/thousands, who+"-CPU-s/1000")
			}
			b.ReportMetric(float64(c.transactions()-transactions)/thousands, "transactions/1000")
			b.ReportMetric(perSecond, "idle-transactions/s")
			j.ends(completed)
		})
	}
}

// BenchmarkTakeOver measures how long after a kill all chunks of a worker are leased by others.
func BenchmarkTakeOver(b *testing.B) {
	const kills = 10
	c := newCluster(b, "")
	var all []time.Duration
	for i := range kills {
		j, lost := c.busy(), c.process(fmt.Sprint("worker", 1+i%3))
		j.holds(lost)
		since := time.Now()
		lost.Kill()
		for len(j.holds(lost)) > 0 {
			<-time.After(10 * time.Millisecond)
		}
		all = append(all, time.Since(since))
		j.forgives(lost)
		c.restart(lost)
		j.finish()
	}
	slices.Sort(all)
	b.ReportMetric(all[len(all)/2].Seconds(), "median-s")
	b.ReportMetric(all[len(all)-1].Seconds(), "most-s")
}

// BenchmarkAPI measures the latency of the API's operations with many jobs in the database, asked one after another.
func BenchmarkAPI(b *testing.B) {
	for _, jobs := range []int{100_000, 1_000_000} {
		b.Run(strconv.Itoa(jobs), func(b *testing.B) {
			const calls = 300
			c := newClusterOf(b, 1, 1, slots, "limits: {max_active_jobs_per_model: 10000}\n")
			j := c.begin("m", 1, 2)
			j.ends(completed)
			c.process("worker1").Stop() // new jobs stay Submitted
			c.process("worker1").away = true
			c.multiply(j, jobs)
			client := c.client.BedrockClient()
			in := c.client.Request("in/" + j.name + "/")
			next := 0
			measure := func(name string, call func(n int) error) {
				var took []time.Duration
				for n := range calls {
					began := time.Now()
					if err := call(n); err != nil {
						b.Fatalf("%s: %v", name, err)
					}
					took = append(took, time.Since(began))
				}
				slices.Sort(took)
				b.ReportMetric(took[calls/2].Seconds()*1000, name+"-p50-ms")
				b.ReportMetric(took[calls*99/100].Seconds()*1000, name+"-p99-ms")
			}
			measure("create", func(int) error {
				next++
				in.JobName, in.ClientRequestToken = aws.String(fmt.Sprint("new-", next)), nil // the SDK has filled it in
				_, err := client.CreateModelInvocationJob(b.Context(), in)
				return err
			})
			measure("get", func(n int) error {
				_, err := client.GetModelInvocationJob(b.Context(), &bedrock.GetModelInvocationJobInput{JobIdentifier: aws.String(fmt.Sprintf("%012x", 1+n*(jobs/calls)))})
				return err
			})
			var page *string
			measure("list", func(int) error {
				out, err := client.ListModelInvocationJobs(b.Context(), &bedrock.ListModelInvocationJobsInput{MaxResults: aws.Int32(100), NextToken: page})
				if err == nil {
					page = out.NextToken
				}
				return err
			})
			measure("list-by-status", func(int) error {
				_, err := client.ListModelInvocationJobs(b.Context(), &bedrock.ListModelInvocationJobsInput{MaxResults: aws.Int32(100), StatusEquals: "Submitted"})
				return err
			})
			measure("list-by-name", func(n int) error {
				_, err := client.ListModelInvocationJobs(b.Context(), &bedrock.ListModelInvocationJobsInput{MaxResults: aws.Int32(100), NameContains: aws.String(fmt.Sprintf("copy-%d", 1000+n))})
				return err
			})
		})
	}
}

// multiply makes the database have that many jobs, as copies of one that has ended.
func (c *cluster) multiply(j *job, jobs int) {
	c.t.Helper()
	columns := query(c.db, pgx.RowTo[string], `SELECT column_name FROM information_schema.columns WHERE table_name = 'jobs' AND column_name NOT IN ('id', 'seq', 'name')`)
	id := harness.ID(j.arn)
	pgtest.Exec(c.t, c.db.primary().URL(c.db.name),
		fmt.Sprintf(`INSERT INTO jobs (id, seq, name, %[1]s) SELECT lpad(to_hex(n), 12, '0'), seq + n, 'copy-' || n, %[1]s FROM jobs, generate_series(1, %[2]d) AS n WHERE id = '%[3]s'`,
			strings.Join(columns, ", "), jobs-1, id),
		fmt.Sprintf(`UPDATE accounts SET seq = seq + %d`, jobs),
		"VACUUM ANALYZE jobs")
}

// settle waits until the statistics of the database are up to date: sessions report theirs once a second.
func (c *cluster) settle() { <-time.After(1500 * time.Millisecond) }

// transactions is how many transactions the database has committed, apart from those of the test.
func (c *cluster) transactions() int64 {
	c.t.Helper()
	n := query(c.db, pgx.RowTo[int64], `SELECT xact_commit FROM pg_stat_database WHERE datname = $1`, c.db.name)
	return n[0]
}

// cpu is the CPU time of the processes so far, by what they are.
func (c *cluster) cpu() map[string]time.Duration {
	c.t.Helper()
	all := map[string]time.Duration{"S3": cpuOf(c.t, c.s3.PID(), false), "PostgreSQL": 0}
	for _, p := range c.all {
		all[strings.TrimRight(p.name, "0123456789")] += cpuOf(c.t, p.PID(), false)
	}
	for _, node := range c.db.nodes {
		text, err := os.ReadFile(filepath.Join(filepath.Dir(node.Socket()), "data", "postmaster.pid"))
		if err != nil {
			c.t.Fatal(err)
		}
		line, _, _ := strings.Cut(string(text), "\n")
		pid, err := strconv.Atoi(line)
		if err != nil {
			c.t.Fatal(err)
		}
		all["PostgreSQL"] += cpuOf(c.t, pid, true)
	}
	return all
}

// cpuOf is the CPU time of a process, with that of its children, also those that have ended.
func cpuOf(t testing.TB, pid int, children bool) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0 // it has ended
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest) // from the third on: utime, stime, cutime and cstime are 14 to 17
	last := 13
	if children {
		last = 15
	}
	sum := time.Duration(0)
	for _, f := range fields[11:last] {
		ticks, err := strconv.Atoi(f)
		if err != nil {
			t.Fatal(err)
		}
		sum += time.Duration(ticks) * time.Second / 100
	}
	if !children {
		return sum
	}
	ids, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	for _, id := range strings.Fields(string(ids)) {
		child, err := strconv.Atoi(id)
		if err != nil {
			t.Fatal(err)
		}
		sum += cpuOf(t, child, false)
	}
	return sum
}
