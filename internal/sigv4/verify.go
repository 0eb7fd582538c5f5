package sigv4

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// Skew is the allowed difference between the clocks of client and server, in both directions
// (AWS: 5 minutes).
const Skew = 5 * time.Minute

// amzDate is the layout of X-Amz-Date.
const amzDate = "20060102T150405Z"

// Verifier authenticates requests to one service in one region. It is safe for concurrent use.
type Verifier struct {
	region, service string
	keys            Keys
	now             func() time.Time
}

// New returns a verifier. Clients sign requests to Bedrock and to Bedrock Runtime both for the
// service "bedrock". now is the clock.
func New(region, service string, keys Keys, now func() time.Time) *Verifier {
	return &Verifier{region: region, service: service, keys: keys, now: now}
}

// Verify returns the sender of r, whose complete body is body. Every error is an [*Error]. It
// does not change r.
func (v *Verifier) Verify(r *http.Request, body []byte) (Identity, error) {
	c, err := v.claim(r)
	if err != nil || c.verified {
		return c.holder.Identity, err
	}
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:])
	if sent := r.Header.Get("X-Amz-Content-Sha256"); sent != "" && sent != hash {
		return Identity{}, invalid("x-amz-content-sha256 is not the SHA-256 of the body, which the signature must cover.")
	}
	if !equal(v.sign(r, len(body), hash, c.holder, c.authorization, c.at), c.signature) {
		return Identity{}, mismatch(r)
	}
	return c.holder.Identity, nil
}

// Admit checks the headers of r before its body is read. It returns the error that Verify would
// return for every body. verified means that the headers alone authenticate the sender, because
// they contain an API key. Every error is an [*Error].
func (v *Verifier) Admit(r *http.Request) (verified bool, err error) {
	c, err := v.claim(r)
	return c.verified, err
}

// claim is the identity that a request's headers claim.
type claim struct {
	holder   AccessKey
	verified bool // nothing is left to check: the request contained the key itself
	authorization
	at time.Time
}

// claim checks everything about the sender that does not depend on the body.
func (v *Verifier) claim(r *http.Request) (claim, error) {
	scheme, rest, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	switch {
	case len(r.Header.Values("Authorization")) > 1:
		return claim{}, incomplete("The request has more than one Authorization header.")
	case len(r.Header.Values("X-Amz-Date")) > 1:
		return claim{}, incomplete("The request has more than one X-Amz-Date header.")
	case scheme == algorithm:
		return v.signed(r, rest)
	case strings.EqualFold(scheme, "Bearer"):
		who, ok := v.keys.Bearer(strings.TrimSpace(rest))
		if !ok {
			return claim{}, unrecognized()
		}
		return claim{holder: AccessKey{Identity: who}, verified: true}, nil
	case scheme != "":
		return claim{}, incomplete("Authorization must be %s or Bearer.", algorithm)
	case r.URL.Query().Has("X-Amz-Signature"):
		return claim{}, missing("Presigned requests are not taken here: sign the Authorization header.")
	}
	return claim{}, missing("Missing Authentication Token")
}

// signed checks the key, the session token and the scope of a signed request. The signature
// itself is checked later.
func (v *Verifier) signed(r *http.Request, header string) (claim, error) {
	a, err := parseAuthorization(header)
	if err != nil {
		return claim{}, err
	}
	key, err := v.holder(a.key, r.Header.Get("X-Amz-Security-Token"))
	if err != nil {
		return claim{}, err
	}
	at, err := v.scope(a, r.Header.Get("X-Amz-Date"))
	if err != nil {
		return claim{}, err
	}
	return claim{holder: key, authorization: a, at: at}, nil
}

