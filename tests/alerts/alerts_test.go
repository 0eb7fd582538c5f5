package alerts

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"

	"github.com/batholith/batholith/internal/pgtest"
	"github.com/batholith/batholith/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// tested are the alerts that the tests below make fire.
var tested = []string{"BatholithBackendDown", "BatholithBackendFails", "BatholithBackendRefuses", "BatholithBucketAway", "BatholithDatabaseAway", "BatholithDiskFull",
	"BatholithDown", "BatholithJobLate", "BatholithJobsExpired", "BatholithJournalFailing", "BatholithNoWorker", "BatholithResultsKept", "BatholithWorkerLost"}

func TestEveryAlertIsTried(t *testing.T) {
	w := watch(t)
	for _, r := range w.rules {
		if !slices.Contains(tested, r.Alert) {
			t.Errorf("no test makes %s fire", r.Alert)
		}
		for _, what := range []string{"summary", "description"} {
			if r.Annotations[what] == "" {
				t.Errorf("%s has no %s", r.Alert, what)
			}
		}
		if s := r.Labels["severity"]; s != "critical" && s != "warning" {
			t.Errorf("%s has the severity %q", r.Alert, s)
		}
	}
	if len(w.rules) != len(tested) {
		t.Errorf("%d rules, %d of which are known here", len(w.rules), len(tested))
	}
}

func TestAlertsAboutAModelServer(t *testing.T) {
	model := harness.NewWitness(t, 0)
	status := http.StatusOK
	model.Answer = func(w http.ResponseWriter, _ string, _ int) bool {
		if status == http.StatusOK {
			return false
		}
		http.Error(w, `{"error":{"message":"no"}}`, status)
		return true
	}
	s := harness.Start(t, harness.Model(model.URL, ""))
	s.Put("a.jsonl", harness.Prompts(3))
	s.End(s.Create("a.jsonl"))
	w := watch(t, s)
	w.quiet()

	status = http.StatusInternalServerError // of the next requests
	job := s.Create("a.jsonl", func(in *bedrock.CreateModelInvocationJobInput) { in.JobName = aws.String("fails") })
	w.fires("BatholithBackendFails")
	w.fires("BatholithBackendRefuses")
	address := model.Address()
	model.Close()
	w.fires("BatholithBackendDown")
	status = http.StatusOK
	model.Listen(t, address)
	s.End(job)
	w.ends("BatholithBackendDown")
	w.ends("BatholithBackendFails")
	w.ends("BatholithBackendRefuses")
	for _, said := range []string{`msg="records of the job wait" job=` + harness.ID(job), `msg="records of the job are sent again" job=` + harness.ID(job)} {
		if !strings.Contains(s.Log(), said) {
			t.Errorf("the log does not say %s", said)
		}
	}
	s.Kill()
	w.fires("BatholithDown")
}

func TestAnAlertAboutAJobThatWillBeLate(t *testing.T) {
	slow := harness.NewWitness(t, 50*time.Millisecond)
	s := harness.Start(t, "limits: {hour: 1s, min_timeout_hours: 1}\n"+harness.Model(slow.URL, ", max_in_flight: 1"))
	s.Put("a.jsonl", harness.Prompts(3000))
	w := watch(t, s)
	w.round()
	late := s.Create("a.jsonl") // 24 s, for what takes 150 s
	w.fires("BatholithJobLate")
	if _, err := s.BedrockClient().StopModelInvocationJob(t.Context(), &bedrock.StopModelInvocationJobInput{JobIdentifier: &late}); err != nil {
		t.Fatal(err)
	}
	s.End(late)
	s.End(s.Create("a.jsonl", func(in *bedrock.CreateModelInvocationJobInput) {
		in.JobName, in.TimeoutDurationInHours = aws.String("expires"), aws.Int32(1)
	}))
	w.fires("BatholithJobsExpired")
}

func TestAnAlertAboutAFullDisk(t *testing.T) {
	model := harness.NewWitness(t, 5*time.Millisecond)
	s := harness.StartOnDisk(t, 64, harness.Model(model.URL, ", max_in_flight: 8"))
	s.Put("a.jsonl", harness.Prompts(3000))
	w := watch(t, s)
	w.round()
	job := s.Create("a.jsonl")
	model.Await(t, 100)
	filler := filepath.Join(s.Data, "filler")
	fill(t, filler)
	w.fires("BatholithDiskFull")
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	w.ends("BatholithDiskFull")
	s.End(job)
}

