package control

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/bedrock"
	"github.com/batholith/batholith/internal/kms"
)

const (
	account = "000000000000"
	role    = "arn:aws:iam::000000000000:role/batch"
	haiku   = "anthropic.claude-3-haiku-20240307-v1:0"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// shelf is a catalogue of two models.
type shelf []batholith.Model

func (s shelf) Models() []batholith.Model { return s }

func (s shelf) Takes(id string, t batholith.InvocationType) error {
	if strings.HasPrefix(id, "templated") && t == batholith.InvokeModel {
		return errors.New("its server has no completions")
	}
	return nil
}

func (s shelf) Lookup(id string) (batholith.Model, bool) {
	id = id[strings.LastIndexByte(id, '/')+1:]
	for _, m := range s {
		for _, n := range append([]string{m.ID}, m.Aliases...) {
			if n == id {
				return m, true
			}
		}
	}
	return batholith.Model{}, false
}

type oneRole string

func (r oneRole) Known(arn string) bool { return arn == string(r) }

type net struct{}

func (net) Subnet(id string) bool        { return id == "subnet-0a" }
func (net) SecurityGroup(id string) bool { return id == "sg-0a" || id == "sg-closed" }
func (net) Refuses(v batholith.VPC, _ string) string {
	if v.SecurityGroupIDs[0] == "sg-closed" {
		return "security group sg-closed has no egress rule for 10.1.2.3:8000"
	}
	return ""
}

// tester is an API over a memory, a minute later at each call.
type tester struct {
	*API
	*memory
	ctx context.Context
}

func newTester(change func(*Options)) *tester {
	m := newMemory()
	minute := 0
	o := Options{
		Store: m, Stopper: m, Roles: oneRole(role), Network: net{}, Limits: batholith.DefaultLimits(), Region: "us-east-1",
		Models: shelf{
			{ID: haiku, Aliases: []string{"us." + haiku, "eu." + haiku}, Name: "Claude 3 Haiku", Provider: "Anthropic",
				Inputs: []string{"TEXT", "IMAGE"}, Outputs: []string{"TEXT"}},
			{ID: "amazon.titan-embed-text-v2:0", Name: "Titan Embed", Provider: "Amazon", Inputs: []string{"TEXT"}, Outputs: []string{"EMBEDDING"}},
		},
		Now: func() time.Time { minute++; return noon.Add(time.Duration(minute) * time.Minute) },
	}
	if change != nil {
		change(&o)
	}
	return &tester{API: New(o), memory: m, ctx: as(account)}
}

func as(account string) context.Context {
	return bedrock.WithCaller(context.Background(), bedrock.Caller{Account: account, Principal: "alice"})
}

func input(name string) *bedrock.CreateModelInvocationJobInput {
	return &bedrock.CreateModelInvocationJobInput{
		JobName: name, RoleARN: role, ModelID: haiku,
		InputDataConfig:  &bedrock.InputDataConfig{S3InputDataConfig: &bedrock.S3InputDataConfig{S3URI: "s3://in-bucket/in.jsonl"}},
		OutputDataConfig: &bedrock.OutputDataConfig{S3OutputDataConfig: &bedrock.S3OutputDataConfig{S3URI: "s3://out-bucket/"}},
	}
}

// create makes a job and returns its ARN.
func (a *tester) create(t *testing.T, in *bedrock.CreateModelInvocationJobInput) string {
	t.Helper()
	out, err := a.CreateModelInvocationJob(a.ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	return out.JobARN
}

func (a *tester) get(t *testing.T, id string) bedrock.JobSummary {
	t.Helper()
	out, err := a.GetModelInvocationJob(a.ctx, &bedrock.GetModelInvocationJobInput{JobIdentifier: id})
	if err != nil {
		t.Fatal(err)
	}
	return *out
}

// refused demands that err is a refusal with this code whose message has these words.
func refused(t *testing.T, err error, code, says string) {
	t.Helper()
	var e *bedrock.Error
	if !errors.As(err, &e) || e.Code != code || !strings.Contains(e.Message, says) {
		t.Errorf("got %v, want %s: %s", err, code, says)
	}
}

func idOf(arn string) string { return arn[strings.LastIndexByte(arn, '/')+1:] }

func TestGetTellsWhatCreateWasTold(t *testing.T) {
	a := newTester(nil)
	in := input("job")
	in.ClientRequestToken, in.ModelID, in.ModelInvocationType = "token", "us."+haiku, batholith.Converse
	in.InputDataConfig.S3InputDataConfig.S3BucketOwner = "111111111111"
	in.OutputDataConfig.S3OutputDataConfig.S3EncryptionKeyID = "alias/key"
	in.VPCConfig = &bedrock.VPCConfig{SubnetIDs: []string{"subnet-0a"}, SecurityGroupIDs: []string{"sg-0a"}}
	in.TimeoutDurationInHours = 48
	in.Tags = []bedrock.Tag{{Key: "team", Value: "a"}}
	arn := a.create(t, in)
	stamp := bedrock.Timestamp{Time: noon.Add(time.Minute)}
	want := bedrock.JobSummary{
		JobARN: arn, JobName: "job", ModelID: "us." + haiku, ClientRequestToken: "token", RoleARN: role, Status: batholith.StatusSubmitted,
		SubmitTime: stamp, LastModifiedTime: stamp, JobExpirationTime: bedrock.Timestamp{Time: stamp.Add(48 * time.Hour)},
		InputDataConfig: in.InputDataConfig, OutputDataConfig: in.OutputDataConfig, VPCConfig: in.VPCConfig,
		TimeoutDurationInHours: 48, ModelInvocationType: batholith.Converse,
	}
	for _, id := range []string{arn, idOf(arn)} {
		if d := cmp.Diff(want, a.get(t, id)); d != "" {
			t.Errorf("%s: %s", id, d)
		}
	}
	if !batholith.ValidJobID(idOf(arn)) || !strings.HasPrefix(arn, "arn:aws:bedrock:us-east-1:000000000000:model-invocation-job/") {
		t.Error(arn)
	}
	tags, err := a.ListTagsForResource(a.ctx, &bedrock.ListTagsForResourceInput{ResourceARN: arn})
	if err != nil || cmp.Diff(in.Tags, tags.Tags) != "" {
		t.Error(tags, err)
	}
}

func TestOmittedMembersGetTheirDefaults(t *testing.T) {
	a := newTester(func(o *Options) { o.Limits.Hour = time.Minute })
	j := a.get(t, a.create(t, input("job")))
	if j.TimeoutDurationInHours != 24 || j.ModelInvocationType != batholith.InvokeModel || j.JobExpirationTime.Sub(j.SubmitTime.Time) != 24*time.Minute {
		t.Errorf("%+v", j)
	}
}

func TestACheckRefusesWhatCreateRefuses(t *testing.T) { // more of it: TestCreateRefusesWhatItDoesNotKnow
	a := newTester(nil)
	check := bedrock.CheckModelInvocationJobInput(*input("job"))
	if _, err := a.CheckModelInvocationJob(a.ctx, &check); err != nil {
		t.Error(err)
	}
	check.ModelID = "claude-3-haiku"
	_, err := a.CheckModelInvocationJob(a.ctx, &check)
	refused(t, err, bedrock.CodeValidation, "configured are: "+haiku+", amazon.titan-embed-text-v2:0.")
	if len(a.jobs) != 0 {
		t.Errorf("%d jobs were made", len(a.jobs))
	}
}

func TestCreateRefusesWhatItDoesNotKnow(t *testing.T) {
	a := newTester(nil)
	for name, c := range map[string]struct {
		change     func(*bedrock.CreateModelInvocationJobInput)
		code, says string
	}{
		"role":            {func(in *bedrock.CreateModelInvocationJobInput) { in.RoleARN = "arn:aws:iam::000000000000:role/other" }, bedrock.CodeAccessDenied, "iam:PassRole"},
		"role of another": {func(in *bedrock.CreateModelInvocationJobInput) { in.RoleARN = "arn:aws:iam::111111111111:role/batch" }, bedrock.CodeAccessDenied, "Cross-account pass role is not allowed."},
		"model":           {func(in *bedrock.CreateModelInvocationJobInput) { in.ModelID = "x.y" }, bedrock.CodeValidation, "Batch inference is not supported for the requested model."},
		"subnet": {func(in *bedrock.CreateModelInvocationJobInput) {
			in.VPCConfig = &bedrock.VPCConfig{SubnetIDs: []string{"subnet-0a", "subnet-0b"}, SecurityGroupIDs: []string{"sg-0a"}}
		}, bedrock.CodeValidation, "what does not exist: subnet 'subnet-0b'."},
		"security group": {func(in *bedrock.CreateModelInvocationJobInput) {
			in.VPCConfig = &bedrock.VPCConfig{SubnetIDs: []string{"subnet-0a"}, SecurityGroupIDs: []string{"sg-1"}}
		}, bedrock.CodeValidation, "security group 'sg-1'"},
		"network that reaches nothing": {func(in *bedrock.CreateModelInvocationJobInput) {
			in.VPCConfig = &bedrock.VPCConfig{SubnetIDs: []string{"subnet-0a"}, SecurityGroupIDs: []string{"sg-closed"}}
		}, bedrock.CodeValidation, "cannot run: security group sg-closed has no egress rule for 10.1.2.3:8000."},
		"reserved tag": {func(in *bedrock.CreateModelInvocationJobInput) { in.Tags = []bedrock.Tag{{Key: "AWS:x"}} }, bedrock.CodeValidation, "reserved"},
		"tag twice":    {func(in *bedrock.CreateModelInvocationJobInput) { in.Tags = []bedrock.Tag{{Key: "a"}, {Key: "a"}} }, bedrock.CodeValidation, "there twice"},
		"input with ..": {func(in *bedrock.CreateModelInvocationJobInput) {
			in.InputDataConfig.S3InputDataConfig.S3URI = "s3://in-bucket/a/../b.jsonl"
		}, bedrock.CodeValidation, "1 validation error detected: Value 's3://in-bucket/a/../b.jsonl' at 'inputDataConfig.s3InputDataConfig.s3Uri' failed"},
		"output with .": {func(in *bedrock.CreateModelInvocationJobInput) {
			in.OutputDataConfig.S3OutputDataConfig.S3URI = "s3://out-bucket/./"
		}, bedrock.CodeValidation, "at 'outputDataConfig.s3OutputDataConfig.s3Uri' failed"},
		"both": {func(in *bedrock.CreateModelInvocationJobInput) {
			in.InputDataConfig.S3InputDataConfig.S3URI, in.OutputDataConfig.S3OutputDataConfig.S3URI = "s3://in-bucket/..", "s3://out-bucket/x/../"
		}, bedrock.CodeValidation, "2 validation errors detected"},
		"a job's working files": {func(in *bedrock.CreateModelInvocationJobInput) {
			in.InputDataConfig.S3InputDataConfig.S3URI = "s3://in-bucket/8fj2k4l6m8n0/.batholith/x.jsonl"
		}, bedrock.CodeValidation, "deleted when the job ends"},
		"role before the model": {func(in *bedrock.CreateModelInvocationJobInput) {
			in.ModelID, in.RoleARN = "x.y", "arn:aws:iam:::role/x"
		}, bedrock.CodeAccessDenied, "iam:PassRole"},
	} {
		t.Run(name, func(t *testing.T) {
			in := input("job")
			c.change(in)
			_, err := a.CreateModelInvocationJob(a.ctx, in)
			refused(t, err, c.code, c.says)
			check := bedrock.CheckModelInvocationJobInput(*in)
			_, err = a.CheckModelInvocationJob(a.ctx, &check)
			refused(t, err, c.code, c.says)
		})
	}
	if len(a.jobs) != 0 {
		t.Errorf("%d jobs were made", len(a.jobs))
	}
}

func TestOneTokenMakesOneJob(t *testing.T) {
	a := newTester(nil)
	with := func(change func(*bedrock.CreateModelInvocationJobInput)) *bedrock.CreateModelInvocationJobInput {
		in := input("job")
		in.ClientRequestToken = "token"
		in.Tags = []bedrock.Tag{{Key: "a", Value: "1"}, {Key: "b", Value: "2"}}
		if change != nil {
			change(in)
		}
		return in
	}
	first := a.create(t, with(nil))
	for name, same := range map[string]func(*bedrock.CreateModelInvocationJobInput){
		"the same":            nil,
		"tags in other order": func(in *bedrock.CreateModelInvocationJobInput) { in.Tags[0], in.Tags[1] = in.Tags[1], in.Tags[0] },
		"the default type":    func(in *bedrock.CreateModelInvocationJobInput) { in.ModelInvocationType = batholith.InvokeModel },
	} {
		if again := a.create(t, with(same)); again != first {
			t.Errorf("%s: %s, not %s", name, again, first)
		}
	}
	for name, other := range map[string]func(*bedrock.CreateModelInvocationJobInput){
		"name":   func(in *bedrock.CreateModelInvocationJobInput) { in.JobName = "job2" },
		"model":  func(in *bedrock.CreateModelInvocationJobInput) { in.ModelID = "us." + haiku },
		"type":   func(in *bedrock.CreateModelInvocationJobInput) { in.ModelInvocationType = batholith.Converse },
		"input":  func(in *bedrock.CreateModelInvocationJobInput) { in.InputDataConfig.S3InputDataConfig.S3URI += "x" },
		"output": func(in *bedrock.CreateModelInvocationJobInput) { in.OutputDataConfig.S3OutputDataConfig.S3URI += "x" },
		"owner": func(in *bedrock.CreateModelInvocationJobInput) {
			in.OutputDataConfig.S3OutputDataConfig.S3BucketOwner = account
		},
		"key": func(in *bedrock.CreateModelInvocationJobInput) {
			in.OutputDataConfig.S3OutputDataConfig.S3EncryptionKeyID = "k"
		},
		"format": func(in *bedrock.CreateModelInvocationJobInput) {
			in.InputDataConfig.S3InputDataConfig.S3InputFormat = "JSONL"
		},
		"timeout": func(in *bedrock.CreateModelInvocationJobInput) { in.TimeoutDurationInHours = 48 },
		"tags":    func(in *bedrock.CreateModelInvocationJobInput) { in.Tags[0].Value = "3" },
		"vpc": func(in *bedrock.CreateModelInvocationJobInput) {
			in.VPCConfig = &bedrock.VPCConfig{SubnetIDs: []string{"subnet-0a"}, SecurityGroupIDs: []string{"sg-0a"}}
		},
	} {
		_, err := a.CreateModelInvocationJob(a.ctx, with(other))
		if refused(t, err, bedrock.CodeConflict, "token"); t.Failed() {
			t.Fatal(name)
		}
	}
	a.set(idOf(first), batholith.StatusCompleted)
	if again := a.create(t, with(nil)); again != first {
		t.Errorf("after the end: %s, not %s", again, first)
	}
}

// TestAModelWithoutAServerForTheTypeIsRefused: the refusal names the type and the reason.
func TestAModelWithoutAServerForTheTypeIsRefused(t *testing.T) {
	a := newTester(nil)
	a.Models = append(a.Models.(shelf), batholith.Model{ID: "templated"})
	in := input("job")
	in.ModelID = "templated"
	_, err := a.CreateModelInvocationJob(a.ctx, in)
	refused(t, err, bedrock.CodeValidation, "InvokeModel")
	refused(t, err, bedrock.CodeValidation, "its server has no completions")
	in.ModelInvocationType = batholith.Converse
	if _, err := a.CreateModelInvocationJob(a.ctx, in); err != nil {
		t.Error(err)
	}
}

// Settings change, and SDKs repeat requests: the token says what came of the first one, whatever the settings say of the second.
func TestATokenAnswersBeforeTheSettingsDo(t *testing.T) {
	for name, change := range map[string]func(*API){
		"role":    func(a *API) { a.Roles = oneRole("another") },
		"model":   func(a *API) { a.Models = shelf{} },
		"network": func(a *API) { a.Network = nowhere{} },
		"key":     func(a *API) { a.Keys = keyless(t) },
		"tags":    func(a *API) { a.Profile = bedrock.ProfileAWS },
	} {
		a := newTester(nil)
		in := input("job")
		in.ClientRequestToken = "token"
		in.VPCConfig = &bedrock.VPCConfig{SubnetIDs: []string{"subnet-0a"}, SecurityGroupIDs: []string{"sg-0a"}}
		in.OutputDataConfig.S3OutputDataConfig.S3EncryptionKeyID = "k"
		for i := range 60 {
			in.Tags = append(in.Tags, bedrock.Tag{Key: fmt.Sprint(i)})
		}
		first := a.create(t, in)
		change(a.API)
		if again := a.create(t, in); again != first {
			t.Errorf("%s: %s, not %s", name, again, first)
		}
		in.JobName = "other"
		_, err := a.CreateModelInvocationJob(a.ctx, in)
		refused(t, err, bedrock.CodeConflict, "token")
		in.ClientRequestToken = "" // and without it, or under another, they are refused
		_, err = a.CreateModelInvocationJob(a.ctx, in)
		var e *bedrock.Error
		if !errors.As(err, &e) || e.Code == bedrock.CodeConflict {
			t.Errorf("%s: without a token: %v", name, err)
		}
		in.ClientRequestToken = "another"
		_, err = a.CreateModelInvocationJob(a.ctx, in)
		refused(t, err, e.Code, e.Message)
		_, err = a.CreateModelInvocationJob(as("111111111111"), in)
		if err == nil {
			t.Errorf("%s: another account's token was taken", name)
		}
	}
}

func TestANameIsHeldUntilTheEnd(t *testing.T) {
	a := newTester(nil)
	first := a.create(t, input("job"))
	for _, s := range batholith.Statuses() {
		a.set(idOf(first), s)
		if s.Terminal() {
			continue
		}
		_, err := a.CreateModelInvocationJob(a.ctx, input("job"))
		refused(t, err, bedrock.CodeConflict, "The provided job name is currently in use.")
	}
	a.set(idOf(first), batholith.StatusFailed)
	if second := a.create(t, input("job")); second == first {
		t.Error("no new job")
	}
}

func TestTheQuotaCountsActiveJobsOfTheModel(t *testing.T) {
	a := newTester(func(o *Options) { o.Limits.MaxActiveJobsPerModel = 1 })
	first := a.create(t, input("a"))
	for _, name := range []string{haiku, "us." + haiku, "arn:aws:bedrock:us-east-1::foundation-model/" + haiku} {
		in := input("b")
		in.ModelID = name
		_, err := a.CreateModelInvocationJob(a.ctx, in)
		refused(t, err, bedrock.CodeServiceQuotaExceeded, name)
	}
	other := input("c")
	other.ModelID = "amazon.titan-embed-text-v2:0"
	a.create(t, other)
	a.set(idOf(first), batholith.StatusStopped)
	a.create(t, input("b"))
}

func TestAJobIsTheAccountsOwn(t *testing.T) {
	a := newTester(nil)
	arn := a.create(t, input("job"))
	elsewhere := strings.Replace(arn, "us-east-1", "eu-west-1", 1)
	for _, c := range []struct {
		ctx context.Context
		id  string
	}{
		{as("111111111111"), arn}, {as("111111111111"), idOf(arn)}, {a.ctx, elsewhere}, {a.ctx, "zzzzzzzzzzzz"},
		{a.ctx, strings.Replace(arn, account, "111111111111", 1)}, {a.ctx, strings.Replace(arn, "arn:aws:", "arn:aws-cn:", 1)},
		{a.ctx, "arn:aws:bedrock:us-east-1:000000000000:custom-model/abcdefghijkl"}, {a.ctx, "a-string-of-twenty-letters"},
	} {
		for what, err := range map[string]error{
			"get":     second(a.GetModelInvocationJob(c.ctx, &bedrock.GetModelInvocationJobInput{JobIdentifier: c.id})),
			"stop":    second(a.StopModelInvocationJob(c.ctx, &bedrock.StopModelInvocationJobInput{JobIdentifier: c.id})),
			"tag":     second(a.TagResource(c.ctx, &bedrock.TagResourceInput{ResourceARN: c.id, Tags: []bedrock.Tag{{Key: "a"}}})),
			"untag":   second(a.UntagResource(c.ctx, &bedrock.UntagResourceInput{ResourceARN: c.id})),
			"tags":    second(a.ListTagsForResource(c.ctx, &bedrock.ListTagsForResourceInput{ResourceARN: c.id})),
			"pause":   second(a.PauseModelInvocationJob(c.ctx, &bedrock.PauseModelInvocationJobInput{JobIdentifier: c.id})),
			"resume":  second(a.ResumeModelInvocationJob(c.ctx, &bedrock.ResumeModelInvocationJobInput{JobIdentifier: c.id})),
			"forget":  second(a.ForgetModelInvocationJob(c.ctx, &bedrock.ForgetModelInvocationJobInput{JobIdentifier: c.id})),
			"erase":   second(a.ForgetModelInvocationJobAndOutput(c.ctx, &bedrock.ForgetModelInvocationJobAndOutputInput{JobIdentifier: c.id})),
			"kept":    second(a.GetKeptResults(c.ctx, &bedrock.GetKeptResultsInput{JobIdentifier: c.id})),
			"publish": second(a.PublishKeptResults(c.ctx, &bedrock.PublishKeptResultsInput{JobIdentifier: c.id})),
			"discard": second(a.DiscardKeptResults(c.ctx, &bedrock.DiscardKeptResultsInput{JobIdentifier: c.id})),
		} {
			if refused(t, err, bedrock.CodeResourceNotFound, c.id); t.Failed() {
				t.Fatal(what, c.id)
			}
		}
	}
	out, err := a.ListModelInvocationJobs(as("111111111111"), &bedrock.ListModelInvocationJobsInput{})
	if err != nil || len(out.InvocationJobSummaries) != 0 {
		t.Error(out, err)
	}
	if j := a.get(t, arn); j.Status != batholith.StatusSubmitted {
		t.Error("another account stopped it")
	}
}

func second[T any](_ *T, err error) error { return err }

func TestStopIsForJobsThatRun(t *testing.T) {
	a := newTester(nil)
	arn := a.create(t, input("job"))
	for _, s := range batholith.Statuses() {
		a.set(idOf(arn), s)
		_, err := a.StopModelInvocationJob(a.ctx, &bedrock.StopModelInvocationJobInput{JobIdentifier: arn})
		if s.Terminal() {
			refused(t, err, bedrock.CodeValidation, "State was: "+string(s))
			if !strings.HasSuffix(err.Error(), "State was: "+string(s)) {
				t.Error(err)
			}
			continue
		}
		if err != nil || a.get(t, arn).Status != batholith.StatusStopping {
			t.Errorf("%s: %v", s, err)
		}
	}
}

func (a *tester) list(t *testing.T, in bedrock.ListModelInvocationJobsInput) (names []string, next string) {
	t.Helper()
	out, err := a.ListModelInvocationJobs(a.ctx, &in)
	if err != nil {
		t.Fatal(err)
	}
	for _, j := range out.InvocationJobSummaries {
		names = append(names, j.JobName)
	}
	return names, out.NextToken
}

func TestListFiltersAndOrders(t *testing.T) {
	a := newTester(nil)
	for i := range 5 {
		arn := a.create(t, input(fmt.Sprintf("job-%d", i)))
		if i%2 == 1 {
			a.set(idOf(arn), batholith.StatusCompleted)
		}
	}
	at := func(i int) bedrock.Timestamp { return a.get(t, a.jobs[i].ID).SubmitTime }
	for name, c := range map[string]struct {
		in   bedrock.ListModelInvocationJobsInput
		want []string
	}{
		"newest first": {bedrock.ListModelInvocationJobsInput{}, []string{"job-4", "job-3", "job-2", "job-1", "job-0"}},
		"descending":   {bedrock.ListModelInvocationJobsInput{SortOrder: "Descending", SortBy: "CreationTime", NameContains: "b-0"}, []string{"job-0"}},
		"ascending":    {bedrock.ListModelInvocationJobsInput{SortOrder: "Ascending"}, []string{"job-0", "job-1", "job-2", "job-3", "job-4"}},
		"by status":    {bedrock.ListModelInvocationJobsInput{StatusEquals: batholith.StatusCompleted}, []string{"job-3", "job-1"}},
		"after":        {bedrock.ListModelInvocationJobsInput{SubmitTimeAfter: at(3)}, []string{"job-4"}},
		"before":       {bedrock.ListModelInvocationJobsInput{SubmitTimeBefore: at(1)}, []string{"job-0"}},
		"between":      {bedrock.ListModelInvocationJobsInput{SubmitTimeAfter: at(1), SubmitTimeBefore: at(3)}, []string{"job-2"}},
		"none":         {bedrock.ListModelInvocationJobsInput{NameContains: "other"}, nil},
	} {
		got, _ := a.list(t, c.in)
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestPagesNeitherRepeatNorSkip(t *testing.T) {
	a := newTester(nil)
	for i := range 250 {
		in := input(fmt.Sprintf("job-%d", i))
		arn := a.create(t, in)
		a.set(idOf(arn), batholith.StatusCompleted)
	}
	for _, order := range []bedrock.SortOrder{"", bedrock.SortOrderAscending} {
		for size, pages := range map[int]int{0: 3, 100: 3, 125: 2, 249: 2, 250: 1, 1000: 1} {
			in := bedrock.ListModelInvocationJobsInput{MaxResults: size, SortOrder: order}
			seen := map[string]bool{}
			n := 0
			for more := true; more; more = in.NextToken != "" {
				var names []string
				names, in.NextToken = a.list(t, in)
				for _, name := range names {
					if seen[name] {
						t.Fatalf("%s twice", name)
					}
					seen[name] = true
				}
				if n++; n == 1 && order == "" {
					a.create(t, input(fmt.Sprintf("late-%d-%s", size, order))) // is on no later page
				}
			}
			late := len(a.jobs) - 250
			if n < pages || len(seen) < 250 || len(seen) > 250+late {
				t.Errorf("pages of %d: %d jobs on %d pages", size, len(seen), n)
			}
			for i := range 250 {
				if !seen[fmt.Sprintf("job-%d", i)] {
					t.Errorf("pages of %d skip job-%d", size, i)
				}
			}
		}
	}
}

func TestATokenIsGoodForItsOwnListOnly(t *testing.T) {
	a := newTester(nil)
	for i := range 3 {
		a.create(t, input(fmt.Sprintf("job-%d", i)))
	}
	_, next := a.list(t, bedrock.ListModelInvocationJobsInput{MaxResults: 1})
	if next == "" {
		t.Fatal("no token")
	}
	if names, _ := a.list(t, bedrock.ListModelInvocationJobsInput{MaxResults: 2, NextToken: next}); cmp.Diff([]string{"job-1", "job-0"}, names) != "" {
		t.Errorf("another size of page: %v", names)
	}
	for name, in := range map[string]bedrock.ListModelInvocationJobsInput{
		"another order":  {SortOrder: "Ascending", NextToken: next},
		"another filter": {NameContains: "job", NextToken: next},
		"another bound":  {SubmitTimeAfter: bedrock.Timestamp{Time: noon}, NextToken: next},
		"cut":            {NextToken: next[:len(next)-1]},
		"longer":         {NextToken: next + "A"},
		"made up":        {NextToken: "abc"},
		"changed":        {NextToken: "A" + "B" + next[2:]},
	} {
		_, err := a.ListModelInvocationJobs(a.ctx, &in)
		if refused(t, err, bedrock.CodeValidation, "nextToken"); t.Failed() {
			t.Fatal(name)
		}
	}
	_, err := a.ListModelInvocationJobs(as("111111111111"), &bedrock.ListModelInvocationJobsInput{NextToken: next})
	refused(t, err, bedrock.CodeValidation, "nextToken")
}

func TestTagsCanBeChanged(t *testing.T) {
	a := newTester(func(o *Options) { o.Profile = bedrock.ProfileAWS })
	arn := a.create(t, input("job"))
	a.set(idOf(arn), batholith.StatusCompleted)
	tag := func(from, to int, value string) error {
		in := &bedrock.TagResourceInput{ResourceARN: arn}
		for i := from; i < to; i++ {
			in.Tags = append(in.Tags, bedrock.Tag{Key: fmt.Sprintf("k%02d", i), Value: value})
		}
		return second(a.TagResource(a.ctx, in))
	}
	if err := tag(0, 50, "a"); err != nil {
		t.Fatal(err)
	}
	if err := tag(49, 50, "b"); err != nil {
		t.Errorf("a new value is no new tag: %v", err)
	}
	err := tag(50, 51, "a")
	refused(t, err, bedrock.CodeTooManyTags, "50")
	var e *bedrock.Error
	if errors.As(err, &e) && e.ResourceName != arn {
		t.Errorf("of %q", e.ResourceName)
	}
	if err := second(a.UntagResource(a.ctx, &bedrock.UntagResourceInput{ResourceARN: arn, TagKeys: []string{"k00", "nothing"}})); err != nil {
		t.Fatal(err)
	}
	out, err := a.ListTagsForResource(a.ctx, &bedrock.ListTagsForResourceInput{ResourceARN: arn})
	if err != nil || len(out.Tags) != 49 || out.Tags[0] != (bedrock.Tag{Key: "k01", Value: "a"}) || out.Tags[48] != (bedrock.Tag{Key: "k49", Value: "b"}) {
		t.Error(out, err)
	}
	in := input("another")
	for i := range 51 {
		in.Tags = append(in.Tags, bedrock.Tag{Key: fmt.Sprint(i)})
	}
	_, err = a.CreateModelInvocationJob(a.ctx, in)
	refused(t, err, bedrock.CodeValidation, "at most 50 tags")
}

func TestIDsAreOfTheirForm(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id := newID()
		if !batholith.ValidJobID(id) || seen[id] {
			t.Fatal(id)
		}
		seen[id] = true
	}
}

func TestAKeyThatWouldEncryptNothingIsRefused(t *testing.T) {
	a := newTester(func(o *Options) { o.Keys = keyless(t) })
	in := input("k")
	in.OutputDataConfig.S3OutputDataConfig.S3EncryptionKeyID = "alias/key"
	_, err := a.CreateModelInvocationJob(a.ctx, in)
	refused(t, err, "ValidationException", "s3EncryptionKeyId 'alias/key'")
}

// keyless is a server without encryption keys.
func keyless(t *testing.T) *kms.Ring {
	t.Helper()
	r, err := kms.Open("us-east-1", "000000000000", nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAKeyIsFoundByItsNamesBeforeAJobIsMade(t *testing.T) {
	path := filepath.Join(t.TempDir(), "k")
	if _, err := kms.Create(path, "k1", noon); err != nil {
		t.Fatal(err)
	}
	ring, err := kms.Open("us-east-1", "000000000000", []kms.Key{{Aliases: []string{"prompts"}, File: path}})
	if err != nil {
		t.Fatal(err)
	}
	a := newTester(func(o *Options) { o.Keys = ring })
	for i, name := range []string{"k1", "alias/prompts", "arn:aws:kms:us-east-1:000000000000:key/k1", "arn:aws:kms:us-east-1:000000000000:alias/prompts"} {
		in := input(fmt.Sprint("known-", i))
		in.OutputDataConfig.S3OutputDataConfig.S3EncryptionKeyID = name
		if _, err := a.CreateModelInvocationJob(a.ctx, in); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i, name := range []string{"k2", "alias/k1", "arn:aws:kms:us-west-2:000000000000:key/k1", "arn:aws:kms:us-east-1:111122223333:key/k1"} {
		in := input(fmt.Sprint("unknown-", i))
		in.OutputDataConfig.S3OutputDataConfig.S3EncryptionKeyID = name
		_, err := a.CreateModelInvocationJob(a.ctx, in)
		refused(t, err, "ValidationException", "s3EncryptionKeyId '"+name+"'")
	}
}

func TestAKeyOfAnotherAccountIsNoKeyForCreate(t *testing.T) {
	var keys []kms.Key
	for id, account := range map[string]string{"k0": "", "k1": "111122223333"} {
		path := filepath.Join(t.TempDir(), "k")
		if _, err := kms.Create(path, id, noon); err != nil {
			t.Fatal(err)
		}
		keys = append(keys, kms.Key{Aliases: []string{"prompts"}, File: path, Account: account})
	}
	ring, err := kms.Open("us-east-1", "000000000000", keys)
	if err != nil {
		t.Fatal(err)
	}
	a := newTester(func(o *Options) { o.Keys = ring })
	for i, name := range []string{"k1", "k9", "arn:aws:kms:us-east-1:111122223333:key/k1", "arn:aws:kms:us-east-1:111122223333:alias/prompts"} {
		in := input(fmt.Sprint("theirs-", i))
		in.OutputDataConfig.S3OutputDataConfig.S3EncryptionKeyID = name
		_, err := a.CreateModelInvocationJob(a.ctx, in)
		refused(t, err, "ValidationException", "there is no encryption key \""+name+"\" of the account 000000000000")
	}
	in := input("ours")
	in.OutputDataConfig.S3OutputDataConfig.S3EncryptionKeyID = "alias/prompts"
	if _, err := a.CreateModelInvocationJob(a.ctx, in); err != nil {
		t.Error(err)
	}
}

type forecasts map[string]batholith.Forecast

func (f forecasts) Forecasts(_ context.Context, jobs []string) map[string]batholith.Forecast {
	known := map[string]batholith.Forecast{}
	for _, id := range jobs {
		if fc, ok := f[id]; ok {
			known[id] = fc
		}
	}
	return known
}

// told returns a job as Get shows it.
func (a *API) told(t *testing.T, j batholith.Job) bedrock.JobSummary {
	return a.summary(j, a.forecasts(t.Context(), j))
}

func TestTheForecastIsToldBesideTheMessage(t *testing.T) {
	later := noon.Add(2 * time.Hour)
	at := func(t time.Time) bedrock.Timestamp { return bedrock.Timestamp{Time: t} }
	for _, c := range []struct {
		name   string
		status batholith.Status
		note   string
		fc     batholith.Forecast
		want   bedrock.JobNotes
	}{
		{"waiting, nothing known", batholith.StatusScheduled, "", batholith.Forecast{Position: 2},
			bedrock.JobNotes{Note: "Number 2 of the jobs that wait for this model.", QueuePosition: 2}},
		{"waiting", batholith.StatusScheduled, "", batholith.Forecast{Position: 1, Begin: noon, End: later}, bedrock.JobNotes{
			Note:          "Number 1 of the jobs that wait for this model. Expected to begin about 2026-01-02T12:00:00Z. Expected to end about 2026-01-02T14:00:00Z.",
			QueuePosition: 1, ExpectedStart: at(noon), ExpectedEnd: at(later)}},
		{"running", batholith.StatusInProgress, "", batholith.Forecast{End: later},
			bedrock.JobNotes{Note: "Expected to end about 2026-01-02T14:00:00Z.", ExpectedEnd: at(later)}},
		{"late", batholith.StatusInProgress, "", batholith.Forecast{End: later, Late: true}, bedrock.JobNotes{
			Note: "Expected to end about 2026-01-02T14:00:00Z. That is after the job's timeout; records finished by the timeout are kept.", ExpectedEnd: at(later)}},
		{"a note", batholith.StatusInProgress, "Records wait.", batholith.Forecast{End: later}, bedrock.JobNotes{Note: "Records wait.", ExpectedEnd: at(later)}},
		{"over", batholith.StatusStopped, "", batholith.Forecast{End: later}, bedrock.JobNotes{}},
		{"over, with a note that nobody removed", batholith.StatusStopped, "Records wait.", batholith.Forecast{End: later}, bedrock.JobNotes{}},
	} {
		a := newTester(func(o *Options) { o.Forecaster = forecasts{"abcdefghij00": c.fc} })
		got := a.told(t, batholith.Job{ID: "abcdefghij00", Status: c.status, Note: c.note})
		want := &c.want
		if cmp.Equal(c.want, bedrock.JobNotes{}) {
			want = nil
		}
		if d := cmp.Diff(want, got.Batholith); d != "" || got.Message != "" {
			t.Errorf("%s: message %q, %s", c.name, got.Message, d)
		}
	}
}

// Clients take any message for a failure. What else there is to tell is in the note, and never in both.
func TestOnlyAJobThatFailedOrExpiredHasAMessage(t *testing.T) {
	for _, profile := range []bedrock.Profile{bedrock.ProfileDefault, bedrock.ProfileAWS} {
		a := newTester(func(o *Options) {
			o.Profile = profile
			o.Forecaster = forecasts{"abcdefghij00": {Position: 1, End: noon}}
		})
		for _, s := range batholith.Statuses() {
			for _, j := range []batholith.Job{{}, {Message: "said"}, {Note: "said"}, {Failing: "said"}, {Message: "said", Note: "n", Failing: "f"}} {
				j.ID, j.Status = "abcdefghij00", s
				got, note := a.told(t, j), ""
				if got.Batholith != nil {
					note = got.Batholith.Note
				}
				failure := s == batholith.StatusFailed || s == batholith.StatusExpired
				if failure && (got.Message != j.Message || got.Batholith != nil) || !failure && got.Message != "" {
					t.Errorf("%s: message %q, %+v of %q, %q, %q", s, got.Message, got.Batholith, j.Message, j.Note, j.Failing)
				}
				if told := !s.Terminal() && j.Note+j.Failing != "" || j.Message != ""; told && !failure && !strings.Contains(note, "said") {
					t.Errorf("%s: the note is %q of %q, %q, %q", s, note, j.Message, j.Note, j.Failing)
				}
			}
		}
	}
}

// The message of a job goes to terminals and consoles, whoever has made it and with whatever version.
func TestAMessageKeepsToOneLine(t *testing.T) {
	a := newTester(nil)
	message := "a\x1b[2J\r\nbatholith: error: x\u202e" + strings.Repeat("\x07", batholith.MaxMessage)
	for _, got := range []string{
		a.summary(batholith.Job{ID: "abcdefghij00", Status: batholith.StatusFailed, Message: message}, nil).Message,
		a.summary(batholith.Job{ID: "abcdefghij00", Status: batholith.StatusStopped, Message: message}, nil).Batholith.Note,
	} {
		if !strings.HasPrefix(got, `a\u001b[2J\r\nbatholith: error: x\u202e\u0007`) || len(got) > batholith.MaxMessage {
			t.Errorf("%q", got)
		}
	}
}

func TestTheIDOfAFoundationModelIsAnsweredAsItsARN(t *testing.T) {
	const arn = "arn:aws:bedrock:us-east-1::foundation-model/"
	for sent, want := range map[string]string{
		haiku:                                arn + haiku,
		"amazon.nova-micro-v1:0:128k":        arn + "amazon.nova-micro-v1:0:128k",
		"minimax.minimax-m2.1":               arn + "minimax.minimax-m2.1",
		"batholith.tiny-v1":                  arn + "batholith.tiny-v1",
		"us." + haiku:                        "us." + haiku,
		"global.anthropic.claude-sonnet-4-6": "global.anthropic.claude-sonnet-4-6",
		"us-gov.amazon.nova-pro-v1:0":        "us-gov.amazon.nova-pro-v1:0",
		arn + haiku:                          arn + haiku,
		"arn:aws:bedrock:eu-west-1::foundation-model/" + haiku:                        "arn:aws:bedrock:eu-west-1::foundation-model/" + haiku,
		"arn:aws:bedrock:us-east-1:000000000000:inference-profile/us." + haiku:        "arn:aws:bedrock:us-east-1:000000000000:inference-profile/us." + haiku,
		"arn:aws:bedrock:us-east-1:000000000000:application-inference-profile/abcdef": "arn:aws:bedrock:us-east-1:000000000000:application-inference-profile/abcdef",
		"m":                        "m",
		"my_model":                 "my_model",
		"Qwen2.5-7B":               "Qwen2.5-7B",
		"Qwen/Qwen2.5-7B-Instruct": "Qwen/Qwen2.5-7B-Instruct",
		"llama3.2:1b instruct":     "llama3.2:1b instruct",
		"a.b.c.d":                  "a.b.c.d",
		"größe.v1":                 "größe.v1",
	} {
		a := newTester(func(o *Options) {
			o.Models = shelf{{ID: sent}, {ID: haiku}, {ID: sent[strings.LastIndexByte(sent, '/')+1:]}}
		})
		in := input("job")
		in.ModelID, in.ClientRequestToken = sent, "token"
		job := a.create(t, in)
		if got := a.get(t, job).ModelID; got != want {
			t.Errorf("%s: %s, want %s", sent, got, want)
		}
		list, err := a.ListModelInvocationJobs(a.ctx, &bedrock.ListModelInvocationJobsInput{})
		if err != nil || list.InvocationJobSummaries[0].ModelID != want {
			t.Errorf("%s in a list: %v, %v", sent, list, err)
		}
		if again := a.create(t, in); again != job { // what was sent is what is compared
			t.Errorf("%s: the same token made %s and %s", sent, job, again)
		}
		if want == sent {
			continue
		}
		in.ModelID = want
		_, err = a.CreateModelInvocationJob(a.ctx, in)
		refused(t, err, bedrock.CodeConflict, "token")
	}
}