// holder returns the key with this id and session token: a permanent one, or that of a session.
func (v *Verifier) holder(id, token string) (AccessKey, error) {
	key, ok := v.keys.AccessKey(id)
	if sessions, temporary := v.keys.(Sessions); !ok && temporary && token != "" {
		key, err := sessions.Session(id, token)
		switch {
		case errors.Is(err, ErrExpired):
			return AccessKey{}, expired()
		case err != nil:
			return AccessKey{}, unrecognized()
		}
		return key, nil
	}
	if !ok || !equal(token, key.SessionToken) {
		return AccessKey{}, unrecognized()
	}
	return key, nil
}

// KeyOf returns the access key id that a request claims to be signed with, or "". It verifies nothing.
func KeyOf(r *http.Request) string {
	scheme, rest, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if a, err := parseAuthorization(rest); err == nil && scheme == algorithm {
		return a.key
	}
	return ""
}

// scope checks region, service and date of the signature, and returns its time.
func (v *Verifier) scope(a authorization, date string) (time.Time, error) {
	at, err := time.Parse(amzDate, date)
	switch now := v.now().UTC(); {
	case err != nil:
		return at, incomplete("Authorization header requires existence of a 'X-Amz-Date' header such as %s.", amzDate)
	case a.region != v.region:
		return at, invalid("Credential should be scoped to a valid region: '%s'.", v.region)
	case a.service != v.service:
		return at, invalid("Credential should be scoped to correct service: '%s'.", v.service)
	case a.date != date[:8]:
		return at, invalid("Date in Credential scope does not match YYYYMMDD from X-Amz-Date: '%s'.", date[:8])
	case at.Before(now.Add(-Skew)):
		return at, invalid("Signature expired: %s is now earlier than %s (%s - 5 min.)",
			date, now.Add(-Skew).Format(amzDate), now.Format(amzDate))
	case at.After(now.Add(Skew)):
		return at, invalid("Signature not yet current: %s is still later than %s (%s + 5 min.)",
			date, now.Add(Skew).Format(amzDate), now.Format(amzDate))
	}
	return at, nil
}

// sign computes the signature that the holder of the key would have sent. length and hash are
// those of the body.
func (v *Verifier) sign(r *http.Request, length int, hash string, key AccessKey, a authorization, at time.Time) string {
	if slices.Contains(a.headers, authority) {
		return v.signAuthority(r, length, hash, key, a, at)
	}
	s := &http.Request{Method: r.Method, Host: r.Host, Header: http.Header{}}
	u := *r.URL // the signer encodes the raw path once more and sorts the query
	s.URL = &u
	for _, name := range a.headers {
		switch name {
		case "host", "x-amz-date": // the signer adds these itself
		case "content-length":
			s.ContentLength = int64(length)
		default:
			// The signer skips some headers when it signs. It does not recognise them in lower
			// case, so it signs them.
			if values := r.Header.Values(name); len(values) > 0 {
				s.Header[name] = slices.Clone(values)
			}
		}
	}
	secret := aws.Credentials{AccessKeyID: key.ID, SecretAccessKey: key.Secret}
	// A signer remembers what it derived from the last secret, by the id of the key alone. One that is kept would take the old secret of a key
	// after it was replaced, and refuse the new one.
	if err := v4.NewSigner().SignHTTP(r.Context(), secret, s, hash, v.service, v.region, at); err != nil {
		return ""
	}
	_, signature, _ := strings.Cut(s.Header.Get("Authorization"), "Signature=")
	return signature
}

// mismatch is the error for a wrong signature. Besides a wrong secret, the usual cause is a
// client that canonicalises the path as S3 requires, so the message gives the expected path.
func mismatch(r *http.Request) *Error {
	hint := ""
	if path := r.URL.EscapedPath(); strings.Contains(path, "%") {
		hint = " The canonical path is the path as sent, encoded once more: " + strings.ReplaceAll(path, "%", "%25") + "."
	}
	return invalid("The request signature we calculated does not match the signature you provided. "+
		"Check your AWS Secret Access Key and signing method."+"%s", hint)
}

// equal compares in a time that depends only on the lengths.
func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
