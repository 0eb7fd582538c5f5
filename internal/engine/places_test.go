package engine

import (
	"errors"
	"testing"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/object"
)

func TestAnEntryWithAWildcardLetsRolesThrough(t *testing.T) {
	const of = "arn:aws:iam::000000000000:role/"
	p, err := NewPlaces(object.Config{Endpoint: "http://127.0.0.1:1", Region: "us-east-1", AccessKeyID: "own", SecretAccessKey: "x"}, of+"batholith",
		[]Role{{ARN: of + "*", AccessKeyID: "any", SecretAccessKey: "x"}, {ARN: of + "one", AccessKeyID: "one", SecretAccessKey: "x"}})
	if err != nil {
		t.Fatal(err)
	}
	for role, key := range map[string]string{"batholith": "own", "one": "one", "two": "any", "service-role/batch": "any"} {
		if got, _ := p.access(of + role); !p.Known(of+role) || got.key != key {
			t.Errorf("role %s is reached with the key %q, want %q", role, got.key, key)
		}
		j := batholith.Job{ID: "abcdefghij00", Request: batholith.Request{RoleARN: of + role, Input: batholith.Location{URI: "s3://a/"}, Output: batholith.Location{URI: "s3://b/"}}}
		if _, err := p.Open(t.Context(), j); err != nil {
			t.Error(err)
		}
	}
	for _, role := range []string{of + "*", of + "o*", "", "arn:aws:iam::111111111111:role/one"} {
		if p.Known(role) {
			t.Errorf("%s is let through", role)
		}
	}
	if _, err := p.Open(t.Context(), batholith.Job{Request: batholith.Request{RoleARN: "arn:aws:iam::111111111111:role/one"}}); !errors.Is(err, batholith.ErrAccessDenied) {
		t.Error(err)
	}
}
