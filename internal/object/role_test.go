package object_test

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/object"
)

const assumed = `<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>TEMPKEY</AccessKeyId><SecretAccessKey>s</SecretAccessKey>
<SessionToken>token</SessionToken><Expiration>2999-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`

// assume makes a bucket that is used as a role.
func assume(t *testing.T, network s3) *object.Bucket {
	t.Helper()
	config, err := object.Config{Endpoint: "http://s3.test", PathStyle: true, Region: "us-east-1", AccessKeyID: "AK", SecretAccessKey: "secret",
		HTTPClient: &http.Client{Transport: network}}.Assume(object.Role{ARN: "arn:aws:iam::111122223333:role/batch", ExternalID: "ext",
		SessionName: "batholith", Endpoint: "http://sts.test"})
	if err != nil {
		t.Fatal(err)
	}
	client, err := object.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return client.Bucket("box", object.Options{})
}

func TestAssumedRoleSignsWithItsTemporaryKeys(t *testing.T) {
	asked := 0
	b := assume(t, func(r *http.Request) (*http.Response, error) {
		if r.URL.Host == "sts.test" {
			asked++
			body, _ := io.ReadAll(r.Body)
			form, _ := url.ParseQuery(string(body))
			if form.Get("RoleArn") != "arn:aws:iam::111122223333:role/batch" || form.Get("ExternalId") != "ext" {
				t.Errorf("asked for %v", form)
			}
			return answer(r, 200, nil, assumed), nil
		}
		if !strings.Contains(r.Header.Get("Authorization"), "Credential=TEMPKEY/") || r.Header.Get("X-Amz-Security-Token") != "token" {
			t.Errorf("signed with %q", r.Header.Get("Authorization"))
		}
		return answer(r, 200, nil, ""), nil
	})
	for range 3 {
		if err := b.Put(t.Context(), "k", []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if asked != 1 {
		t.Errorf("the token service was asked %d times", asked)
	}
}

func TestRoleThatMayNotBeAssumedIsAccessDenied(t *testing.T) {
	b := assume(t, func(r *http.Request) (*http.Response, error) {
		return answer(r, 403, nil, "<ErrorResponse><Error><Code>AccessDenied</Code><Message>not you</Message></Error></ErrorResponse>"), nil
	})
	if err := b.Put(t.Context(), "k", []byte("x")); !errors.Is(err, batholith.ErrAccessDenied) {
		t.Errorf("got %v", err)
	}
}
