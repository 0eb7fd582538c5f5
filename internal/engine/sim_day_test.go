package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/backup"
	"github.com/batholith/batholith/internal/raced"
	"github.com/batholith/batholith/internal/simlm"
	"github.com/batholith/batholith/internal/store"
)

// A day of an operator: while jobs arrive, models and their options change, servers are drained and resumed, jobs are paused and resumed, jobs
// reach their caps and get higher ones, the running database is backed up, and the process is stopped or killed now and then. In the end its
// machine is lost, and the backup is restored on another one. Each record is answered once, nothing is repeated beyond what was in flight at a
// kill, no job takes more than its cap, and nothing is left behind.
func TestADayOfChangesKeepsTheLaws(t *testing.T) {
	if raced.On {
		t.Skip("the day runs without the race detector, which makes minutes of it")
	}
	simulate(t, 1, simSetup{models: 2, calm: true, failures: &simlm.Failures{}}, func(s *simulation) {
		s.caps = func(j batholith.Job) []batholith.Cap { return batholith.CapsOf(j.Tags, "USD") }
		w := s.worker("w")
		w.start()
		synctest.Wait()
		var jobs []*simJob
		var capped []*cappedJob
		submitCapped := func() {
			c := s.createCapped(fmt.Sprint("m", s.plan.IntN(2)))
			jobs, capped = append(jobs, c.simJob), append(capped, c)
		}
		today := []func(){
			func() { jobs = append(jobs, s.create("m0", 48*time.Hour, 150, 40)) },
			func() { jobs = append(jobs, s.create("m1", 48*time.Hour, 200)) },
			func() { w.reload(func(o *ModelOptions) { o.Served = o.Served[:1] }) },
			func() { // another timeout and limit: a changed backend
				w.reload(func(o *ModelOptions) {
					for i := range o.Served {
						o.Served[i].Backends[0].Timeout, o.Served[i].Backends[0].MaxInFlight = time.Minute+s.some(time.Minute), 1+s.plan.IntN(simInFlight)
					}
				})
			},
			func() { w.reload(func(*ModelOptions) {}) },
			func() { s.must(w.p.engine.DrainBackend(s.t.Context(), "http://m0/v1", "admin")) },
			func() { s.must(w.p.engine.ResumeBackend(s.t.Context(), "http://m0/v1")) },
			func() { s.must(w.p.engine.DrainBackend(s.t.Context(), "http://m1/v1", "admin")) },
			func() { s.must(w.p.engine.ResumeBackend(s.t.Context(), "http://m1/v1")) },
			func() { s.pauseSome(jobs, true) },
			func() { s.pauseSome(jobs, false) },
			submitCapped,
			func() { s.raiseCaps(capped) },
		}
		everythingGoes := func() {
			w.reload(func(*ModelOptions) {})
			for _, model := range []string{"http://m0/v1", "http://m1/v1"} {
				s.must(w.p.engine.ResumeBackend(s.t.Context(), model))
			}
		}
		var b *savedDay
		savedAt := 6 + s.plan.IntN(12)
		for hour := range 24 {
			if hour == savedAt {
				everythingGoes()
				b = s.backUp(w)
			}
			today[s.plan.IntN(len(today))]()
			if s.plan.IntN(12) == 0 {
				w.leave()
				w.start()
			}
			time.Sleep(s.some(20 * time.Second)) // the next change comes while something is in flight
			today[s.plan.IntN(len(today))]()
			time.Sleep(time.Hour - s.some(time.Minute))
		}
		everythingGoes()
		submitCapped()
		s.resumeAll(jobs)
		time.Sleep(time.Hour)
		s.reachedCaps(capped)
		s.raiseCaps(capped)
		time.Sleep(time.Hour + longEnough)
		synctest.Wait()
		for _, j := range jobs {
			s.check(j, batholith.StatusCompleted)
		}
		s.restore(b, w, jobs)
	})
}

// cappedJob is a job with a cap that it reaches before its end.
type cappedJob struct {
	*simJob
	raised bool
}

// The cap of a capped job lets some of its records through: an answer of unknown length reserves 4096 tokens, and takes far less.
const simCap = 6000

