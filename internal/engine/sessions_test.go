package engine

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/object"
	"github.com/batholith/batholith/internal/object/objecttest"
)

const assumedRole = "arn:aws:iam::" + simAccount + ":role/r"

// assuming is a token service with the S3 behind it, and the places of roles that are assumed there.
func assuming(t *testing.T, life time.Duration, roles ...Role) (*objecttest.TokenService, *objecttest.HTTP, *Places) {
	t.Helper()
	s3 := objecttest.NewHTTP("box", objecttest.Quirks{})
	tokens := &objecttest.TokenService{S3: s3, Users: map[string]string{"AK": "secret"}, Life: life, RoleARN: assumedRole, UsersOnlyAssume: true}
	places, err := NewPlaces(object.Config{Endpoint: "http://s3.test", PathStyle: true, Region: "us-east-1", AccessKeyID: "AK", SecretAccessKey: "secret",
		HTTPClient: &http.Client{Transport: tokens}}, "arn:aws:iam::"+simAccount+":role/batholith", roles)
	if err != nil {
		t.Fatal(err)
	}
	return tokens, s3, places
}

// jobOf is a job of a role.
func jobOf(id, role string) batholith.Job {
	return batholith.Job{ID: id, Account: simAccount, Region: "us-east-1",
		Request: batholith.Request{RoleARN: role, Input: batholith.Location{URI: "s3://box/in/"}, Output: batholith.Location{URI: "s3://box/out/"}}}
}

// All parts that work on a job share its session. The service learns of each session whose job it is for.
func TestEachJobHasOneSessionOfItsRoleWithItsName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tokens, _, places := assuming(t, time.Hour, Role{ARN: "arn:aws:iam::" + simAccount + ":role/*", Assume: &object.Role{}})
		for range 3 {
			for n := range 2 {
				place, err := places.Open(t.Context(), jobOf(fmt.Sprint("job", n), assumedRole))
				if err != nil {
					t.Fatal(err)
				}
				if err := place.Output.Put(t.Context(), place.Prefix+"x", nil); err != nil {
					t.Error(err)
				}
				if !place.Allowed().Equal(time.Now()) {
					t.Errorf("the role was allowed something at %v", place.Allowed())
				}
			}
		}
		asked := tokens.Asked()
		if len(asked) != 2 {
			t.Fatalf("asked %d times for two jobs", len(asked))
		}
		for n, a := range asked {
			if a.Form.Get("RoleSessionName") != fmt.Sprint("batholith-job", n) || a.SourceAccount != simAccount || a.SourceARN != jobOf(fmt.Sprint("job", n), "").ARN().String() {
				t.Errorf("session %q on behalf of %q, %q", a.Form.Get("RoleSessionName"), a.SourceAccount, a.SourceARN)
			}
		}
		if places.Client("arn:aws:iam::"+simAccount+":role/*") != nil || places.Client(assumedRole) == nil {
			t.Error("an entry with a wildcard is no role of a token service, and each role that it matches is")
		}
	})
}

// A process that has worked on many jobs remembers the sessions of the last ones.
func TestSessionsAreBounded(t *testing.T) {
	_, _, places := assuming(t, time.Hour, Role{ARN: assumedRole, Assume: &object.Role{}})
	for n := range mostSessions + 10 {
		if _, err := places.Open(t.Context(), jobOf(fmt.Sprint("job", n), assumedRole)); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(places.rights.Load().sessions.jobs); n != mostSessions {
		t.Errorf("%d sessions are remembered", n)
	}
}
