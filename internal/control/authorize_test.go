package control

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/authz"
	"github.com/batholith/batholith/internal/bedrock"
)

// server is the API behind its wire. The Authorization header of a request is "ACCOUNT PRINCIPAL GROUP…".
type server struct {
	*tester
	handler http.Handler
}

func newServer(policy string) *server {
	var who Authorizer
	if policy != "" {
		set, err := authz.Parse("policy.cedar", policy)
		if err != nil {
			panic(err)
		}
		who = decided{set}
	}
	return serverOf(who)
}

func serverOf(who Authorizer) *server {
	a := newTester(func(o *Options) { o.Authorizer, o.Roles = who, anyRole{} })
	return &server{a, bedrock.NewHandler(a.API, bedrock.Options{Authenticate: func(r *http.Request, _ []byte) (bedrock.Caller, error) {
		who := strings.Fields(r.Header.Get("Authorization"))
		return bedrock.Caller{Account: who[0], Principal: who[1], Groups: who[2:]}, nil
	}})}
}

type anyRole struct{}

func (anyRole) Known(string) bool { return true }

// decided are the policies of a set.
type decided struct{ set *authz.Set }

func (d decided) Decide(_ context.Context, r authz.Request) authz.Decision { return d.set.Decide(r) }
func (decided) Unrestricted() bool                                         { return false }

// send returns the status and the body of an answer.
func (s *server) send(who, method, target, body string) (int, string) {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header.Set("Authorization", who)
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return w.Code, w.Header().Get("x-amzn-ErrorType") + " " + w.Body.String()
}

// put stores a job as it is.
func (s *server) put(j batholith.Job) string {
	s.jobs = append(s.jobs, j)
	s.tags[j.ID] = tagMap(j.Tags)
	return batholith.JobARN("us-east-1", j.Account, j.ID).String()
}

// call is one way to use an operation.
type call struct{ action, method, target, body string }

// aboutJob are the calls that name a job.
func aboutJob(identifier string) []call {
	escaped, body := url.PathEscape(identifier), `{"resourceARN":"`+identifier+`"`
	all := []call{
		{"Get", "GET", "/model-invocation-job/" + escaped, ""},
		{"Stop", "POST", "/model-invocation-job/" + escaped + "/stop", ""},
		{"Pause", "POST", "/model-invocation-job/" + escaped + "/pause", ""},
		{"Resume", "POST", "/model-invocation-job/" + escaped + "/resume", ""},
		{"Forget", "POST", "/model-invocation-job/" + escaped + "/forget", ""},
		{"ForgetAll", "POST", "/model-invocation-job/" + escaped + "/forget-with-output", ""},
		{"GetKept", "GET", "/kept-results/" + escaped, ""},
		{"Publish", "POST", "/kept-results/" + escaped + "/publish", ""},
		{"Discard", "POST", "/kept-results/" + escaped + "/discard", ""},
	}
	if strings.HasPrefix(identifier, "arn:") {
		all = append(all,
			call{"ListTags", "POST", "/listTagsForResource", body + `}`},
			call{"Tag", "POST", "/tagResource", body + `,"tags":[{"key":"a","value":"b"}]}`},
			call{"TagBlue", "POST", "/tagResource", body + `,"tags":[{"key":"team","value":"blue"}]}`},
			call{"Untag", "POST", "/untagResource", body + `,"tagKeys":["a"]}`})
	}
	return all
}

// create is a call that creates a job of a model, as a role, with a tag team unless that is empty.
func create(action, model, role, team string) call {
	tags := ""
	if team != "" {
		tags = `,"tags":[{"key":"team","value":"` + team + `"}]`
	}
	return call{action, "POST", "/model-invocation-job", `{"jobName":"` + strings.ToLower(action) + `","roleArn":"` + role + `","modelId":"` + model + `",
		"inputDataConfig":{"s3InputDataConfig":{"s3Uri":"s3://in-bucket/in.jsonl"}},"outputDataConfig":{"s3OutputDataConfig":{"s3Uri":"s3://out-bucket/"}}` + tags + `}`}
}

