package object

import (
	"errors"
	"fmt"
	"strings"

	"github.com/aws/smithy-go"

	"github.com/batholith/batholith"
)

// assumeError is a failed AssumeRole.
type assumeError struct {
	role      Role
	temporary bool // the keys that assume the role are temporary themselves
	err       error
}

// Error names the role. Unwrap returns the SDK's error.
func (e *assumeError) Error() string { return "assume role " + e.role.ARN + ": " + e.err.Error() }
func (e *assumeError) Unwrap() error { return e.err }

// fault explains a failed AssumeRole. Only a denial is permanent. Outages, throttling, keys that
// have expired, and requests that the service does not understand are waited for.
func (e *assumeError) fault() *Fault {
	at, cause := e.service(), "the role "+e.role.ARN+" cannot be assumed"
	var api smithy.APIError
	if !errors.As(e.err, &api) {
		return e.unanswered(at, cause)
	}
	if strangers := foreign(e.err); strangers != nil {
		return &Fault{Cause: fmt.Sprintf("%s: the server at %s is not a token service", cause, at),
			Remedy: "check the role's assume.sts_endpoint: it is the address of the service's API, not of a console or a gateway"}
	}
	cause += fmt.Sprintf(": the token service %s answered %s", at, said(api, e.err))
	f := &Fault{Cause: cause}
	switch {
	case noRole[api.ErrorCode()]:
		f.Verdict, f.Remedy = batholith.ErrRoleDenied, "create the role there, or correct the role's assume.role_arn"
	case api.ErrorCode() == "RegionDisabledException": // 403, and yet no denial
		f.Remedy = "enable the region for STS in the role's account, or name another region's endpoint in assume.sts_endpoint"
	default:
		e.rule(f, rule(api.ErrorCode(), status(e.err)))
	}
	if f.Verdict != nil {
		f.Cause = fmt.Sprintf("%v: %s", batholith.ErrAccessDenied, cause)
	}
	return f
}

// noRole are the codes for a role that does not exist (Ceph; Amazon says AccessDenied).
var noRole = map[string]bool{"NoSuchEntity": true, "NoSuchEntityException": true}

// rule completes f by the ruling of the error code.
func (e *assumeError) rule(f *Fault, r ruling) {
	switch {
	case r == unknown && e.temporary, r == expired:
		f.Remedy = "renew the keys that assume the role where they come from (aws sso login, the credentials file); nothing is lost meanwhile"
	case r == unknown:
		f.Verdict, f.Remedy = batholith.ErrRoleDenied, "create the access key that assumes the role there, or name another in the role's assume.access_key_id or in s3.access_key_id"
	case r == denied:
		f.Verdict, f.Remedy = batholith.ErrRoleDenied, "let the role's trust policy name the principal of the keys that assume it"
		if e.role.ExternalID == "" {
			f.Remedy += ", and set assume.external_id if it requires one"
		} else {
			f.Remedy += " and the external id of assume.external_id"
		}
	case r == busy, r == again, r == full, r == ruling{}:
		f.Remedy = "Batholith retries automatically; nothing is lost meanwhile"
	case r == signature, r == skewed:
		f.Remedy = r.remedy
	default:
		f.Remedy = "check the role's assume.role_arn, assume.external_id and assume.region; a role on Amazon or Ceph must allow sessions of an hour"
	}
}

// unanswered explains an AssumeRole without an answer of the service.
func (e *assumeError) unanswered(at, cause string) *Fault {
	if errors.Is(e.err, errNoSession) {
		return &Fault{Cause: fmt.Sprintf("%s: %v (%s)", cause, errNoSession, at), Remedy: "check the role's assume.sts_endpoint"}
	}
	var keys *keysError
	if errors.As(e.err, &keys) { // there are no keys to ask with
		f := withoutKeys(keys.err)
		return &Fault{Cause: cause + ": " + f.Cause, Remedy: f.Remedy}
	}
	way := unreached(e.err)
	f := &Fault{Cause: cause + ": " + way.Cause, Remedy: "check that the token service runs, and the role's assume.sts_endpoint; Batholith retries automatically, and nothing is lost meanwhile"}
	// Remedies about TLS apply to every server; those about the S3's address do not.
	if host, scheme := destination(e.err); secured(e.err, host, scheme) != nil {
		f.Remedy = strings.ReplaceAll(way.Remedy, "s3.endpoint", "assume.sts_endpoint")
	}
	return f
}

// service names the token service by its host.
func (e *assumeError) service() string {
	if re := response(e.err); re != nil && re.Response.Request != nil {
		return re.Response.Request.URL.Host
	}
	if host, _ := destination(e.err); host != "s3.endpoint" {
		return host
	}
	return "of the settings"
}
