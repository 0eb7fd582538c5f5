package cli

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/batholith/batholith/internal/config"
)

const farPolicies = `
permit(principal == Principal::"alice", action, resource);
forbid(principal == Principal::"alice", action, resource == Bucket::"forbidden");
permit(principal == Principal::"eve", action, resource);
permit(principal in Group::"readers", action in [Action::"bedrock:ListModelInvocationJobs", Action::"bedrock:GetModelInvocationJob", Action::"bedrock:ListFoundationModels", Action::"bedrock:GetFoundationModel"], resource);
permit(principal == Principal::"carol", action == Action::"s3:ListBucket", resource == Bucket::"batholith") when { context.prefix like "out/*" };
permit(principal == Principal::"dave", action == Action::"s3:ListBucket", resource == Bucket::"batholith");
permit(principal == Principal::"dave", action == Action::"s3:GetObject", resource == Bucket::"batholith") when { context.key like "out/*" };
permit(principal == Principal::"dave", action == Action::"bedrock:CreateModelInvocationJob", resource);
`

// startFar starts a service with policies whose S3 is that of another one, which has roles with narrow rights. The role wide is assumed there.
func startFar(t *testing.T) (s, other *site, stopOther func(), log string) {
	t.Helper()
	dir := t.TempDir()
	other, stopOther = startSite(t, filepath.Join(dir, "other"), func(c *config.Config) {
		c.Roles = append(c.Roles, config.Role{ARN: "arn:aws:iam::" + first + ":role/there", Buckets: []string{"batholith/in/", "batholith/out/"}})
	})
	policy, log := filepath.Join(dir, "p.cedar"), filepath.Join(dir, "audit.log")
	if err := os.WriteFile(policy, []byte(farPolicies), 0o600); err != nil {
		t.Fatal(err)
	}
	s, _ = startSite(t, filepath.Join(dir, "data"), func(c *config.Config) {
		c.Policy, c.Audit.File = policy, log
		c.S3.Endpoint, c.S3.AccessKeyID, c.S3.SecretAccessKey, c.S3.PathStyle = other.at.S3, "AKALICE", "alice-secret", true
		for _, name := range []string{"bob", "carol", "dave"} {
			c.Credentials = append(c.Credentials, config.Credential{AccessKeyID: "AK" + name, SecretAccessKey: name + "-secret", Principal: name, Account: first, Groups: []string{"readers"}})
		}
		c.Roles = []config.Role{{ARN: evesRole}, {ARN: "arn:aws:iam::" + first + ":role/here", Assume: &config.Assume{RoleARN: "arn:aws:iam::" + first + ":role/there"}}}
	})
	return s, other, stopOther, log
}

const farRecords = `{"recordId":"a1","modelInput":{"messages":[{"role":"user","content":"the secret question"}],"max_tokens":8}}` + "\n" +
	`{"recordId":"a2","modelInput":{"messages":[{"role":"user","content":"Hello"}],"max_tokens":"many"}}` + "\n"