// aboutBackends are the calls about model servers.
func aboutBackends() []call {
	return []call{{"Backends", "GET", "/backends", ""}, {"Drain", "POST", "/backends/a:1/drain", ""}, {"ResumeBackend", "POST", "/backends/a:1/resume", ""}}
}

// others are the calls that name no job.
func others() []call {
	const batch, role = "arn:aws:iam::000000000000:role/batholith", "arn:aws:iam::000000000000:role/other"
	return []call{
		create("Create", haiku, batch, ""), create("CreateRed", haiku, batch, "red"), create("CreateTiny", "batholith.tiny-v1", batch, "red"),
		create("CreateByAlias", "us."+haiku, batch, "red"), create("CreateAsOther", haiku, role, "red"),
		{"List", "GET", "/model-invocation-jobs", ""},
		{"Usage", "GET", "/usage", ""},
		{"Models", "GET", "/foundation-models", ""},
		{"Model", "GET", "/foundation-models/" + haiku, ""},
		{"Availability", "GET", "/foundation-model-availability/" + haiku, ""},
		{"Profiles", "GET", "/inference-profiles", ""},
		{"Profile", "GET", "/inference-profiles/us." + haiku, ""},
	}
}

// permitted are the actions of calls that were carried out, or that found only nothing to do. Before each call, reset makes the server as it was.
func permitted(s *server, reset func(), who string, calls []call) string {
	var yes []string
	for _, c := range calls {
		reset()
		if status, body := s.send(who, c.method, c.target, c.body); status == http.StatusOK || strings.Contains(body, "The job has no kept results") || strings.Contains(body, "has not ended and cannot be forgotten") {
			yes = append(yes, c.action)
		}
	}
	return strings.Join(yes, " ")
}

const (
	reading    = "Get GetKept ListTags"
	everything = "Get Stop Pause Resume Forget ForgetAll GetKept Publish Discard ListTags Tag TagBlue Untag"
	catalogue  = "Models Model Availability Profiles Profile"
	anything   = "Create CreateRed CreateTiny CreateByAlias CreateAsOther List Usage " + catalogue
)

// The matrix of principal, action and resource, by the policies of the examples, through the wire.
func TestTheExamplesPermitWhatTheySay(t *testing.T) {
	const (
		alice, bob, carol = "000000000000 alice red interns", "000000000000 bob blue auditors", "000000000000 carol"
		stranger          = "111111111111 alice red interns auditors"
	)
	type row struct{ others, red, blue, bare string } // what is permitted: on no job, on alice's of team red, on bob's of team blue, on carol's without a team
	for file, want := range map[string]map[string]row{
		"": {alice: {anything, everything, everything, everything}, bob: {anything, everything, everything, everything},
			carol: {anything, everything, everything, everything}, stranger: {"List Usage " + catalogue, "", "", ""}},
		"team-jobs": {
			alice:    {"CreateRed CreateTiny CreateByAlias List Usage " + catalogue, "Get Stop Pause Resume Forget ForgetAll GetKept Publish Discard ListTags Tag", "", ""},
			bob:      {"List Usage " + catalogue, "", "Get Stop Pause Resume Forget ForgetAll GetKept Publish Discard ListTags Tag TagBlue", ""},
			carol:    {"List Usage " + catalogue, "", "", ""},
			stranger: {"List Usage " + catalogue, "", "", ""}},
		"auditors": {
			alice: {anything, everything, everything, everything}, bob: {"List Usage " + catalogue, reading, reading, reading},
			carol: {anything, everything, everything, everything}, stranger: {"List Usage " + catalogue, "", "", ""}},
		"model-allow-list": {
			alice:    {"CreateTiny List Usage " + catalogue, everything, "", ""},
			bob:      {anything, "", everything, ""},
			carol:    {anything, "", "", everything},
			stranger: {"List Usage " + catalogue, "", "", ""}},
	} {
		var who Authorizer
		if file != "" {
			set, err := authz.Load("../../examples/policies/" + file + ".cedar")
			if err != nil {
				t.Fatal(err)
			}
			who = decided{set}
		}
		s := serverOf(who)
		s.Models = append(s.Models.(shelf), batholith.Model{ID: "batholith.tiny-v1"})
		reset := func() {
			s.jobs, s.tags = nil, map[string]map[string]string{}
			for i, owner := range []string{"alice", "bob", "carol"} {
				j := batholith.Job{ID: fmt.Sprintf("job%09d", i), Account: account, Owner: owner, Model: haiku, Status: batholith.StatusScheduled,
					Request: batholith.Request{Name: owner, Tags: [][]batholith.Tag{{{Key: "team", Value: "red"}}, {{Key: "team", Value: "blue"}}, nil}[i]}}
				s.put(j)
			}
		}
		for principal, want := range want {
			var got row
			for i, place := range []*string{&got.red, &got.blue, &got.bare} {
				id := fmt.Sprintf("job%09d", i)
				*place = permitted(s, reset, principal, aboutJob(batholith.JobARN("us-east-1", account, id).String()))
				_, list := s.send(principal, "GET", "/model-invocation-jobs", "")
				if listed, seen := strings.Contains(list, id), strings.Contains(" "+*place+" ", " Get "); listed != seen {
					t.Errorf("%s: %s: job %s: listed %t, but may be got %t", file, principal, id, listed, seen)
				}
			}
			got.others = permitted(s, reset, principal, others())
			if d := cmp.Diff(fmt.Sprintf("%+v", want), fmt.Sprintf("%+v", got)); d != "" {
				t.Errorf("%s: %s: %s", file, principal, d)
			}
		}
	}
}

