package s3serve

import (
	"bytes"
	"context"
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"log/slog"
	"net/http"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/versity/versitygw/backend"

	"github.com/batholith/batholith/internal/authz"
	"github.com/batholith/batholith/internal/sigv4"
)

// judge decides by a function and remembers what it was asked.
type judge struct {
	allows func(r authz.Request) authz.Decision

	mu    sync.Mutex
	asked []authz.Request
}

func (j *judge) Decide(_ context.Context, r authz.Request) authz.Decision {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.asked = append(j.asked, r)
	return j.allows(r)
}

// actions returns what was asked since the last call.
func (j *judge) actions() (all []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, r := range j.asked {
		all = append(all, r.Action)
	}
	j.asked = nil
	return all
}

func allowAll(authz.Request) authz.Decision { return authz.Decision{Allowed: true} }
func denyAll(authz.Request) authz.Decision  { return authz.Decision{} }

// askOf is a request of a route. It need not succeed.
func askOf(r route) ask {
	a := ask{method: r.method, target: "/box", header: http.Header{}}
	if r.object {
		a.target += "/k"
	}
	for i, parameter := range r.query {
		name, value, valued := strings.Cut(parameter, "=")
		if !valued {
			value = map[string]string{"partNumber": "1", "uploadId": "0123-ab"}[name]
		}
		a.target += []string{"?", "&"}[min(i, 1)] + name + "=" + value
	}
	if r.copies {
		a.header.Set("X-Amz-Copy-Source", "box/source")
	}
	if r.method == http.MethodPut && r.operation == "CreateBucket" {
		a.target = "/fresh"
	}
	return a
}

// try sends a request of a route. One that sets an attribute has a document.
func (w *wire) try(t *testing.T, r route) reply {
	t.Helper()
	a := askOf(r)
	if r.method == http.MethodPut && len(r.query) == 1 {
		return w.document(t, a.method, a.target, "<Document></Document>")
	}
	return w.do(t, a)
}

func TestEveryOperationAsksForItsAction(t *testing.T) {
	w := newWire(t)
	var log bytes.Buffer
	w.server.store.log = slog.New(slog.NewTextHandler(&log, nil))
	j := &judge{allows: denyAll}
	for _, r := range routes {
		if r.operation == "PostObject" { // has its own test; a body without a form is refused before
			continue
		}
		w.put(t, "/box/k", "x")
		w.put(t, "/box/source", "x")
		w.server.store.authorizer, j.asked = j, nil
		j.allows = denyAll
		reply := w.try(t, r)
		got, want := j.actions(), actions[r.operation]
		if r.operation == "DeleteObjects" { // each of its keys is decided on
			want = ""
		} else if reply.status != http.StatusForbidden || r.method != http.MethodHead && reply.code() != "AccessDenied" {
			t.Errorf("%s, denied: %d %s", r.operation, reply.status, reply.body)
		}
		if want != "" && (len(got) != 1 || got[0] != want) {
			t.Errorf("%s asks for %q, want %s", r.operation, got, want)
		}
		j.allows = allowAll
		if reply := w.try(t, r); reply.status == http.StatusForbidden || reply.status == 0 {
			t.Errorf("%s, allowed: %d %s", r.operation, reply.status, reply.body)
		}
		w.server.store.authorizer = nil
	}
	if strings.Contains(log.String(), "routed to another operation") {
		t.Errorf("the gateway has other routes: %s", log.String())
	}
}

// other are methods of the storage that are no operations of S3, or that the gateway's administration calls, which is not served.
var other = []string{"Shutdown", "String", "NormalizeObjectKey", "ListBucketsAndOwners", "ChangeBucketOwner"}

func TestEveryOperationOfTheGatewayHasAnAction(t *testing.T) {
	for m := range reflect.TypeFor[backend.Backend]().Methods() {
		name := m.Name
		if _, ok := actions[name]; !ok && !slices.Contains(other, name) {
			t.Errorf("the storage's %s has no action", name)
		}
	}
	names := map[string]string{"ListAllMyBuckets": "ListBuckets"} // the gateway's words, where they are not S3's
	for _, list := range []string{"Analytics", "IntelligentTiering", "Inventory", "Metrics"} {
		names["ListBucket"+list+"Configurations"] = "GetBucket" + list + "Configuration"
	}
	found := 0
	for _, name := range gatewaysActions(t) {
		found++
		op := name
		if n, ok := names[name]; ok {
			op = n
		}
		if strings.HasSuffix(op, "BucketLifecycleConfiguration") {
			op = strings.TrimSuffix(op, "Configuration")
		}
		if _, ok := actions[op]; !ok {
			t.Errorf("the gateway's route %s has no action", name)
		}
	}
	if found < 80 {
		t.Errorf("only %d routes were found", found)
	}
}

