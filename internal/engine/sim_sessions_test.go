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

// A job that is longer than its sessions, and a token service that is away in the middle of it: every record once.
func TestAJobOutlastsItsSessionsAndAnOutageOfTheTokenService(t *testing.T) {
	simulate(t, 1, slowModel, func(s *simulation) {
		tokens := s.assumed()
		j := s.create("m0", 24*time.Hour, 90)
		w := s.worker("w")
		w.start()
		time.Sleep(100 * time.Second)
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
		j := s.create("m0", 24*time.Hour, 90)
		w := s.worker("w")
		w.start()
		time.Sleep(100 * time.Second)
		tokens.Set(func(s *objecttest.TokenService) { s.Denied = true })
		tokens.Forget()
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		job := s.find(j)
		if job.Status != batholith.StatusFailed || job.Kept != batholith.KeptWaiting || job.Counts.Processed < 48 || !strings.Contains(job.Message, "the role r is revoked") || !strings.Contains(job.Message, "trust policy") {
			s.t.Errorf("the job is %s (%s), kept %q, %+v", job.Status, job.Message, job.Kept, job.Counts)
		}
		tokens.Set(func(s *objecttest.TokenService) { s.Denied = false })
		if err := s.db.PublishKept(s.t.Context(), simAccount, j.id); err != nil {
			s.t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		w.stop()
		s.check(j, batholith.StatusFailed)
		if now := s.find(j); now.Kept != "" || int64(s.lines(j, 0)) != job.Counts.Processed {
			s.t.Errorf("%d of %d finished records are published, kept %q", s.lines(j, 0), job.Counts.Processed, now.Kept)
		}
	})
}
