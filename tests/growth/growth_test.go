// Package growth runs the real program from one process on SQLite to several on PostgreSQL, and from one version to the next.
package growth

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/bedrock/types"

	"github.com/batholith/batholith/internal/failpoint"
	"github.com/batholith/batholith/internal/pgtest"
	"github.com/batholith/batholith/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// slots is the number of requests that each server sends at once.
const slots = 8

// model is the settings of a model server.
func model(w *harness.Witness) string {
	return harness.Model(w.URL, fmt.Sprint(", max_in_flight: ", slots))
}

// migrate runs batholith migrate for the data directory of a server.
func migrate(t *testing.T, s *harness.Server, to string, env ...string) (said string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), harness.Binary(t), "migrate", "--data", s.Data, "--to", to)
	cmd.Dir, cmd.Env = s.Dir, append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// preview runs batholith migrate --check, which changes nothing.
func preview(t *testing.T, s *harness.Server, to string) (said string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), harness.Binary(t), "migrate", "--check", "--data", s.Data, "--to", to).CombinedOutput()
	if err != nil {
		t.Errorf("migrate --check: %v\n%s", err, out)
	}
	return string(out)
}

// complete waits for the end of a job and compares its output.
func complete(t *testing.T, s *harness.Server, job string, records int) {
	t.Helper()
	out := s.End(job)
	if out.Status != types.ModelInvocationJobStatusCompleted {
		t.Fatalf("the job ended %s: %s\n%s", out.Status, harness.Told(out), s.Log())
	}
	lines := s.Lines(job, "a.jsonl.out")
	if len(lines) != records || aws.ToInt64(out.SuccessRecordCount) != int64(records) {
		t.Errorf("%d lines, %d succeeded; want %d", len(lines), aws.ToInt64(out.SuccessRecordCount), records)
	}
}

// A server dies with a job half done. Its jobs move to PostgreSQL, and it ends the job there, together with a worker that joins. Nothing
// that was answered and journalled is sent again.
func TestAHalfDoneJobMovesToPostgreSQLAndAnotherWorkerJoins(t *testing.T) {
	harness.EmbeddedS3Only(t)
	const records = 400
	to := pgtest.Shared(t).Database(t)
	w := harness.NewWitness(t, 5*time.Millisecond)
	s := harness.New(t, model(w))
	if !s.StartTo("results.journalled:150") {
		t.Fatal("the server died before it was ready")
	}
	s.Put("in/a.jsonl", harness.Prompts(records))
	job := s.Create("in/a.jsonl")
	s.Died()
	w.Idle(t)
	before, _, _ := w.Requests()

	// A move that dies is ended by its repetition.
	for _, point := range failpoint.MovePoints() {
		if said, err := migrate(t, s, to, failpoint.Variable+"="+point.Name); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Fatalf("the move did not die at %s: %v: %s", point.Name, err, said)
		}
		if s.StartTo(""); !strings.Contains(s.Log(), "batholith migrate") {
			t.Errorf("after %s the server does not say how to go on: %s", point.Name, s.Log())
		}
	}
	said, err := migrate(t, s, to)
	if err != nil || !strings.Contains(said, "batholith serve") || !strings.Contains(said, "s3.endpoint") {
		t.Fatalf("%v: %s", err, said)
	}
	if said, err = migrate(t, s, to); err != nil || !strings.Contains(said, "earlier run") {
		t.Errorf("a repetition: %v: %s", err, said)
	}
	if s.StartTo(""); !strings.Contains(s.Log(), "--store postgres://") {
		t.Errorf("the server does not say where its jobs are: %s", s.Log())
	}

	s.Flags("--store", to)
	s.Start()
	worker := harness.Beside(t, s, model(w), "--store", to, "--roles", "worker")
	worker.Start()
	complete(t, s, job, records)
	all, prompts, _ := w.Requests()
	// In flight at the death were at most as many records as there are slots; they are sent again.
	if prompts != records || all > records+slots {
		t.Errorf("%d requests for %d records, %d of them before the move; at most %d were in flight", all, prompts, before, slots)
	}
	if code := worker.Stop(); code != 0 {
		t.Errorf("the worker ends with %d\n%s", code, worker.Log())
	}
}

func TestARunningServerIsNotMoved(t *testing.T) {
	harness.EmbeddedS3Only(t)
	to := pgtest.Shared(t).Database(t)
	s := harness.Start(t, model(harness.NewWitness(t, 0)))
	said, err := migrate(t, s, strings.Replace(to, "postgres@", "postgres:geheim@", 1))
	if err == nil || !strings.Contains(said, "--store-password-env") || strings.Contains(said, "geheim") {
		t.Errorf("a password in a flag: %v: %s", err, said)
	}
	if said, err = migrate(t, s, to); err == nil || !strings.Contains(said, "in use by process") || !strings.Contains(said, "stop it") {
		t.Errorf("%v: %s", err, said)
	}
	if said := preview(t, s, to); !strings.Contains(said, "0 jobs (0 not ended) would be moved") || !strings.Contains(said, "stop it before the move") {
		t.Error(said)
	}
	s.Stop()
	if said := preview(t, s, to); !strings.Contains(said, "0 jobs (0 not ended) would be moved") || strings.Contains(said, "stop it") {
		t.Error(said)
	}
	if said, err = migrate(t, s, to, "PGPASSWORD=geheim"); err != nil || strings.Contains(said, "geheim") {
		t.Errorf("%v: %s", err, said)
	}
}