// gatewaysActions are the names of the routes in the gateway's router.
func gatewaysActions(t *testing.T) (names []string) {
	t.Helper()
	pkg, err := build.Import("github.com/versity/versitygw/s3api", ".", build.FindOnly)
	if err != nil {
		t.Fatal(err)
	}
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(pkg.Dir, "router.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		s, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		name, is := strings.CutPrefix(s.Sel.Name, "Action")
		if of, ok := s.X.(*ast.Ident); ok && is && of.Name == "metrics" && !strings.HasPrefix(name, "Admin") && name != "Undetected" && name != "Options" && !slices.Contains(names, name) {
			names = append(names, name)
		}
		return true
	})
	return names
}

func TestPoliciesKnowEveryAction(t *testing.T) {
	all := []string{"s3:GetObjectVersion", "s3:DeleteObjectVersion", "s3:BypassGovernanceRetention"}
	for _, action := range actions {
		all = append(all, action)
	}
	for _, action := range all {
		if _, err := authz.Parse("policy.cedar", `permit(principal, action == Action::"`+action+`", resource);`); err != nil && action != "" {
			t.Errorf("%s: %v", action, err)
		}
	}
}

func TestEverySettingHasAnAction(t *testing.T) {
	for name := range settings {
		if !slices.ContainsFunc(ofBucket, func(r subresource) bool { return r.parameter == name }) {
			t.Errorf("the setting %s has no action", name)
		}
	}
}

func TestADenialIsSaidInAWSsWords(t *testing.T) {
	w := newWire(t)
	w.put(t, "/box/a/k", "x")
	j := &judge{allows: denyAll}
	w.server.accounts.set([]Account{{AccessKeyID: "AK", Secret: "secret", Identity: sigv4.Identity{Principal: "ann", Groups: []string{"team"}}}})
	w.server.store.authorizer = j
	r := w.do(t, ask{method: "GET", target: "/box/a/k"})
	const want = `User: arn:aws:iam::000000000000:user/ann is not authorized to perform: s3:GetObject on resource: &#34;arn:aws:s3:::box/a/k&#34; because no identity-based policy allows the s3:GetObject action`
	if got := element(r.body, "Message"); r.status != http.StatusForbidden || got != want {
		t.Errorf("%d %s", r.status, r.body)
	}
	q := j.asked[0]
	if fmt.Sprint(q.Who) != "{000000000000 ann [team]}" || q.Resource.Type != authz.TypeBucket || q.Resource.ID != "box" || q.Resource.Account != "000000000000" || q.Context["key"] != "a/k" {
		t.Errorf("asked %+v", q)
	}
	j.asked = nil
	w.do(t, ask{method: "GET", target: "/box?list-type=2&prefix=a%2F"})
	if q := j.asked[0]; q.Action != "s3:ListBucket" || q.Context["prefix"] != "a/" {
		t.Errorf("asked %+v", q)
	}
}

func TestMoreIsAskedWhereARequestDoesMore(t *testing.T) {
	w := newWire(t)
	w.put(t, "/box/k", "x")
	w.must(t, ask{method: "PUT", target: "/box/tagged", header: http.Header{"X-Amz-Tagging": {"a=b"}}})
	j := &judge{allows: allowAll}
	w.server.store.authorizer = j
	for want, a := range map[string]ask{
		"[s3:PutObject s3:PutObjectTagging]":                                           {method: "PUT", target: "/box/t", header: http.Header{"X-Amz-Tagging": {"a=b"}}},
		"[s3:GetObject s3:GetObjectVersion]":                                           {method: "GET", target: "/box/k?versionId=null"},
		"[s3:GetObjectAttributes s3:GetObject]":                                        {method: "GET", target: "/box/k?attributes=", header: http.Header{"X-Amz-Object-Attributes": {"ETag"}}},
		"[s3:PutObject s3:GetObject]":                                                  {method: "PUT", target: "/box/c", header: http.Header{"X-Amz-Copy-Source": {"box/k"}}},
		"[s3:PutObject s3:GetObject s3:GetObjectTagging s3:PutObjectTagging]":          {method: "PUT", target: "/box/c", header: http.Header{"X-Amz-Copy-Source": {"box/tagged"}}},
		"[s3:PutObject s3:PutObjectTagging s3:GetObject]":                              {method: "PUT", target: "/box/c", header: http.Header{"X-Amz-Copy-Source": {"box/tagged"}, "X-Amz-Tagging-Directive": {"REPLACE"}, "X-Amz-Tagging": {"a=b"}}},
		"[s3:PutObject s3:GetObject s3:GetObjectVersion]":                              {method: "PUT", target: "/box/c", header: http.Header{"X-Amz-Copy-Source": {"box/k?versionId=null"}}},
		"[s3:CreateBucket s3:PutBucketObjectLockConfiguration s3:PutBucketVersioning]": {method: "PUT", target: "/locked", header: http.Header{"X-Amz-Bucket-Object-Lock-Enabled": {"true"}}},
		"[s3:CreateBucket s3:PutBucketOwnershipControls]":                              {method: "PUT", target: "/owned", header: http.Header{"X-Amz-Object-Ownership": {"BucketOwnerEnforced"}}},
		"[s3:DeleteObject s3:DeleteObject]":                                            {method: "POST", target: "/box?delete=", body: []byte(`<Delete><Object><Key>a</Key></Object><Object><Key>b</Key></Object></Delete>`)},
		"[s3:ListAllMyBuckets]":                                                        {method: "GET", target: "/"},
		"[s3:PutObject s3:PutObjectAcl]":                                               {method: "PUT", target: "/box/a", header: http.Header{"X-Amz-Acl": {"private"}}},
		"[s3:DeleteObject s3:DeleteObjectVersion ]":                                    {method: "DELETE", target: "/box/none?versionId=null"},
	} {
		j.actions()
		if a.method == "POST" {
			w.document(t, a.method, a.target, string(a.body))
		} else {
			w.do(t, a)
		}
		if got := fmt.Sprint(j.actions()); got != strings.Replace(want, " ]", "]", 1) {
			t.Errorf("%s %s asks for %s, want %s", a.method, a.target, got, want)
		}
	}
}