// Every operation asks: with a policy file that permits nothing, each is refused in AWS's words, and what it would have done is not done.
func TestEveryOperationAsks(t *testing.T) {
	asked := map[string]bool{}
	s := serverOf(recorder{asked})
	arn := s.put(batholith.Job{ID: "abcdefghijkl", Account: account, Status: batholith.StatusScheduled})
	before := fmt.Sprintf("%+v %+v", s.jobs, s.tags)
	for _, c := range slices.Concat(aboutJob(arn), others(), aboutBackends()) {
		status, body := s.send(account+" alice", c.method, c.target, c.body)
		if status != http.StatusForbidden || !strings.HasPrefix(body, "AccessDeniedException ") ||
			!strings.Contains(body, "User: arn:aws:iam::000000000000:user/alice is not authorized to perform: bedrock:") ||
			!strings.Contains(body, " on resource: arn:aws:bedrock:us-east-1:") || !strings.Contains(body, "because no identity-based policy allows the bedrock:") {
			t.Errorf("%s: %d %s", c.action, status, body)
		}
	}
	if after := fmt.Sprintf("%+v %+v", s.jobs, s.tags); after != before {
		t.Errorf("%s\n%s", before, after)
	}
	service := reflect.TypeFor[bedrock.Service]()
	for i := range service.NumMethod() {
		if name := service.Method(i).Name; name != "CheckModelInvocationJob" && !asked["bedrock:"+name] { // which asks what Create asks
			t.Errorf("%s was not asked for", name)
		}
	}
}

// recorder denies everything, and notes what was asked.
type recorder struct{ asked map[string]bool }

func (r recorder) Decide(_ context.Context, q authz.Request) authz.Decision {
	r.asked[q.Action] = true
	return authz.Decision{}
}
func (recorder) Unrestricted() bool { return false }