// Only the journal is on the full disk: the server goes on, and what it finishes is safe as soon as it is stored.
func TestAnAlertAboutAJournalThatCannotBeWritten(t *testing.T) {
	model := harness.NewWitness(t, 5*time.Millisecond)
	s := harness.StartWithDisk(t, "journal", 8, harness.Model(model.URL, ", max_in_flight: 8"))
	s.Put("a.jsonl", harness.Prompts(2000))
	w := watch(t, s)
	w.round()
	filler := filepath.Join(s.Data, "journal", "filler")
	fill(t, filler)
	job := s.Create("a.jsonl")
	w.fires("BatholithJournalFailing")
	if firing := w.round(); slices.Contains(firing, "BatholithDiskFull") {
		t.Errorf("%v fire, although the disk of the data directory has room", firing)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	s.End(job)
	s.Put("b.jsonl", harness.Prompts(20))
	s.End(s.Create("b.jsonl", func(in *bedrock.CreateModelInvocationJobInput) { in.JobName = aws.String("after") }))
	w.ends("BatholithJournalFailing")
	if n := len(s.Lines(job, "a.jsonl.out")); n != 2000 {
		t.Errorf("the output has %d lines, want 2000", n)
	}
}

// The role of a job loses its right to write the output, and has it again later.
func TestAnAlertAboutResultsThatAreKept(t *testing.T) {
	harness.EmbeddedS3Only(t)
	model := harness.NewWitness(t, 5*time.Millisecond)
	settings := func(buckets ...string) string {
		return "limits: {hour: 100ms}\n" + harness.Allowed(buckets...) + harness.Model(model.URL, ", max_in_flight: 4") // a job has 24 hours
	}
	s := harness.Start(t, settings(harness.Inbox, harness.Bucket))
	w := watch(t, s)
	s.PutInbox("in/a.jsonl", harness.Prompts(3000))
	job := s.Create("in/", harness.AsNarrowRole)
	s.Until(job, func(j *harness.Job) bool { return aws.ToInt64(j.ProcessedRecordCount) > 0 })
	s.Stop()
	s.Settings(settings(harness.Inbox))
	s.Start()
	s.KeptResults(job)
	w.fires("BatholithResultsKept")
	s.Stop()
	s.Settings(settings(harness.Inbox, harness.Bucket))
	s.Start()
	if said, err := s.PublishKept(job); err != nil {
		t.Fatalf("publish: %v\n%s", err, said)
	}
	w.ends("BatholithResultsKept")
}

// fill writes a file until the disk is full.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 1<<16); err == nil; {
		if _, err = f.Write(block); err != nil && len(block) > 1 {
			block, err = block[:1], nil // to the last byte
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}

// Two workers, an API, a PostgreSQL behind a proxy, and an S3 that is a process of its own.
func TestAlertsAboutAServiceOfSeveralProcesses(t *testing.T) {
	pg := pgtest.Start(t, pgtest.Options{})
	db := pg.Database(t)
	proxy := pg.Proxy(t)
	s3 := harness.Start(t, "")
	model := harness.NewWitness(t, 5*time.Millisecond)
	member := func(role, db string) *harness.Server {
		s := harness.Beside(t, s3, harness.Model(model.URL, ", max_in_flight: 4"), "--roles", role, "--store", db)
		s.Start()
		return s
	}
	api, a, b := member("api", db), member("worker", proxy.Through(t, db)), member("worker", db)
	front := harness.Front(t, s3, api, api.At.Bedrock)
	front.Put("a.jsonl", harness.Prompts(50))
	front.End(front.Create("a.jsonl"))
	w := watch(t, api, a, b)
	w.quiet()

	b.Kill()
	w.servers = []*harness.Server{api, a}
	w.fires("BatholithWorkerLost")
	b.Start()
	w.ends("BatholithWorkerLost")

	proxy.Decide(func(string) pgtest.Fate { return pgtest.LoseBoth })
	proxy.Cut()
	w.fires("BatholithDatabaseAway")
	proxy.Decide(nil)
	w.ends("BatholithDatabaseAway")

	front.Put("b.jsonl", harness.Prompts(2000))
	job := front.Create("b.jsonl", func(in *bedrock.CreateModelInvocationJobInput) { in.JobName = aws.String("second") })
	front.Until(job, func(j *harness.Job) bool { return aws.ToInt64(j.ProcessedRecordCount) > 0 })
	s3.Kill()
	w.servers = []*harness.Server{api, a, b}
	w.fires("BatholithBucketAway")
	a.Kill()
	b.Kill()
	w.servers = []*harness.Server{api}
	w.fires("BatholithNoWorker")
}