func TestTheKeysOfADeletionAreDecidedOneByOne(t *testing.T) {
	w := newWire(t)
	w.put(t, "/box/mine", "x")
	w.put(t, "/box/locked", "x")
	w.server.store.authorizer = &judge{allows: func(r authz.Request) authz.Decision { return authz.Decision{Allowed: r.Context["key"] != "locked"} }}
	r := w.document(t, "POST", "/box?delete=", `<Delete><Object><Key>mine</Key></Object><Object><Key>locked</Key></Object></Delete>`)
	if r.status != http.StatusOK || !strings.Contains(r.body, "<Deleted><Key>mine</Key>") || !strings.Contains(r.body, "<Code>AccessDenied</Code>") {
		t.Errorf("%d %s", r.status, r.body)
	}
	w.server.store.authorizer = nil
	if r := w.do(t, ask{method: "HEAD", target: "/box/locked"}); r.status != http.StatusOK {
		t.Errorf("the other object: %d", r.status)
	}
}

// S3 tells a caller that may not list a bucket nothing about which objects are missing.
func TestAMissingObjectIsToldToThoseWhoMayListOnly(t *testing.T) {
	w := newWire(t)
	for lists, want := range map[bool]int{true: http.StatusNotFound, false: http.StatusForbidden} {
		w.server.store.authorizer = &judge{allows: func(r authz.Request) authz.Decision {
			return authz.Decision{Allowed: lists || r.Action != "s3:ListBucket"}
		}}
		for _, method := range []string{"GET", "HEAD"} {
			if r := w.do(t, ask{method: method, target: "/box/none"}); r.status != want {
				t.Errorf("%s, may list %v: %d, want %d", method, lists, r.status, want)
			}
		}
		id := element(w.must(t, ask{method: "POST", target: "/box/u?uploads="}).body, "UploadId")
		for _, a := range []ask{{method: "GET", target: "/box/none?attributes=", header: http.Header{"X-Amz-Object-Attributes": {"ETag"}}},
			{method: "PUT", target: "/box/c", header: http.Header{"X-Amz-Copy-Source": {"box/none"}}},
			{method: "PUT", target: "/box/u?partNumber=1&uploadId=" + id, header: http.Header{"X-Amz-Copy-Source": {"box/none"}}}} {
			if r := w.do(t, a); r.status != want {
				t.Errorf("%s %s, may list %v: %d, want %d", a.method, a.target, lists, r.status, want)
			}
		}
	}
}

func TestARequestWithTwoMeaningsIsRefused(t *testing.T) {
	w := newWire(t)
	for _, target := range []string{"/box?logging=", "/box?location=", "/box?versioning="} { // an empty bucket, which the gateway would delete
		if r := w.do(t, ask{method: "DELETE", target: target}); r.status != http.StatusMethodNotAllowed {
			t.Errorf("DELETE %s: %d %s", target, r.status, r.body)
		}
	}
	w.put(t, "/box/k", "x")
	for _, target := range []string{"/box?acl=&policy=", "/box?location=&tagging=", "/box/k?acl=&tagging="} {
		if r := w.do(t, ask{method: "GET", target: target}); r.status != http.StatusBadRequest || !strings.Contains(r.body, "Conflicting query string parameters") {
			t.Errorf("%s: %d %s", target, r.status, r.body)
		}
	}
}

