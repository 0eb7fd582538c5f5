package authz

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	account = "000000000000"
	other   = "111111111111"
	haiku   = "anthropic.claude-3-haiku-20240307-v1:0"
	jobARN  = "arn:aws:bedrock:us-east-1:000000000000:model-invocation-job/abcdefghijkl"
)

var (
	alice = Identity{Account: account, Principal: "alice", Groups: []string{"red"}}
	bob   = Identity{Account: account, Principal: "bob", Groups: []string{"blue", "auditors"}}
)

func parse(t *testing.T, text string) *Set {
	t.Helper()
	s, err := Parse("policy.cedar", text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func job(owner string, tags map[string]string) Resource {
	return Resource{Type: TypeJob, ID: jobARN, Account: account, Job: Job{Owner: owner, Name: "nightly", Model: haiku, Tags: tags}}
}

func get(who Identity, r Resource) Request {
	return Request{Who: who, Action: "bedrock:GetModelInvocationJob", Resource: r}
}

func TestEveryFaultHasItsPlaceAndItsRemedy(t *testing.T) {
	for text, want := range map[string][]string{
		`permit(principal, action == Action::"bedrock:GetJob", resource);`: {
			`:1:37: there is no action "bedrock:GetJob" (did you mean "bedrock:GetModelInvocationJob"?)`},
		`permit(principal, action == Action::"bedrock:CreateJob", resource);`: {
			`:1:37: there is no action "bedrock:CreateJob" (did you mean "bedrock:CreateModelInvocationJob"?)`},
		`permit(principal, action == Action::"kms:Sign", resource);`: {
			`:1:37: there is no action "kms:Sign" (the actions of kms are kms:*, kms:Decrypt, kms:Encrypt, kms:DescribeKey, kms:GenerateDataKey)`},
		`permit(principal, action == Action::"sqs:SendMessage", resource);`: {
			`:1:37: there is no action "sqs:SendMessage" (actions have AWS's names and begin with one of bedrock:, iam:, kms:, s3:, sts:, such as bedrock:GetModelInvocationJob)`},
		`permit(principal, action, resource is Jobs);`: {
			`:1:39: there is no entity type Jobs (did you mean Job? the types are Account, Bucket, Group, Job, Key, Model, Principal, Role)`},
		`permit(principal, action, resource is Job) when { resource.jobName == "x" };`: {
			":1:60: attribute `jobName` on entity type `Job` not found (known here: account, groups, model, name, owner, tags)"},
		"permit(principal, action == Action::\"stopmodelinvocationjob\", resource);": {
			`:1:37: there is no action "stopmodelinvocationjob" (did you mean "bedrock:StopModelInvocationJob"?)`},
		"// who\nforbid(principal in Team::\"x\", action, resource);\n\n   permit(principal, action == Action::\"s3:Get\", resource);": {
			`:2:21: there is no entity type Team (the types are Account, Bucket, Group, Job, Key, Model, Principal, Role)`,
			`:4:40: there is no action "s3:Get" (did you mean "s3:Get*"?)`},
		`permit(principal, action, resource is Job) when { resource.ownr == principal };`: {
			":1:60: attribute `ownr` on entity type `Job` not found (did you mean \"owner\"?)"},
		`permit(principal, action, resource) when { resource.owner == principal };`: {
			":1:53: attribute `owner` on entity type `Account` not found (only a Job has it: say that the resource is Job)"},
		`permit(principal, action, resource) when { context.key like "in/*" };`: {
			":1:52: attribute `key` in context for Action::\"bedrock:CountTokens\" not found (name the actions that have it: the schema says which)"},
		`permit(principal, action, resource is Job) when { resource.tags.team == "red" };`: {
			":1:65: unable to guarantee safety of access to optional attribute `tags.team` on entity type `Job` (it may be absent: ask first whether it is there, with has)"},
		`permit(principal, action, resource is Job) when { resource.getTag("team") == "red" };`: {
			":1:60: unable to guarantee safety of access to tag `\"team\"` on entity type `Job` (the job may not have the tag: ask first whether it is there, with hasTag)"},
		"permit(principal, action, resource is Job)\nwhen { true }\nunless { resource.name == 1 };": {
			":3:1: the types Long and String are not compatible"},
		`permit(principal, action == Action::"iam:PassRole", resource is Job);`: {
			":1:1: the policy can never apply: no action that it names has such a resource (see in the schema which action has which resource)"},
		`permit(principal, action, resource`:                 {`:1:35: the policy ends too early: ")" is missing`},
		"permit(principal, action, resource)\nwhen { \"a };": {":2:8: literal not terminated"},
		"permit(principal, action, resource);\n  allow(principal, action, resource);\npermit(principal, action, resource) when { a b };": {
			`:2:3: a policy begins with permit or forbid, not with "allow"`, `:3:46: at "b": invalid primary`},
		"@id(\"a\") permit(principal, action, resource);\n@id(\"a\") forbid(principal, action, resource);": {
			`:2:1: the id "a" is there twice: the policy in line 1 has it, too (give each policy its own @id)`},
		"\xff":                                  {`: the file is not UTF-8 text (write Cedar policies into it)`},
		strings.Repeat(" ", maxFile+1):          {`: the file is longer than 1 MiB (write Cedar policies into it)`},
		"\n" + strings.Repeat("a", 32780) + ";": {`:2:1: the policy is longer than 32 KiB (split it into several)`},
	} {
		_, err := Parse("policy.cedar", text)
		var wrong *Error
		if !errors.As(err, &wrong) {
			t.Errorf("%.80s: taken", text)
			continue
		}
		for i := range want {
			want[i] = "policy.cedar" + want[i]
		}
		if d := cmp.Diff(want, strings.Split(err.Error(), "\n")); d != "" {
			t.Errorf("%.80s: %s", text, d)
		}
	}
}

func TestAPolicyDecidesByWhatItSays(t *testing.T) {
	red, blue := job("alice", map[string]string{"team": "red"}), job("bob", map[string]string{"team": "blue", "a b": "c"})
	model := Resource{Type: TypeModel, ID: haiku}
	create := Request{Who: alice, Action: "bedrock:CreateModelInvocationJob", Resource: model}
	object := Request{Who: alice, Action: "s3:GetObject", Resource: Resource{Type: TypeBucket, ID: "box", Account: account}, Context: map[string]string{"key": "in/a"}}
	tagged := create
	tagged.Tags = map[string]string{"team": "red"}
	for _, tt := range []struct {
		policy  string
		yes, no []Request
	}{
		{`permit(principal == Principal::"alice", action, resource);`, []Request{get(alice, red), create, object}, []Request{get(bob, red)}},
		{`permit(principal in Group::"red", action, resource);`, []Request{get(alice, blue)}, []Request{get(bob, red)}},
		{`permit(principal in Account::"000000000000", action in Action::"bedrock:*", resource in Account::"000000000000");`,
			[]Request{get(alice, blue), get(bob, blue), create}, []Request{object}},
		{`permit(principal, action in Action::"bedrock:Get*", resource);`, []Request{get(alice, blue)}, []Request{object, create}},
		{`permit(principal, action, resource) when { principal.account == resource.account };`, []Request{get(alice, blue), create, object}, nil},
		{`permit(principal, action, resource is Job) when { resource.owner == principal };`, []Request{get(alice, red), get(bob, blue)}, []Request{get(alice, blue), create}},
		{`permit(principal, action, resource is Job) when { resource.owner == "alice" };`, []Request{get(alice, red), get(bob, red)}, []Request{get(alice, blue)}},
		{`permit(principal, action, resource is Job) when { resource.owner == principal.name };`, []Request{get(alice, red)}, []Request{get(bob, red)}},
		{`permit(principal, action, resource is Job) when { resource.model == Model::"` + haiku + `" };`, []Request{get(alice, red)}, []Request{create}},
		{`permit(principal, action, resource is Job) when { resource.model == "` + haiku + `" && resource.owner == principal };`, []Request{get(alice, red)}, []Request{get(alice, blue)}},
		{`permit(principal, action, resource is Job) when { resource.model in Account::"000000000000" };`, []Request{get(alice, red)}, nil},
		{`permit(principal, action, resource is Job) when { resource.name like "night*" };`, []Request{get(alice, red)}, nil},
		{`permit(principal, action, resource is Job) when { resource.tags has team && resource.tags.team == "red" };`, []Request{get(bob, red)}, []Request{get(bob, blue), get(bob, job("alice", nil))}},
		{`permit(principal, action, resource is Job) when { resource has tags.team && principal.groups.contains(resource.tags.team) };`, []Request{get(alice, red), get(bob, blue)}, []Request{get(bob, red)}},
		{`permit(principal, action, resource is Job) when { resource.tags has "a b" && resource.tags["a b"] == "c" };`, []Request{get(bob, blue)}, []Request{get(bob, red)}},
		{`permit(principal, action, resource is Job) when { resource.hasTag("team") && principal.groups.contains(resource.getTag("team")) };`, []Request{get(alice, red), get(bob, blue)}, []Request{get(bob, red)}},
		{`permit(principal, action == Action::"bedrock:CreateModelInvocationJob", resource) when { context.requestTags has team && principal.groups.contains(context.requestTags.team) };`,
			[]Request{tagged}, []Request{create}},
		{`permit(principal, action, resource == Model::"` + haiku + `");`, []Request{create}, []Request{get(alice, red)}},
		{`permit(principal, action, resource == Job::"` + jobARN + `");`, []Request{get(alice, red)}, []Request{create}},
		{`permit(principal, action == Action::"s3:GetObject", resource == Bucket::"box") when { context.key like "in/*" };`, []Request{object}, nil},
		{`permit(principal, action == Action::"s3:GetObject", resource) when { context.key like "out/*" };`, nil, []Request{object}},
		{``, nil, []Request{create, object, get(alice, red)}},
	} {
		s := parse(t, tt.policy)
		for _, r := range tt.yes {
			if d := s.Decide(r); !d.Allowed || d.Explicit || cmp.Diff([]string{"policy1"}, d.Policies) != "" {
				t.Errorf("%s: %+v: %+v", tt.policy, r, d)
			}
		}
		for _, r := range tt.no {
			if d := s.Decide(r); d.Allowed || d.Explicit || d.Policies != nil || !strings.Contains(d.Reason, "permit(principal == Principal::\"") {
				t.Errorf("%s: %+v: %+v", tt.policy, r, d)
			}
		}
	}
}

func TestAPolicyThatForbidsWins(t *testing.T) {
	s := parse(t, `
		@id("all") permit(principal, action, resource);
		@id("not-red") forbid(principal, action, resource is Job) when { resource.hasTag("team") && resource.getTag("team") == "red" };
		@id("not-alice") forbid(principal == Principal::"alice", action, resource is Job) when { resource.owner == "alice" };`)
	d := s.Decide(get(alice, job("alice", map[string]string{"team": "red"})))
	if d.Allowed || !d.Explicit || cmp.Diff([]string{"not-alice", "not-red"}, d.Policies) != "" {
		t.Errorf("%+v", d)
	}
	if d := s.Decide(get(alice, job("bob", nil))); !d.Allowed || cmp.Diff([]string{"all"}, d.Policies) != "" {
		t.Errorf("%+v", d)
	}
}

// Cedar passes over a policy that cannot be evaluated. Of one that forbids this would let through what it was written against.
func TestAPolicyThatForbidsAndCannotBeEvaluatedDenies(t *testing.T) {
	s := parse(t, `permit(principal, action, resource);
		@id("broken") forbid(principal, action, resource) when { 9223372036854775807 + 1 == 0 };`)
	if d := s.Decide(get(alice, job("alice", nil))); d.Allowed || !d.Explicit || cmp.Diff([]string{"broken"}, d.Policies) != "" {
		t.Errorf("%+v", d)
	}
}

func TestACallerMayDoNothingInAnotherAccount(t *testing.T) {
	open, err := Open("", nil)
	if err != nil {
		t.Fatal(err)
	}
	all := parse(t, `permit(principal, action, resource);`)
	for action, uses := range resources() {
		for _, r := range uses {
			for _, owner := range []string{account, other} {
				r.Account = owner
				q := Request{Who: alice, Action: action, Resource: r}
				for name, d := range map[string]Decision{"open": open.Decide(t.Context(), q), "a file that permits all": all.Decide(q)} {
					if d.Allowed != (owner == account) || d.Allowed == d.Explicit {
						t.Errorf("%s: %s on %s of %s: %+v", name, action, r.Type, owner, d)
					}
				}
			}
		}
	}
	for _, who := range []Identity{{}, {Account: account}, {Principal: "alice"}} {
		if d := open.Decide(t.Context(), get(who, job("alice", nil))); d.Allowed {
			t.Errorf("%+v: %+v", who, d)
		}
	}
}

// resources are an example of each type of resource that an action applies to.
func resources() map[string][]Resource {
	all := map[string][]Resource{}
	for uid, a := range known().actions {
		if a.AppliesTo == nil {
			continue
		}
		for _, typ := range a.AppliesTo.Resources {
			all[string(uid.ID)] = append(all[string(uid.ID)], Resource{Type: string(typ), ID: "x", Job: Job{Owner: "alice", Name: "n", Model: haiku}})
		}
	}
	return all
}

// A policy may read whatever the schema says is there. If an entity lacked some of it, a policy could not be evaluated, and one that forbids
// would deny everything.
func TestEveryRequestHasWhatTheSchemaSays(t *testing.T) {
	v := known()
	for action, uses := range resources() {
		for _, r := range uses {
			text := "permit(principal, action == Action::\"" + action + "\", resource is " + r.Type + ") when { principal.name == \"alice\" && principal.account == \"" + account + "\" && principal.groups.contains(\"red\") && resource.account == principal.account"
			for name := range v.actions[actionUID(action)].AppliesTo.Context {
				if name != "requestTags" {
					text += " && context." + string(name) + " == \"\""
				}
			}
			if r.Type == TypeJob {
				text += ` && resource.owner == principal && resource.name == "n" && resource.model.account == principal.account && resource.model == Model::"` + haiku + `"`
			}
			s := parse(t, text+" };")
			if d := s.Decide(Request{Who: alice, Action: action, Resource: r}); !d.Allowed {
				t.Errorf("%s: %+v", text, d)
			}
		}
	}
}

func TestRefusalsAreInAWSWords(t *testing.T) {
	s := parse(t, `forbid(principal in Group::"auditors", action, resource);`)
	for who, want := range map[*Identity]string{
		&alice: "User: arn:aws:iam::000000000000:user/alice is not authorized to perform: bedrock:GetModelInvocationJob on resource: " + jobARN +
			" because no identity-based policy allows the bedrock:GetModelInvocationJob action",
		&bob: "User: arn:aws:iam::000000000000:user/bob is not authorized to perform: bedrock:GetModelInvocationJob on resource: " + jobARN +
			" with an explicit deny in an identity-based policy",
		{Account: account, Principal: "arn:aws:sts::000000000000:assumed-role/batch/me"}: "User: arn:aws:sts::000000000000:assumed-role/batch/me is not authorized to perform: bedrock:GetModelInvocationJob on resource: " + jobARN +
			" because no identity-based policy allows the bedrock:GetModelInvocationJob action",
	} {
		r := get(*who, job("alice", nil))
		if got := s.Decide(r).Refusal(r, jobARN); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// What a denied caller is told to add is a policy that is taken, and that permits the request and nothing else.
func TestTheReasonOfADenialIsThePolicyThatIsMissing(t *testing.T) {
	none := parse(t, "")
	for action, uses := range resources() {
		for _, r := range uses {
			q := Request{Who: Identity{Account: account, Principal: `a"l\ice`}, Action: action, Resource: r}
			_, missing, _ := strings.Cut(none.Decide(q).Reason, "It would take: ")
			s := parse(t, missing)
			if d := s.Decide(q); !d.Allowed {
				t.Errorf("%s: %+v", missing, d)
			}
			q.Who.Principal = "alice"
			if d := s.Decide(q); d.Allowed {
				t.Errorf("%s: %+v", missing, d)
			}
		}
	}
}

// pieces are what policies are made of, for texts that come close to one.
var pieces = strings.Fields(`permit forbid ( ) , ; principal action resource == in is when unless { } [ ] resource.owner Principal::"alice" Action::"bedrock:*"
	Job has hasTag("a") getTag("a") . tags "a" context requestTags && || ! - + * if then else @id("a") like "a*" true 1 9223372036854775807 ip("::1") decimal("1.0") // \u{1} " ' :: __cedar`)

// Nobody's text brings the server down, and every text that is taken decides every request.
func FuzzPolicyTextNeverPanics(f *testing.F) {
	f.Add(`permit(principal, action, resource);`)
	f.Add(`@id("x") forbid(principal in Group::"g", action in [Action::"s3:GetObject"], resource == Bucket::"b") when { context.key like "a\*b" } unless { if true then false else 1 == 2 };`)
	f.Add(`permit(principal, action, resource is Job) when { resource has tags.team.x && {a: [1, -2, ip("1.1.1.1/8")]}["a"].isEmpty() };`)
	f.Add(strings.Repeat("(", 1000))
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var b strings.Builder
		for range 1 + rng.IntN(40) {
			b.WriteString(pieces[rng.IntN(len(pieces))] + " ")
		}
		f.Add("permit(principal, action, resource) when { " + b.String() + "};")
		f.Add(b.String())
	}
	uses := resources()
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse("policy.cedar", text)
		if (s == nil) == (err == nil) {
			t.Fatalf("%v %v", s, err)
		}
		var wrong *Error
		if err != nil && (!errors.As(err, &wrong) || len(wrong.Problems) == 0) {
			t.Fatal(err)
		}
		for _, p := range wrong.problems() {
			if lines := strings.Count(text, "\n") + 1; p.Line < 0 || p.Line > lines || p.Line > 0 && p.Column < 1 || strings.ContainsAny(p.What, "\n\x1b") {
				t.Fatalf("%+v in %d lines", p, lines)
			}
		}
		if err != nil {
			return
		}
		for action, all := range uses {
			for _, r := range all {
				if d := s.Decide(Request{Who: alice, Action: action, Resource: r}); d.Reason == "" {
					t.Fatalf("%s: %+v", action, d)
				}
			}
		}
	})
}

func (e *Error) problems() []Problem {
	if e == nil {
		return nil
	}
	return e.Problems
}

// A policy that is nested as deeply as its length allows does not use up the stack.
func TestDeeplyNestedPoliciesAreRefusedOrDecide(t *testing.T) {
	for _, nest := range [][2]string{{"(", ")"}, {"[", "]"}, {"if true then ", " else true"}, {"true && ", ""}, {"{a: ", "}.a"}, {"resource.", ""}} {
		n := (maxPolicy - 200) / (len(nest[0]) + len(nest[1]))
		text := fmt.Sprintf("permit(principal, action, resource) when { %strue%s };", strings.Repeat(nest[0], n), strings.Repeat(nest[1], n))
		if s, err := Parse("policy.cedar", text); err == nil {
			s.Decide(get(alice, job("alice", nil)))
		}
	}
}

// A comment that nobody closes would hide the policies after it, those that forbid too.
func TestAnUnfinishedCommentHidesNoPolicy(t *testing.T) {
	permit, forbid := "permit (principal, action, resource);", "forbid (principal, action, resource);"
	for text, policies := range map[string]int{
		permit + " /* note\n" + forbid:                  0,
		permit + " /*/\n" + forbid:                      0,
		"/* note\n" + forbid:                            0,
		permit + "// note /*\n" + forbid:                2,
		permit + " /* " + forbid + " */ " + permit:      2,
		"/**/" + permit + "/* // */" + forbid + "// /*": 2,
	} {
		set, err := Parse("policy.cedar", text)
		if policies == 0 && err == nil {
			t.Errorf("%q is taken with %d policies", text, set.Len())
		}
		if policies > 0 && (err != nil || set.Len() != policies) {
			t.Errorf("%q: %v, want %d policies", text, err, policies)
		}
	}
}