// draft uploads a file of records, and returns the address of the draft and its form.
func (v *visitor) draft(t *testing.T) (at string, form url.Values, page string) {
	t.Helper()
	status, at, page := v.upload("/console/submit", "tickets.jsonl", farRecords, map[string]string{"model": "batholith.tiny-v1"})
	if status != http.StatusOK || !strings.Contains(page, "A job over this file would be accepted") {
		t.Fatalf("the validation: %d\n%s", status, page)
	}
	form = url.Values{}
	for _, m := range regexp.MustCompile(`name="(name|role|input|output)" value="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		form.Set(m[1], m[2])
	}
	return at, form, page
}

func TestTheConsoleReadsAnExternalS3WithTheRoleOfTheJob(t *testing.T) {
	s, other, stopOther, log := startFar(t)
	alice, bob, carol, dave, eve := s.visitor("AKALICE", "alice-secret"), s.visitor("AKbob", "bob-secret"), s.visitor("AKcarol", "carol-secret"), s.visitor("AKdave", "dave-secret"), s.visitor("AKEVE", "eve-secret")
	role := "arn:aws:iam::" + first + ":role/here"

	draft, form, page := alice.draft(t)
	if form.Get("role") != "arn:aws:iam::"+first+":role/batholith" || !strings.Contains(page, `<option value="`+role+`">`) || strings.Contains(page, evesRole) || form.Get("input") != "" {
		t.Fatalf("the form is %v", form)
	}
	form.Set("role", role)
	form.Set("output", "s3://batholith/out/")
	for _, c := range []struct {
		name, value, says string
		status            int
	}{
		{"input", "s3://forbidden/in/tickets.jsonl", "is not authorized to perform: s3:GetObject", 403},
		{"input", "s3://batholith/elsewhere/tickets.jsonl", "the S3 does not permit it to the role of the job", 403},
		{"input", "s3://missing/in/tickets.jsonl", "the S3 does not permit it to the role of the job", 403},
		{"role", evesRole, "Cross-account pass role is not allowed", 403},
		{"role", "nonsense", "roleArn", 400},
	} {
		wrong := url.Values{}
		for k, v := range form {
			wrong[k] = v
		}
		wrong.Set("input", "s3://batholith/in/tickets.jsonl")
		wrong.Set(c.name, c.value)
		status, _, page := alice.post(draft+"/create", wrong)
		if status != c.status || !strings.Contains(page, c.says) {
			t.Errorf("%s %s: %d\n%s", c.name, c.value, status, page)
		}
	}
	form.Set("input", "s3://batholith/in/tickets.jsonl")
	status, at, page := alice.post(draft+"/create", form)
	if status != http.StatusOK || !strings.Contains(page, "The job was created.") {
		t.Fatalf("the new job: %d\n%s", status, page)
	}
	job := at[strings.LastIndexByte(at, '/')+1:]
	alice.follow(job)
	of := "/console/jobs/" + job
	file := of + "/download?file=tickets.jsonl.out"

	// Who may read the bucket sees the answers.
	for name, v := range map[string]*visitor{"alice": alice, "dave": dave} {
		for path, wants := range map[string][]string{
			of + "/records": {"the secret question", "a1", "max_tokens"},
			of + "/errors":  {"max_tokens", "Example: a2"},
			of + "/files":   {"tickets.jsonl.out", "manifest.json.out", "/download?file=tickets.jsonl.out"},
			file:            {"the secret question"},
		} {
			status, _, page := v.get(path)
			for _, want := range wants {
				if status != http.StatusOK || !strings.Contains(page, want) {
					t.Errorf("%s at %s: %d, without %q\n%s", name, path, status, want, page)
				}
			}
		}
	}
	// Who may get the job only sees no byte of it, and reads which right is missing.
	for _, c := range []struct {
		v          *visitor
		path, says string
	}{
		{bob, of + "/records", "user/bob is not authorized to perform: s3:ListBucket on resource: arn:aws:s3:::batholith/out/" + job}, {bob, of + "/errors", "s3:ListBucket"}, {bob, of + "/files", "s3:ListBucket"}, {bob, file, "s3:GetObject"},
		{carol, of + "/records", "user/carol is not authorized to perform: s3:GetObject"}, {carol, of + "/errors", "s3:GetObject"}, {carol, file, "s3:GetObject"},
	} {
		if status, _, page := c.v.get(c.path); strings.Contains(page, "the secret question") || !strings.Contains(page, c.says) || c.path == file && status != http.StatusForbidden {
			t.Errorf("%s: %d, not %q\n%s", c.path, status, c.says, page)
		}
	}
	if _, _, page := carol.get(of + "/files"); !strings.Contains(page, "tickets.jsonl.out") {
		t.Errorf("carol may list the files, and sees\n%s", page)
	}
	for _, path := range []string{of, of + "/records", of + "/files", file} {
		if status, _, page := eve.get(path); status != http.StatusNotFound || strings.Contains(page, "secret question") {
			t.Errorf("eve of another account at %s: %d", path, status)
		}
	}
	// Nothing but the output of this job is reached, whatever the role reaches.
	for _, name := range []string{"", "../../in/tickets.jsonl", "a/../../../in/tickets.jsonl", "%2e%2e/%2e%2e/in/tickets.jsonl", "/in/tickets.jsonl", ".batholith/index", ".batholith", "missing.jsonl.out", "./tickets.jsonl.out"} {
		if status, _, page := alice.get(of + "/download?file=" + url.QueryEscape(name)); status != http.StatusNotFound || strings.Contains(page, "the secret question") {
			t.Errorf("the file %q: %d", name, status)
		}
	}
	// dave may create jobs, and neither pass a role nor write to the bucket.
	draft, form, page = dave.draft(t)
	if form.Get("input") == "" || !strings.HasPrefix(form.Get("input"), "s3://batholith/") || strings.Contains(page, "<option value=\"arn:") {
		t.Errorf("the form offers the bucket of the latest job, and no role: %v", form)
	}
	form.Set("role", role)
	if status, _, page := dave.post(draft+"/create", form); status != http.StatusForbidden || !strings.Contains(page, "iam:PassRole") {
		t.Errorf("dave's job: %d\n%s", status, page)
	}
	// An object is never replaced.
	draft, form, _ = alice.draft(t)
	if form.Get("role") != role {
		t.Errorf("the role of the latest job is not offered: %v", form)
	}
	form.Set("input", "s3://batholith/in/tickets.jsonl")
	if status, _, page := alice.post(draft+"/create", form); status != http.StatusConflict || !strings.Contains(page, "would be replaced") {
		t.Errorf("a file over another one: %d\n%s", status, page)
	}

	lines, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"principal":"alice","key":"console".*"s3:PutObject","resource":"/batholith/in/tickets.jsonl","decision":"allowed"`,
		`"principal":"dave","key":"console".*"s3:GetObject","resource":"/batholith/out/` + job + `/tickets.jsonl.out","decision":"allowed"`,
		`"principal":"bob","key":"console".*"s3:ListBucket","resource":"/batholith/out/` + job + `/","decision":"denied"`} {
		if !regexp.MustCompile(want).Match(lines) {
			t.Errorf("the audit log has no line like %s", want)
		}
	}

	// The bucket is gone, then the S3.
	client := other.s3(asAlice)
	list, err := client.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String("batholith")})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range list.Contents {
		if _, err := client.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String("batholith"), Key: o.Key}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := client.DeleteBucket(t.Context(), &s3.DeleteBucketInput{Bucket: aws.String("batholith")}); err != nil {
		t.Fatal(err)
	}
	says := func(path, want string) {
		t.Helper()
		if status, _, page := alice.get(path); !strings.Contains(page, want) {
			t.Errorf("%s: %d\n%s", path, status, page)
		}
	}
	says(of+"/records", "The bucket does not exist.")
	says(file, "The bucket does not exist.")
	stopOther()
	says(of+"/files", "Nothing listens at")
	says(of, "Completed")
}