// The rights of a role are those of the settings: a policy need not permit them, and may forbid them.
func TestARoleIsDeniedWhatAPolicyForbidsOnly(t *testing.T) {
	w := newWire(t)
	w.put(t, "/box/k", "x")
	w.server.accounts.set([]Account{{AccessKeyID: "AK", Secret: "secret", Role: true, Identity: sigv4.Identity{Principal: "arn:aws:iam::000000000000:role/r"}}})
	for explicit, want := range map[bool]int{false: http.StatusOK, true: http.StatusForbidden} {
		w.server.store.authorizer = &judge{allows: func(authz.Request) authz.Decision { return authz.Decision{Explicit: explicit} }}
		if r := w.do(t, ask{method: "GET", target: "/box/k"}); r.status != want {
			t.Errorf("forbidden %v: %d, want %d", explicit, r.status, want)
		}
	}
}

func TestAKeyStaysBelowItsPrefixes(t *testing.T) {
	w := newWire(t)
	for _, key := range []string{"in/k", "out/k", "other/k"} {
		w.put(t, "/box/"+key, "x")
	}
	if err := w.server.EnsureBucket("whole"); err != nil {
		t.Fatal(err)
	}
	w.put(t, "/whole/k", "x")
	w.server.accounts.set([]Account{{AccessKeyID: "AK", Secret: "secret", Buckets: []string{"box/in/", "box/out/", "whole"}}})
	copies := func(from string) http.Header { return http.Header{"X-Amz-Copy-Source": {from}} }
	for _, c := range []struct {
		ask
		denied bool
	}{
		{ask{method: "HEAD", target: "/box"}, false}, {ask{method: "GET", target: "/box?location="}, false},
		{ask{method: "GET", target: "/box/in/k"}, false}, {ask{method: "PUT", target: "/box/out/new"}, false},
		{ask{method: "GET", target: "/box?list-type=2&prefix=in/"}, false}, {ask{method: "GET", target: "/box?list-type=2&prefix=in/deep"}, false},
		{ask{method: "GET", target: "/box?uploads=&prefix=out/"}, false}, {ask{method: "HEAD", target: "/box/in/none"}, false},
		{ask{method: "PUT", target: "/box/out/copy", header: copies("box/in/k")}, false}, {ask{method: "PUT", target: "/box/out/copy", header: copies("whole/k")}, false},
		{ask{method: "GET", target: "/whole?list-type=2"}, false}, {ask{method: "GET", target: "/whole?policyStatus="}, false},

		{ask{method: "GET", target: "/box/other/k"}, true}, {ask{method: "PUT", target: "/box/other/k"}, true}, {ask{method: "DELETE", target: "/box/other/k"}, true},
		{ask{method: "GET", target: "/box?list-type=2"}, true}, {ask{method: "GET", target: "/box?list-type=2&prefix=in"}, true},
		{ask{method: "GET", target: "/box?prefix=other/"}, true}, {ask{method: "GET", target: "/box?versions="}, true}, {ask{method: "GET", target: "/box?uploads="}, true},
		{ask{method: "PUT", target: "/box/out/copy", header: copies("box/other/k")}, true}, {ask{method: "PUT", target: "/box/out/copy", header: copies("/box/in/..%2Fother/k")}, true},
		{ask{method: "DELETE", target: "/box"}, true}, {ask{method: "GET", target: "/box?policy="}, true}, {ask{method: "PUT", target: "/box?acl=", header: http.Header{"X-Amz-Acl": {"private"}}}, true},
		{ask{method: "PUT", target: "/another"}, true},
	} {
		r := w.do(t, c.ask)
		if denied := r.status == http.StatusForbidden; denied != c.denied && !(c.denied && r.code() == "NoSuchKey") || !c.denied && r.status >= 500 {
			t.Errorf("%s %s %v: %d %s, want it denied %v", c.method, c.target, c.header, r.status, r.body, c.denied)
		}
	}
	r := w.document(t, "POST", "/box?delete=", `<Delete><Object><Key>in/k</Key></Object><Object><Key>other/k</Key></Object></Delete>`)
	if !strings.Contains(r.body, "<Deleted><Key>in/k</Key>") || strings.Contains(r.body, "<Deleted><Key>other/k</Key>") {
		t.Errorf("a deletion: %s", r.body)
	}
}

// A refusal names the first action that is denied.
func TestTheActionsOfARequestAreAskedInOneOrder(t *testing.T) {
	header := func(string) string { return "x" }
	want := also("PutObject", "", header)
	if len(want) != len(writeHeaders) {
		t.Fatalf("%q", want)
	}
	for range 20 {
		if got := also("PutObject", "", header); !slices.Equal(got, want) {
			t.Fatalf("%q, before %q", got, want)
		}
	}
}
