package days

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/bedrock/types"

	"github.com/batholith/batholith/tests/harness"
)

// The policies of the server with the S3 and the token service: as it begins, and when the role is revoked.
const (
	everything = "permit (principal, action, resource);\n"
	noRole     = everything + `forbid (principal, action == Action::"sts:AssumeRole", resource);
forbid (principal in Group::"` + harness.NarrowRole + `", action, resource);
`
)

// policy replaces the policies of a server. It reads them again within some seconds.
func policy(t *testing.T, s *harness.Server, text string) {
	t.Helper()
	path := filepath.Join(s.Dir, "policy.cedar")
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// Two servers: the jobs of one reach the S3 of the other in sessions of a role, which the other's token service issues. When the role is
// revoked in the middle of a job, the job fails with the cause, and what was finished is published when the role is allowed again.
func TestARoleIsAssumedAtAnotherServerUntilItIsRevoked(t *testing.T) {
	harness.EmbeddedS3Only(t)
	far := harness.New(t, "policy: policy.cedar\nroles:\n- {arn: '"+harness.NarrowRole+"', buckets: [batholith], external_id: agreed}\n")
	policy(t, far, everything)
	far.Start()
	far.Put("small.jsonl", harness.Prompts(20))
	far.Put("large.jsonl", harness.Prompts(3000))

	w := harness.NewWitness(t, 20*time.Millisecond)
	const role = "arn:aws:iam::000000000000:role/batch"
	near := harness.StartBeside(t, far, harness.Model(w.URL, ", max_in_flight: 1")+"limits: {hour: 180s}\n"+ // denied access is tried again for ten of these minutes
		"roles:\n- {arn: '"+role+"', assume: {role_arn: '"+harness.NarrowRole+"', external_id: agreed}}\n"+
		"- {arn: '"+role+"-stranger', assume: {role_arn: '"+harness.NarrowRole+"', external_id: guessed}}\n")
	as := func(role, name string) func(*bedrock.CreateModelInvocationJobInput) {
		return func(in *bedrock.CreateModelInvocationJobInput) {
			in.RoleArn, in.JobName = aws.String(role), aws.String(name)
		}
	}

	stranger := near.Create("small.jsonl", as(role+"-stranger", "stranger"))
	small := near.Create("small.jsonl", as(role, "small"))
	completed(t, near, small, 20, 0)
	if session := "session=batholith-" + harness.ID(small); !strings.Contains(far.Log(), session) {
		t.Errorf("the other server's log does not name the session %q", session)
	}
	large := near.Create("large.jsonl", as(role, "large"))
	near.Until(large, func(j *harness.Job) bool { return aws.ToInt64(j.ProcessedRecordCount) > 0 })
	policy(t, far, noRole)
	j := near.KeptResults(large)
	for _, words := range []string{"the role " + role + " is revoked", "AccessDenied", "trust policy"} {
		if !strings.Contains(*j.Message, words) {
			t.Errorf("%q is missing in %q", words, *j.Message)
		}
	}
	policy(t, far, everything)
	for said, err := near.PublishKept(large); err != nil; said, err = near.PublishKept(large) { // until the other server has read it
		if t.Context().Err() != nil || !strings.Contains(said, "AccessDenied") {
			t.Fatalf("%v: %s", err, said)
		}
	}
	j = near.PublishedKept(large)
	if lines := near.Lines(large, "large.jsonl.out"); int64(len(lines)) != *j.ProcessedRecordCount || len(lines) == 0 {
		t.Errorf("%d of %d finished records are in the output", len(lines), *j.ProcessedRecordCount)
	}

	j = near.End(stranger)
	for _, words := range []string{"Could not validate PutObject permissions to access Amazon S3 bucket: batholith", "AccessDenied", harness.NarrowRole, "assume.external_id"} {
		if j.Status != types.ModelInvocationJobStatusFailed || !strings.Contains(aws.ToString(j.Message), words) {
			t.Errorf("with a wrong external id the job is %s, %q, without %q", j.Status, aws.ToString(j.Message), words)
		}
	}
}