// capReason is how the reason of a pause begins if the cap of the tag is reached.
const capReason = "the cap of the tag " + batholith.MaxTokensTag + " is reached"

func (s *simulation) createCapped(model string) *cappedJob {
	s.t.Helper()
	j := s.adopt(s.nextID(), model, 150)
	s.submit(j, "", 48*time.Hour, batholith.Tag{Key: batholith.MaxTokensTag, Value: fmt.Sprint(simCap)})
	return &cappedJob{simJob: j}
}

// raiseCaps gives the jobs that have reached their cap a higher one, and resumes them.
func (s *simulation) raiseCaps(capped []*cappedJob) {
	s.t.Helper()
	for _, c := range capped {
		job := s.find(c.simJob)
		if c.raised || !strings.HasPrefix(job.Paused.Reason, capReason) {
			continue
		}
		c.raised = true
		s.keepsCap(c)
		s.must(s.db.PutTags(s.t.Context(), job.Account, c.id, []batholith.Tag{{Key: batholith.MaxTokensTag, Value: fmt.Sprint(100 * simCap)}}, 0))
		s.must(s.db.ResumeJob(s.t.Context(), job.Account, c.id))
	}
}

// reachedCaps: a job whose cap nobody has raised is paused, and says why.
func (s *simulation) reachedCaps(capped []*cappedJob) {
	s.t.Helper()
	for _, c := range capped {
		if job := s.find(c.simJob); !c.raised && !strings.HasPrefix(job.Paused.Reason, capReason) {
			s.t.Errorf("job %s is %s with %+v, its pause says %q; want that its cap is reached", c.id, job.Status, job.Counts, job.Paused.Reason)
		}
	}
	if !slices.ContainsFunc(capped, func(c *cappedJob) bool { return !c.raised }) {
		s.t.Error("every cap was raised before the end of the day")
	}
}

// keepsCap: a job that has reached its cap has answers, and has taken no more than the cap.
func (s *simulation) keepsCap(c *cappedJob) {
	s.t.Helper()
	job := s.find(c.simJob)
	if took := job.Tokens.Input + job.Tokens.Output; took > simCap || job.Counts.Processed == 0 || job.Counts.Processed == job.Counts.Total {
		s.t.Errorf("job %s reached its cap of %d tokens with %d, and %d of %d records", c.id, simCap, took, job.Counts.Processed, job.Counts.Total)
	}
}

// resumeAll resumes all jobs.
func (s *simulation) resumeAll(jobs []*simJob) {
	s.t.Helper()
	for _, j := range jobs {
		if err := s.db.ResumeJob(s.t.Context(), s.find(j).Account, j.id); err != nil && !s.find(j).Status.Terminal() {
			s.t.Error(err)
		}
	}
}

// savedDay is a backup in the middle of a job.
type savedDay struct {
	dir string
	job *simJob // runs at the backup, and rests between it and the loss of the machine
}

// backUp saves the database and the worker's folder while both are used. The job that runs has stored records then, stores more afterwards, and is
// paused.
func (s *simulation) backUp(w *worker) *savedDay {
	s.t.Helper()
	b := &savedDay{dir: filepath.Join(s.dir, "backups"), job: s.create("m1", 48*time.Hour, 600)}
	s.stored(b.job, 1)
	site := filepath.Join(s.dir, "site") // a data directory: the backup follows links at its top
	s.must(os.Mkdir(site, 0o700))
	s.must(os.Symlink(filepath.Join(s.dir, "db"), filepath.Join(site, "batholith.db")))
	for _, name := range []string{JournalName, "kept", "worker"} {
		s.must(os.Symlink(filepath.Join(w.dir(), name), filepath.Join(site, name)))
	}
	r, err := backup.Make(s.t.Context(), b.dir, backup.Options{Data: site, Objects: backup.ObjectsExternal})
	s.must(err)
	if r.Jobs != int64(len(s.jobs)) || len(r.Lost) > 0 {
		s.t.Errorf("the backup has %d of %d jobs and lacks %v", r.Jobs, len(s.jobs), r.Lost)
	}
	s.stored(b.job, s.find(b.job).Counts.Processed+100)
	s.must(s.db.PauseJob(s.t.Context(), simAccount, b.job.id, "for the backup"))
	return b
}