// Whatever name of a job of another account a caller guesses, the answer is that of a job that does not exist, and nothing changes.
func TestTwoAccountsNeverSeeEachOther(t *testing.T) {
	for policy, who := range map[string]string{"": "111111111111 alice", `permit(principal, action, resource);`: "111111111111 alice red",
		`permit(principal, action, resource is Job) when { resource.owner == principal };`: "111111111111 alice"} {
		s := newServer(policy)
		in := input("nightly")
		in.ClientRequestToken = "token"
		if policy == "" {
			s.create(t, in)
		} else {
			s.put(batholith.Job{ID: "abcdefghijkl", Account: account, Owner: "alice", Model: haiku, Status: batholith.StatusScheduled, Request: batholith.Request{Name: "nightly", Token: "token"}})
		}
		id := s.jobs[0].ID
		before := fmt.Sprintf("%+v %+v", s.jobs, s.tags)
		for _, form := range []string{"%s", "arn:aws:bedrock:us-east-1:000000000000:model-invocation-job/%s", "arn:aws:bedrock:us-east-1:111111111111:model-invocation-job/%s",
			"arn:aws:bedrock:us-east-1::model-invocation-job/%s", "arn:aws-cn:bedrock:us-east-1:000000000000:model-invocation-job/%s"} {
			theirs, nobodys := fmt.Sprintf(form, id), fmt.Sprintf(form, "zzzzzzzzzzzz")
			guesses := aboutJob(nobodys)
			for i, c := range aboutJob(theirs) {
				status, body := s.send(who, c.method, c.target, c.body)
				status2, body2 := s.send(who, guesses[i].method, guesses[i].target, guesses[i].body)
				if status != status2 || strings.ReplaceAll(body, id, "zzzzzzzzzzzz") != body2 || status < 400 {
					t.Errorf("%s: %s %s: %d %s, but of no job %d %s", policy, c.action, theirs, status, body, status2, body2)
				}
			}
		}
		if status, body := s.send(who, "GET", "/model-invocation-job/nightly", ""); status != http.StatusBadRequest || !strings.Contains(body, "ValidationException") { // a name is no identifier
			t.Error(status, body)
		}
		if status, body := s.send(who, "GET", "/model-invocation-jobs?nameContains=nightly", ""); strings.Contains(body, id) {
			t.Error(status, body)
		}
		if after := fmt.Sprintf("%+v %+v", s.jobs, s.tags); after != before {
			t.Errorf("%s\n%s", before, after)
		}
	}
}

// Names, tokens and quotas of one account are free in the other.
func TestNamesTokensAndQuotasAreByAccount(t *testing.T) {
	a := newTester(func(o *Options) { o.Limits.MaxActiveJobsPerModel, o.Roles = 1, anyRole{} })
	in := input("nightly")
	in.ClientRequestToken, in.RoleARN = "token", "arn:aws:iam:::role/batch"
	first := a.create(t, in)
	out, err := a.CreateModelInvocationJob(as("111111111111"), in)
	if err != nil || out.JobARN == first || !strings.Contains(out.JobARN, ":111111111111:") {
		t.Fatal(out, err)
	}
	for caller, arn := range map[string]string{account: first, "111111111111": out.JobARN} {
		again, err := a.CreateModelInvocationJob(as(caller), in)
		if err != nil || again.JobARN != arn {
			t.Error(caller, again, err)
		}
	}
}

// Within an account, too, nobody learns from a refusal which jobs there are that one may not see.
func TestAJobThatOneMayNotSeeIsAnsweredAsNoJob(t *testing.T) {
	for _, policy := range []string{
		`permit(principal, action, resource is Job) when { resource.owner == principal };`,
		`permit(principal, action, resource is Job) when { resource.tags has team && resource.tags.team == "red" };`,
		`permit(principal, action, resource); forbid(principal, action, resource is Job) when { resource.hasTag("secret") };`,
		`permit(principal, action, resource); forbid(principal, action, resource is Job) unless { resource.owner == principal };`,
		`permit(principal, action in Action::"bedrock:List*", resource);`,
	} {
		s := newServer(policy)
		s.put(batholith.Job{ID: "abcdefghijkl", Account: account, Owner: "bob", Model: haiku, Status: batholith.StatusScheduled,
			Request: batholith.Request{Name: "nightly", Tags: []batholith.Tag{{Key: "secret", Value: "1"}}}})
		for _, form := range []string{"%s", "arn:aws:bedrock:us-east-1:000000000000:model-invocation-job/%s"} {
			guesses := aboutJob(fmt.Sprintf(form, "zzzzzzzzzzzz"))
			for i, c := range aboutJob(fmt.Sprintf(form, "abcdefghijkl")) {
				if policy == `permit(principal, action in Action::"bedrock:List*", resource);` && c.action == "ListTags" {
					continue // which that policy permits
				}
				status, body := s.send(account+" alice", c.method, c.target, c.body)
				status2, body2 := s.send(account+" alice", guesses[i].method, guesses[i].target, guesses[i].body)
				if status != status2 || strings.ReplaceAll(body, "abcdefghijkl", "zzzzzzzzzzzz") != body2 || status < 400 {
					t.Errorf("%s: %s: %d %s, but of no job %d %s", policy, c.action, status, body, status2, body2)
				}
			}
		}
	}
}