// A program of the next version joins and migrates the database. The old one goes on beside it, and also after a restart.
func TestOldAndNewProgramsWorkSideBySide(t *testing.T) {
	harness.EmbeddedS3Only(t)
	const records = 300
	store := pgtest.Shared(t).Database(t)
	w := harness.NewWitness(t, 10*time.Millisecond)
	old := harness.New(t, model(w), "--store", store)
	old.Start()
	old.Put("in/a.jsonl", harness.Prompts(records))
	job := old.Create("in/a.jsonl")
	w.Await(t, 20)
	newer := harness.Beside(t, old, model(w), "--store", store, "--roles", "worker")
	newer.Program = harness.NextBinary(t)
	newer.Start()
	old.Stop()
	listen := strings.TrimPrefix(old.At.S3, "http://")
	old.Flags("--s3-listen", listen) // where the worker expects it
	old.Start()
	complete(t, old, job, records)
	if all, prompts, _ := w.Requests(); all != prompts {
		t.Errorf("%d requests for %d records", all, prompts)
	}
	// Both can take the next job alone.
	newer.Stop()
	old.Put("b/a.jsonl", harness.PromptsFrom(records, 20))
	complete(t, old, old.Create("b/a.jsonl"), 20)
	old.Stop()
	old.Program = harness.NextBinary(t)
	old.Start()
	old.Put("c/a.jsonl", harness.PromptsFrom(records+20, 20))
	complete(t, old, old.Create("c/a.jsonl"), 20)
}

// The API is the first to be replaced by the next version, which has a feature that the worker does not know. The worker leaves the jobs alone
// that need it, also if they are stopped, and does all others; the note says why they wait. The next version of the worker does them.
func TestAWorkerLeavesJobsAloneThatNeedTheNextVersion(t *testing.T) {
	harness.EmbeddedS3Only(t)
	const records = 50
	store := pgtest.Shared(t).Database(t)
	w := harness.NewWitness(t, time.Millisecond)
	s3 := harness.Start(t, "")
	api := harness.Beside(t, s3, model(w), "--store", store, "--roles", "api")
	api.Program = harness.NextBinary(t)
	api.Start()
	worker := harness.Beside(t, s3, model(w), "--store", store, "--roles", "worker")
	worker.Start()
	for i, name := range []string{"needs", "stopped", "plain"} {
		api.Put(name+"/a.jsonl", harness.PromptsFrom(i*records, records))
	}
	create := func(name string, tags ...types.Tag) string {
		return api.Create(name+"/a.jsonl", func(in *bedrock.CreateModelInvocationJobInput) { in.JobName, in.Tags = aws.String(name), tags })
	}
	next := types.Tag{Key: aws.String("batholith:next"), Value: aws.String("1")}
	needs, stopped := create("needs", next), create("stopped", next)
	api.Until(needs, func(j *harness.Job) bool {
		return strings.Contains(harness.Told(j), "The job needs features that no running worker has (next), so it waits")
	})
	if _, err := api.BedrockClient().StopModelInvocationJob(t.Context(), &bedrock.StopModelInvocationJobInput{JobIdentifier: &stopped}); err != nil {
		t.Fatal(err)
	}
	complete(t, api, create("plain"), records)
	for arn, want := range map[string]types.ModelInvocationJobStatus{needs: types.ModelInvocationJobStatusSubmitted, stopped: types.ModelInvocationJobStatusStopping} {
		if j := api.Job(arn); j.Status != want {
			t.Errorf("a job that the worker must leave alone is %s; want %s", j.Status, want)
		}
	}
	if all, _, _ := w.Requests(); all != records {
		t.Errorf("%d requests for %d records", all, records)
	}
	worker.Stop()
	worker.Program = harness.NextBinary(t)
	worker.Start()
	complete(t, api, needs, records)
	if j := api.End(stopped); j.Status != types.ModelInvocationJobStatusStopped {
		t.Errorf("the stopped job ended %s", j.Status)
	}
	if all, prompts, _ := w.Requests(); all != prompts || all != 2*records {
		t.Errorf("%d requests for %d records", all, 2*records)
	}
}

// The program is replaced by the next version in the middle of a job: after an orderly end, and after a kill. Only what was in flight is sent
// again. The former version goes on beside the newer schema of PostgreSQL, and refuses that of SQLite with what to do.
func TestTheNextVersionGoesOnInTheMiddleOfAJob(t *testing.T) {
	harness.EmbeddedS3Only(t)
	const records, before = 200, 50
	ends := map[string]func(*harness.Server){
		"stopped": func(s *harness.Server) { s.Stop() },
		"killed":  func(s *harness.Server) { s.Kill() },
	}
	for name, end := range ends {
		for _, shared := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ",PostgreSQL=", shared), func(t *testing.T) {
				w := harness.NewWitness(t, 5*time.Millisecond)
				s := harness.New(t, model(w))
				if shared {
					s.Flags("--store", pgtest.Shared(t).Database(t))
				}
				s.Start()
				s.Put("in/a.jsonl", harness.Prompts(records))
				job := s.Create("in/a.jsonl")
				w.Await(t, before)
				end(s)
				w.Idle(t)
				s.Program = harness.NextBinary(t)
				s.Start()
				complete(t, s, job, records)
				if all, prompts, _ := w.Requests(); prompts != records || all > records+slots {
					t.Errorf("%d requests for %d records; at most %d were in flight", all, prompts, slots)
				}
				s.Stop()
				s.Program = ""
				switch ready := s.StartTo(""); {
				case shared && !ready:
					t.Errorf("the former version does not go on: %s", s.Log())
				case !shared && (ready || !strings.Contains(s.Log(), "restore a backup that was made before")):
					t.Errorf("the former version is not refused with what to do: %s", s.Log())
				}
			})
		}
	}
}
