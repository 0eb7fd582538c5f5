package engine

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/object"
	"github.com/batholith/batholith/internal/object/objecttest"
	"github.com/batholith/batholith/internal/simlm"
)

// slowModel takes half a minute for each sixteen records.
var slowModel = simSetup{calm: true, latency: 30 * time.Second, failures: &simlm.Failures{}}

// assumed has the jobs of the simulation reach the bucket in sessions of a role, of a minute each.
func (s *simulation) assumed() *objecttest.TokenService {
	tokens, s3, places := assuming(s.t, time.Minute, Role{ARN: assumedRole, Assume: &object.Role{}})
	s.bucket = s3.Memory
	s.place = func(ctx context.Context, j batholith.Job) (blob.Place, error) {
		j.RoleARN, j.Input.URI, j.Output.URI = assumedRole, "s3://box/in/"+j.ID+"/", "s3://box/out"
		return places.Open(ctx, j)
	}
	return tokens
}

func (s *simulation) find(j *simJob) batholith.Job {
	s.t.Helper()
	job, err := s.db.Find(s.t.Context(), j.id)
	if err != nil {
		s.t.Fatal(err)
	}
	return job
}

// runs creates a job of 90 records, and starts a worker w, which has worked for 100 s when it returns.
func (s *simulation) runs() (j *simJob, w *worker) {
	s.t.Helper()
	j, w = s.create("m0", 24*time.Hour, 90), s.worker("w")
	w.start()
	time.Sleep(100 * time.Second)
	return j, w
}

// isRevoked checks that a job has failed because of its role, and waits with its finished records. cause is a part of the job's message.
func (s *simulation) isRevoked(j *simJob, cause string) batholith.Job {
	s.t.Helper()
	job := s.find(j)
	if job.Status != batholith.StatusFailed || job.Kept != batholith.KeptWaiting || job.Counts.Processed < 48 || !strings.Contains(job.Message, "the role r is revoked") || !strings.Contains(job.Message, cause) {
		s.t.Errorf("the job is %s (%s), kept %q, %+v", job.Status, job.Message, job.Kept, job.Counts)
	}
	return job
}

// publishesKept checks that the finished records of a job that is revoked are published when that is asked for.
func (s *simulation) publishesKept(revoked batholith.Job, j *simJob, w *worker) {
	s.t.Helper()
	if err := s.db.PublishKept(s.t.Context(), simAccount, j.id); err != nil {
		s.t.Fatal(err)
	}
	time.Sleep(time.Minute)
	synctest.Wait()
	w.stop()
	s.check(j, batholith.StatusFailed)
	if now := s.find(j); now.Kept != "" || int64(s.lines(j, 0)) != revoked.Counts.Processed {
		s.t.Errorf("%d of %d finished records are published, kept %q", s.lines(j, 0), revoked.Counts.Processed, now.Kept)
	}
}

// A job that is longer than its sessions, and a token service that is away in the middle of it: every record once.
func TestAJobOutlastsItsSessionsAndAnOutageOfTheTokenService(t *testing.T) {
	simulate(t, 1, slowModel, func(s *simulation) {
		tokens := s.assumed()
		j, w := s.runs()
		if n := len(tokens.Asked()); n < 2 {
			s.t.Errorf("the token service was asked %d times in 100 s", n)
		}
		tokens.Set(func(s *objecttest.TokenService) { s.Away = objecttest.ErrNoRoute })
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if job := s.find(j); job.Status != batholith.StatusInProgress || !strings.Contains(job.Note, "nothing is lost meanwhile") || !strings.Contains(job.Note, assumedRole) {
			s.t.Errorf("during the outage the job is %s, noted %q, %q", job.Status, job.Note, job.Message)
		}
		tokens.Set(func(s *objecttest.TokenService) { s.Away = nil })
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		w.stop()
		s.check(j, batholith.StatusCompleted)
		for _, a := range tokens.Asked() {
			if a.Form.Get("RoleSessionName") != "batholith-"+j.id || a.SourceARN != s.find(j).ARN().String() {
				s.t.Fatalf("session %q on behalf of %q", a.Form.Get("RoleSessionName"), a.SourceARN)
			}
		}
	})
}

// A role that is revoked in the middle of a job fails it, some minutes after its last session. What was finished is kept, and is
// written when the role is allowed again.
func TestARoleThatIsRevokedInTheMiddleKeepsWhatIsFinished(t *testing.T) {
	simulate(t, 1, slowModel, func(s *simulation) {
		tokens := s.assumed()
		j, w := s.runs()
		tokens.Set(func(s *objecttest.TokenService) { s.Denied = true })
		tokens.Forget()
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		job := s.isRevoked(j, "trust policy")
		tokens.Set(func(s *objecttest.TokenService) { s.Denied = false })
		s.publishesKept(job, j, w)
	})
}