// A caller who may see a job is told that an action on it is denied, and why.
func TestADeniedActionOnAVisibleJobIsAccessDenied(t *testing.T) {
	s := newServer(`permit(principal, action in Action::"bedrock:Get*", resource); forbid(principal, action == Action::"bedrock:StopModelInvocationJob", resource);`)
	arn := s.put(batholith.Job{ID: "abcdefghijkl", Account: account, Owner: "bob", Model: haiku, Status: batholith.StatusScheduled})
	for target, want := range map[string]string{
		"POST /model-invocation-job/abcdefghijkl/stop": "AccessDeniedException {\"message\":\"User: arn:aws:iam::000000000000:user/alice is not authorized to perform: bedrock:StopModelInvocationJob on resource: " +
			arn + " with an explicit deny in an identity-based policy\"}",
		"POST /kept-results/abcdefghijkl/publish": "AccessDeniedException {\"message\":\"User: arn:aws:iam::000000000000:user/alice is not authorized to perform: bedrock:PublishKeptResults on resource: " +
			arn + " because no identity-based policy allows the bedrock:PublishKeptResults action\"}",
	} {
		method, path, _ := strings.Cut(target, " ")
		if status, got := s.send(account+" alice", method, path, ""); status != http.StatusForbidden || got != want {
			t.Errorf("%d %s", status, got)
		}
	}
}

// A job may use a model only if one of the two actions is permitted on it and none is forbidden; any of its names leads to the same decision.
func TestAModelIsAskedForByItsIdUnderEitherAction(t *testing.T) {
	const rest = `permit(principal, action, resource is Account); permit(principal, action, resource is Role); `
	for policy, ok := range map[string]bool{
		rest: false,
		rest + `permit(principal, action == Action::"bedrock:CreateModelInvocationJob", resource == Model::"` + haiku + `");`:                                               true,
		rest + `permit(principal, action == Action::"bedrock:InvokeModel", resource == Model::"` + haiku + `");`:                                                            true,
		rest + `permit(principal, action, resource is Model); forbid(principal, action == Action::"bedrock:InvokeModel", resource == Model::"` + haiku + `");`:              false,
		rest + `permit(principal, action, resource is Model); forbid(principal, action == Action::"bedrock:CreateModelInvocationJob", resource == Model::"` + haiku + `");`: false,
		rest + `permit(principal, action, resource == Model::"us.` + haiku + `");`:                                                                                          false,
		`permit(principal, action, resource is Account); permit(principal, action, resource is Model);`:                                                                     false,
		`permit(principal, action, resource is Model); permit(principal, action, resource is Role);`:                                                                        false,
		`permit(principal, action, resource in Account::"000000000000");`:                                                                                                   true,
	} {
		for _, name := range []string{haiku, "us." + haiku, "arn:aws:bedrock:us-east-1::foundation-model/" + haiku} {
			s := newServer(policy)
			in := input("job")
			in.ModelID = name
			_, err := s.CreateModelInvocationJob(s.ctx, in)
			_, check := s.CheckModelInvocationJob(s.ctx, (*bedrock.CheckModelInvocationJobInput)(in))
			if (err == nil) != ok || (check == nil) != ok {
				t.Errorf("%s: %s: %v, %v", policy, name, err, check)
			}
		}
	}
}

// A caller whose rights were taken is refused also under the token of a job that exists.
func TestATokenDoesNotOverruleAPolicy(t *testing.T) {
	a := newTester(nil)
	in := input("job")
	in.ClientRequestToken = "token"
	a.create(t, in)
	set, err := authz.Parse("p", `permit(principal, action in Action::"bedrock:Get*", resource);`)
	if err != nil {
		t.Fatal(err)
	}
	a.Authorizer = decided{set}
	_, err = a.CreateModelInvocationJob(a.ctx, in)
	refused(t, err, bedrock.CodeAccessDenied, "bedrock:CreateModelInvocationJob on resource: arn:aws:bedrock:us-east-1:000000000000:model-invocation-job/*")
}

// counting is a store that counts the jobs that it hands out.
type counting struct {
	*memory
	read, most int
}

