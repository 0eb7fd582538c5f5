package engine

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/authz"
)

// actions are the S3 actions of a bucket's calls.
var actions = map[string]string{"Head": "s3:GetObject", "Read": "s3:GetObject", "List": "s3:ListBucket", "Put": "s3:PutObject", "Delete": "s3:DeleteObject",
	"CreateUpload": "s3:PutObject", "UploadPart": "s3:PutObject", "CompleteUpload": "s3:PutObject", "AbortUpload": "s3:AbortMultipartUpload", "ListUploads": "s3:ListBucketMultipartUploads"}

// policed has a policy file decide on the calls of the jobs' role "r", as the embedded S3 does: for a role, only a policy that forbids counts.
// change replaces the file, which the server then follows.
func (s *simulation) policed() (change func(policies string)) {
	s.t.Helper()
	file := filepath.Join(s.t.TempDir(), "policy.cedar")
	change = func(policies string) {
		if err := os.WriteFile(file, []byte("permit(principal, action, resource);\n"+policies), 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	change("")
	policies, err := authz.Open(file, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = policies.Run(ctx) }()
	s.t.Cleanup(func() { cancel(); <-done })
	s.bucket.SetFault(func(op, key string) (apply bool, err error) {
		r := authz.Request{Who: authz.Identity{Account: simAccount, Principal: "r"}, Action: actions[op], Context: map[string]string{"key": key, "prefix": key},
			Resource: authz.Resource{Type: authz.TypeBucket, ID: "box", Account: simAccount}}
		if d := policies.Decide(ctx, r); !d.Allowed && d.Explicit {
			return false, fmt.Errorf("%s %s: %w", op, key, batholith.ErrAccessDenied)
		}
		return true, nil
	})
	return change
}

// A policy that forbids everything to the role of a running job is a revoked role: the job fails after two denials, 60 s apart, and its finished
// results are kept. They are written when the policy is gone.
func TestAPolicyThatForbidsTheRoleOfARunningJobRevokesIt(t *testing.T) {
	simulate(t, 1, slowModel, func(s *simulation) {
		change := s.policed()
		j, w := s.runs()
		change(`forbid(principal == Principal::"r", action in Action::"s3:*", resource);`)
		time.Sleep(50 * time.Second)
		synctest.Wait()
		if job := s.find(j); job.Status != batholith.StatusInProgress {
			s.t.Errorf("after 50 s the job is %s (%s)", job.Status, job.Message)
		}
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		job := s.isRevoked(j, "")
		change("")
		time.Sleep(5 * time.Second) // until the file is read
		s.publishesKept(job, j, w)
	})
}

// A job acts as its role. What its owner may no longer do stops no job, and neither does a denial that ends in time.
func TestAPolicyStopsARunningJobByItsRoleOnly(t *testing.T) {
	for name, policy := range map[string]string{
		"the owner may do nothing":         `forbid(principal == Principal::"owner", action, resource);`,
		"nobody may create or pass a role": `forbid(principal, action in [Action::"bedrock:CreateModelInvocationJob", Action::"bedrock:InvokeModel", Action::"iam:PassRole"], resource);`,
		"the role may not write":           `forbid(principal == Principal::"r", action == Action::"s3:PutObject", resource);`,
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, 1, slowModel, func(s *simulation) {
				change := s.policed()
				j := s.adopt(s.nextID(), "m0", 90)
				s.submit(j, "owner", 24*time.Hour)
				w := s.worker("w")
				w.start()
				time.Sleep(100 * time.Second)
				change(policy)
				time.Sleep(3 * time.Minute)
				synctest.Wait()
				writes := strings.Contains(name, "write")
				if job := s.find(j); job.Status.Terminal() == writes || writes && !strings.Contains(job.Note, "denied") {
					s.t.Errorf("the job is %s (%s), noted %q", job.Status, job.Message, job.Note)
				}
				change("")
				time.Sleep(5 * time.Minute)
				synctest.Wait()
				w.stop()
				s.check(j, batholith.StatusCompleted)
			})
		})
	}
}