// stored waits until a job has so many stored records.
func (s *simulation) stored(j *simJob, n int64) {
	s.t.Helper()
	for end := time.Now().Add(time.Hour); s.find(j).Counts.Processed < n; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("job %s is %s with %+v, want %d records", j.id, s.find(j).Status, s.find(j).Counts, n)
		}
	}
}

// restore takes the machine and the database away, restores the backup, and lets a new machine end what is not done. It asks only for records
// that the bucket does not show; jobs that ended after the backup are ended by their manifests, and those that came later are not known.
func (s *simulation) restore(b *savedDay, w *worker, jobs []*simJob) {
	s.t.Helper()
	left := int64(600) - s.find(b.job).Counts.Processed
	if left <= 0 {
		s.t.Errorf("nothing is left of job %s", b.job.id)
	}
	before := s.asked()
	w.kill()
	w.p.end(s)
	s.must(s.db.Close())

	c, err := backup.Check(s.t.Context(), b.dir)
	if s.must(err); len(c.Snapshots) != 1 || len(c.Faults) > 0 || len(c.Unknown) > 0 {
		s.t.Errorf("the check finds %d backups, faults %v, unknown jobs %v", len(c.Snapshots), c.Faults, c.Unknown)
	}
	other := s.worker("restored")
	r, err := backup.Restore(s.t.Context(), b.dir, "", other.dir())
	s.must(err)
	if s.db, err = store.Open(s.t.Context(), filepath.Join(other.dir(), "batholith.db")); err != nil {
		s.t.Fatal(err)
	}
	other.start()
	time.Sleep(longEnough)
	synctest.Wait()
	s.check(b.job, batholith.StatusCompleted)
	known := int64(1)
	for _, j := range jobs {
		job, err := s.db.Find(s.t.Context(), j.id)
		if errors.Is(err, batholith.ErrNotFound) {
			continue // it was created after the backup
		}
		s.must(err)
		known++
		if s.checkCounts(j, job); job.Status != batholith.StatusCompleted {
			s.t.Errorf("after the restoration job %s is %s", j.id, job.Status)
		}
	}
	if known != r.Jobs.Jobs || r.Jobs.Unfinished == 0 {
		s.t.Errorf("%d of %d restored jobs are there; %d were unfinished", known, r.Jobs.Jobs, r.Jobs.Unfinished)
	}
	if asked := s.asked() - before; asked != left {
		s.t.Errorf("after the restoration %d records were asked, want %d", asked, left)
	}
	other.stop()
	s.checkTraces(other)
}

// asked is how many requests for records there were.
func (s *simulation) asked() (n int64) {
	for _, asked := range s.askings() {
		n += int64(len(asked))
	}
	return n
}

// reload makes the present process use other models than those of the simulation.
func (w *worker) reload(change func(o *ModelOptions)) {
	w.s.t.Helper()
	o := w.s.modelOptions(w.p)
	slices.SortFunc(o.Served, func(a, b Served) int { return len(a.ID)*1000 + int(a.ID[1]) - len(b.ID)*1000 - int(b.ID[1]) })
	change(&o)
	apply, err := w.p.engine.Plan(Settings{Models: o, Limits: batholith.DefaultLimits()})
	if err == nil {
		err = apply()
	}
	w.s.must(err)
}

// pauseSome pauses or resumes a job of the day.
func (s *simulation) pauseSome(jobs []*simJob, pause bool) {
	s.t.Helper()
	if len(jobs) == 0 {
		return
	}
	j := jobs[s.plan.IntN(len(jobs))]
	account := s.find(j).Account
	change := s.db.ResumeJob
	if pause {
		change = func(ctx context.Context, account, id string) error {
			return s.db.PauseJob(ctx, account, id, "for a test")
		}
	}
	if err := change(s.t.Context(), account, j.id); err != nil && !s.find(j).Status.Terminal() {
		s.t.Error(err)
	}
}

func (s *simulation) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Error(err)
	}
}