var asAlice = alice // a name that visitors do not hide

// Without policies, the principals of an account read the outputs of its jobs. The session of a role reads those of jobs with this role only: others
// may reach what its own role does not.
func TestWithoutPoliciesTheAccountReadsItsOutputs(t *testing.T) {
	dir := t.TempDir()
	other, _ := startSite(t, filepath.Join(dir, "other"))
	wide := "arn:aws:iam::" + first + ":role/wide"
	s, _ := startSite(t, filepath.Join(dir, "data"), func(c *config.Config) {
		c.S3.Endpoint, c.S3.AccessKeyID, c.S3.SecretAccessKey, c.S3.PathStyle = other.at.S3, "AKALICE", "alice-secret", true
		c.Credentials = append(c.Credentials, config.Credential{AccessKeyID: "AKBOB", SecretAccessKey: "bob-secret", Principal: "bob", Account: first})
		c.Roles = []config.Role{{ARN: wide}, {ARN: outsideRole}}
	})
	v := s.visitor("AKALICE", "alice-secret")
	draft, form, _ := v.draft(t)
	form.Set("role", wide)
	form.Set("input", "s3://batholith/in/tickets.jsonl")
	form.Set("output", "s3://batholith/out/")
	status, at, page := v.post(draft+"/create", form)
	if status != http.StatusOK || !strings.Contains(page, "The job was created.") {
		t.Fatalf("the new job: %d\n%s", status, page)
	}
	v.follow(at[strings.LastIndexByte(at, '/')+1:])
	if _, _, page := s.visitor("AKBOB", "bob-secret").get(at + "/records"); !strings.Contains(page, "the secret question") {
		t.Errorf("another principal of the account reads\n%s", page)
	}
	for arn, reads := range map[string]bool{wide: true, outsideRole: false} {
		k := s.assume(arn)
		session := s.visitor("AKALICE", "alice-secret")
		session.post("/console/sign-in", url.Values{"key-id": {k.id}, "secret": {k.secret}, "session-token": {k.token}})
		if _, _, page := session.get(at + "/records"); strings.Contains(page, "the secret question") != reads || !reads && !strings.Contains(page, "is not authorized to perform: s3:ListBucket") {
			t.Errorf("a session of %s reads\n%s", arn, page)
		}
	}
}