func (c *counting) Jobs(ctx context.Context, q batholith.ListQuery) ([]batholith.Job, int64, error) {
	jobs, next, err := c.memory.Jobs(ctx, q)
	c.read, c.most = c.read+len(jobs), max(c.most, q.Limit)
	return jobs, next, err
}

// Pages of the jobs that a caller may see are as those of a list of these jobs alone, and none costs a walk over the whole table.
func TestAPageHasOnlyJobsThatGetPermitsAndEveryOneOnce(t *testing.T) {
	set, err := authz.Parse("p", `permit(principal, action, resource is Account); permit(principal, action, resource is Job) when { resource.hasTag("team") && resource.getTag("team") == "red" };`)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ jobs, share, page int }{ // share: of the jobs that may be seen, in percent
		{4200, 0, 100}, {1000, 2, 10}, {500, 10, 1000}, {300, 50, 0}, {100, 50, 7}, {60, 99, 1}, {60, 1, 1}, {300, 100, 100}, {1, 100, 1}, {0, 0, 5},
	} {
		for _, order := range []bedrock.SortOrder{bedrock.SortOrderAscending, bedrock.SortOrderDescending} {
			store := &counting{memory: newMemory()}
			a := New(Options{Store: store, Authorizer: decided{set}, Region: "us-east-1"})
			var want, got []string
			for i := range c.jobs {
				j := batholith.Job{ID: fmt.Sprintf("job%09d", i), Account: account, Status: batholith.StatusScheduled}
				store.tags[j.ID] = map[string]string{"team": "blue"}
				if i*37%100 < c.share {
					store.tags[j.ID]["team"] = "red"
					want = append(want, j.ID)
				}
				store.jobs = append(store.jobs, j)
			}
			if order == bedrock.SortOrderDescending {
				slices.Reverse(want)
			}
			in := bedrock.ListModelInvocationJobsInput{MaxResults: c.page, SortOrder: order}
			for range c.jobs + 1 {
				store.read, store.most = 0, 0
				out, err := a.ListModelInvocationJobs(as(account), &in)
				if err != nil {
					t.Fatal(err)
				}
				if store.read >= mostSought+2*mostAtOnce || store.most > mostAtOnce {
					t.Fatalf("%+v: %d jobs were read for a page, %d at once", c, store.read, store.most)
				}
				if c.page > 0 && len(out.InvocationJobSummaries) > c.page {
					t.Fatalf("%+v: %d jobs on a page", c, len(out.InvocationJobSummaries))
				}
				for _, j := range out.InvocationJobSummaries {
					got = append(got, idOf(j.JobARN))
				}
				if in.NextToken = out.NextToken; in.NextToken == "" {
					break
				}
			}
			if in.NextToken != "" || !slices.Equal(want, got) {
				t.Fatalf("%+v: %d jobs, want %d", c, len(got), len(want))
			}
		}
	}
}

// What cannot be read is a fault, and no answer about the job.
func TestAStoreThatFailsPermitsNothing(t *testing.T) {
	set, err := authz.Parse("p", `permit(principal, action, resource);`)
	if err != nil {
		t.Fatal(err)
	}
	a := newTester(func(o *Options) { o.Authorizer, o.Store = decided{set}, broken{newMemory()} })
	_, err = a.StopModelInvocationJob(a.ctx, &bedrock.StopModelInvocationJobInput{JobIdentifier: "abcdefghijkl"})
	var e *bedrock.Error
	if err == nil || errors.As(err, &e) {
		t.Error(err)
	}
}

type broken struct{ *memory }

func (broken) Job(context.Context, string, string) (batholith.Job, error) {
	return batholith.Job{}, errors.New("the disk is gone")
}

// The schema knows every operation, so that a policy may name it.
func TestEveryOperationIsAnAction(t *testing.T) {
	var known []string
	service := reflect.TypeFor[bedrock.Service]()
	for i := range service.NumMethod() {
		name := service.Method(i).Name
		if name == "CheckModelInvocationJob" {
			continue
		}
		known = append(known, name)
		if _, err := authz.Parse("p", `permit(principal, action == Action::"bedrock:`+name+`", resource);`); err != nil {
			t.Error(err)
		}
	}
	if len(known) < 14 {
		t.Error(known)
	}
}
