package objecttest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// TokenService is a token service (STS) with one role, and the gate of the S3 behind it: every
// request must be signed by a user or by a session that has not expired. It implements
// http.RoundTripper. Requests signed for the service "sts" go to the token service, whatever
// their host is, and others to S3. Change the exported fields with Set once it is in use.
type TokenService struct {
	S3    http.RoundTripper
	Users map[string]string // secrets of the users, who may assume the role, by access key id
	Life  time.Duration     // of a session

	// Anybody means that the service takes no notice of RoleArn, ExternalId and RoleSessionName:
	// a session has the rights of the user who asks for it (MinIO). Otherwise RoleARN and
	// ExternalID must be those below, and the name of the session of the right form.
	Anybody             bool
	RoleARN, ExternalID string
	// UsersOnlyAssume means that the S3 takes no requests signed by users.
	UsersOnlyAssume bool
	// Denied means that the role may not be assumed any more. Its sessions last.
	Denied bool
	// Away is the error of a service that does not answer; nil: it answers.
	Away error
	// Busy is the error code of a 503 that every request gets; "": none.
	Busy string

	mu       sync.Mutex
	sessions map[string]issued // by access key id
	asked    []Assumed
}

// issued are the keys of a session.
type issued struct {
	secret, token string
	until         time.Time
}

// Assumed is a request to assume the role, which the service may have refused.
type Assumed struct {
	At                       time.Time
	By                       string // access key id
	Form                     url.Values
	SourceAccount, SourceARN string
	Host                     string
}

// Set changes the fields.
func (s *TokenService) Set(change func(s *TokenService)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

// Asked returns the requests to assume the role so far.
func (s *TokenService) Asked() []Assumed {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Assumed(nil), s.asked...)
}

// RoundTrip answers one request.
func (s *TokenService) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	if strings.Contains(r.Header.Get("Authorization"), "/sts/aws4_request") {
		return s.assume(r, body)
	}
	if status, code := s.admit(r, body); code != "" {
		return reply(r, status, "<Error><Code>"+code+"</Code><Message>as told</Message></Error>"), nil
	}
	return s.S3.RoundTrip(r)
}

// assume answers a request to the token service.
func (s *TokenService) assume(r *http.Request, body []byte) (*http.Response, error) {
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	id, _ := signer(r)
	s.asked = append(s.asked, Assumed{time.Now(), id, form, r.Header.Get("X-Amz-Source-Account"), r.Header.Get("X-Amz-Source-Arn"), r.URL.Host})
	refuse := func(status int, code string) (*http.Response, error) {
		return reply(r, status, "<ErrorResponse><Error><Code>"+code+"</Code><Message>as told</Message></Error></ErrorResponse>"), nil
	}
	secret, known := s.Users[id]
	switch {
	case s.Away != nil:
		return nil, s.Away
	case s.Busy != "":
		return refuse(http.StatusServiceUnavailable, s.Busy)
	case r.Method != http.MethodPost || r.URL.Path != "/" || r.URL.RawQuery != "" || form.Get("Action") != "AssumeRole" || form.Get("Version") != "2011-06-15":
		return refuse(http.StatusBadRequest, "InvalidAction")
	case !known:
		return refuse(http.StatusForbidden, "InvalidClientTokenId")
	case !signedWith(r, body, id, secret, ""):
		return refuse(http.StatusForbidden, "SignatureDoesNotMatch")
	case s.Denied, !s.Anybody && (form.Get("RoleArn") != s.RoleARN || form.Get("ExternalId") != s.ExternalID):
		return refuse(http.StatusForbidden, "AccessDenied")
	case !s.Anybody && !sessionName.MatchString(form.Get("RoleSessionName")):
		return refuse(http.StatusBadRequest, "ValidationError")
	}
	if s.sessions == nil {
		s.sessions = map[string]issued{}
	}
	n := len(s.sessions)
	key, keys := fmt.Sprintf("SESSION%d", n), issued{fmt.Sprintf("secret%d", n), fmt.Sprintf("token%d", n), time.Now().Add(s.Life)}
	s.sessions[key] = keys
	return reply(r, http.StatusOK, fmt.Sprintf(`<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>`+
		`<AccessKeyId>%s</AccessKeyId><SecretAccessKey>%s</SecretAccessKey><SessionToken>%s</SessionToken><Expiration>%s</Expiration>`+
		`</Credentials></AssumeRoleResult></AssumeRoleResponse>`, key, keys.secret, keys.token, keys.until.UTC().Format(time.RFC3339Nano))), nil
}

// sessionName is the form of RoleSessionName.
var sessionName = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)

// admit returns the error for a request to the S3, or "".
func (s *TokenService) admit(r *http.Request, body []byte) (status int, code string) {
	id, ok := signer(r)
	if !ok {
		return http.StatusForbidden, "AccessDenied"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	secret, user := s.Users[id]
	session, there := s.sessions[id]
	switch token := r.Header.Get("X-Amz-Security-Token"); {
	case user && s.UsersOnlyAssume:
		return http.StatusForbidden, "AccessDenied"
	case there && token != session.token:
		return http.StatusForbidden, "InvalidToken"
	case there && !time.Now().Before(session.until):
		return http.StatusBadRequest, "ExpiredToken"
	case there:
		secret = session.secret
	case !user:
		return http.StatusForbidden, "InvalidAccessKeyId"
	}
	if !signedWith(r, body, id, secret, session.token) {
		return http.StatusForbidden, "SignatureDoesNotMatch"
	}
	return 0, ""
}

// Forget makes the S3 take no session any more that was issued so far.
func (s *TokenService) Forget() {
	s.Set(func(s *TokenService) {
		for id, session := range s.sessions {
			session.until = time.Now()
			s.sessions[id] = session
		}
	})
}

// authorization are the parts of the header Authorization.
var authorization = regexp.MustCompile(`^AWS4-HMAC-SHA256 Credential=([^/]+)/\d{8}/([^/]+)/([^/]+)/aws4_request, SignedHeaders=([^,]+), Signature=([0-9a-f]{64})$`)

// signer returns the access key id of a signed request.
func signer(r *http.Request) (id string, ok bool) {
	m := authorization.FindStringSubmatch(r.Header.Get("Authorization"))
	if m == nil {
		return "", false
	}
	return m[1], true
}

// signedWith reports whether the request was signed with these keys: it signs the request anew.
func signedWith(r *http.Request, body []byte, id, secret, token string) bool {
	m := authorization.FindStringSubmatch(r.Header.Get("Authorization"))
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if m == nil || err != nil {
		return false
	}
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:])
	if sent := r.Header.Get("X-Amz-Content-Sha256"); sent != "" && sent != hash {
		return false
	}
	again := r.Clone(r.Context())
	again.Header, again.ContentLength = http.Header{}, 0
	for name := range strings.SplitSeq(m[4], ";") {
		switch name {
		case "host":
		case "content-length":
			again.ContentLength = int64(len(body))
		default:
			again.Header[http.CanonicalHeaderKey(name)] = r.Header.Values(name)
		}
	}
	err = v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = m[3] == "s3" }).SignHTTP(r.Context(),
		aws.Credentials{AccessKeyID: id, SecretAccessKey: secret, SessionToken: token}, again, hash, m[3], m[2], at)
	return err == nil && again.Header.Get("Authorization") == r.Header.Get("Authorization")
}

// ErrNoRoute is an error of a connection that cannot be made.
var ErrNoRoute = errors.New("dial tcp: no route to host")

func reply(r *http.Request, status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Status: http.StatusText(status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"text/xml"}}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), Request: r}
}
