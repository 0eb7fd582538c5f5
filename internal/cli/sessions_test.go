package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	awsbedrock "github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/bedrock/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	awssts "github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/batholith/batholith/internal/authz"
	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/sigv4"
	"github.com/batholith/batholith/internal/sts"
)

const (
	first, second = "000000000000", "111111111111" // accounts
	narrowRole    = "arn:aws:iam::" + first + ":role/narrow"
	outsideRole   = "arn:aws:iam::" + first + ":role/outside"
	evesRole      = "arn:aws:iam::" + second + ":role/path/eve"
)

// site is a service with two accounts, and roles in both.
type site struct {
	t  *testing.T
	at addresses
	c  *config.Config
}

// startSite serves a data directory until stop is called or the test ends. The changes are made to its settings.
func startSite(t *testing.T, dir string, changes ...func(*config.Config)) (s *site, stop func()) {
	t.Helper()
	c := config.Default(config.ProfileDefault)
	c.Data, c.Listen, c.S3.Listen = dir, "127.0.0.1:0", "127.0.0.1:0"
	data, err := config.OpenData(c.Data)
	if err != nil {
		t.Fatal(err)
	}
	c.Data = data.Dir
	c.Credentials = []config.Credential{{AccessKeyID: "AKALICE", SecretAccessKey: "alice-secret", Principal: "alice", Account: first},
		{AccessKeyID: "AKEVE", SecretAccessKey: "eve-secret", Principal: "eve", Account: second}}
	c.Roles = []config.Role{{ARN: narrowRole, Buckets: []string{"batholith/in/"}}, {ARN: outsideRole, ExternalID: "agreed"}, {ARN: evesRole},
		{ARN: "arn:aws:iam::" + first + ":role/wide"}}
	for _, change := range changes {
		change(c)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan addresses, 1), make(chan error, 1)
	go func() {
		done <- serve(ctx, serveOptions{Config: c, Log: slog.New(slog.DiscardHandler), Ready: func(at addresses) { ready <- at }})
	}()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil && !shutDown(ctx, err) {
			t.Error(err)
		}
		data.Close()
	}
	t.Cleanup(stop)
	select {
	case at := <-ready:
		return &site{t, at, c}, stop
	case err := <-done:
		done <- err
		t.Fatal(err)
		return nil, stop
	}
}

func static(id, secret, token string) aws.CredentialsProvider {
	return credentials.NewStaticCredentialsProvider(id, secret, token)
}

var (
	alice = static("AKALICE", "alice-secret", "")
	eve   = static("AKEVE", "eve-secret", "")
)

func temporary(c *credentialsOf) aws.CredentialsProvider { return static(c.id, c.secret, c.token) }

type credentialsOf struct{ id, secret, token string }

func (s *site) sts(as aws.CredentialsProvider) *awssts.Client {
	return awssts.New(awssts.Options{Region: s.c.Region, BaseEndpoint: &s.at.Bedrock, Credentials: as, RetryMaxAttempts: 1})
}

func (s *site) s3(as aws.CredentialsProvider) *s3.Client {
	return s3.New(s3.Options{Region: s.c.Region, BaseEndpoint: &s.at.S3, UsePathStyle: true, Credentials: as, RetryMaxAttempts: 1})
}

func (s *site) bedrock(as aws.CredentialsProvider) *awsbedrock.Client {
	return awsbedrock.New(awsbedrock.Options{Region: s.c.Region, BaseEndpoint: &s.at.Bedrock, Credentials: as, RetryMaxAttempts: 1})
}

// assume assumes a role as alice.
func (s *site) assume(role string) *credentialsOf {
	s.t.Helper()
	return s.assumeAs(role, "night")
}

// assumeAs is assume with the name of a session.
func (s *site) assumeAs(role, session string) *credentialsOf {
	s.t.Helper()
	out, err := s.sts(alice).AssumeRole(s.t.Context(), &awssts.AssumeRoleInput{RoleArn: &role, RoleSessionName: &session})
	if err != nil {
		s.t.Fatal(err)
	}
	return &credentialsOf{*out.Credentials.AccessKeyId, *out.Credentials.SecretAccessKey, *out.Credentials.SessionToken}
}

func (s *site) put(key string) {
	s.t.Helper()
	if _, err := s.s3(alice).PutObject(s.t.Context(), &s3.PutObjectInput{Bucket: aws.String(defaultBucket), Key: &key, Body: strings.NewReader("x")}); err != nil {
		s.t.Fatal(err)
	}
}

// apiCode is the code of a refused call; "" if it succeeded.
func apiCode(err error) string {
	var e smithy.APIError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return e.ErrorCode()
	}
	return err.Error()
}

func (s *site) get(as aws.CredentialsProvider, key string) string {
	_, err := s.s3(as).GetObject(s.t.Context(), &s3.GetObjectInput{Bucket: aws.String(defaultBucket), Key: &key})
	return apiCode(err)
}

func TestAnAssumedRoleReachesWhatTheRoleDoes(t *testing.T) {
	s, _ := startSite(t, filepath.Join(t.TempDir(), "data"))
	s.put("in/a")
	s.put("other/a")
	provider := stscreds.NewAssumeRoleProvider(s.sts(alice), narrowRole, func(o *stscreds.AssumeRoleOptions) { o.RoleSessionName = "night" })
	cached := aws.NewCredentialsCache(provider)
	for key, want := range map[string]string{"in/a": "", "other/a": "AccessDenied"} {
		if got := s.get(cached, key); got != want {
			t.Errorf("the narrow role reads %s: %q, want %q", key, got, want)
		}
	}
	who, err := s.sts(cached).GetCallerIdentity(t.Context(), &awssts.GetCallerIdentityInput{})
	if err != nil {
		t.Fatal(err)
	}
	if got := *who.Arn + " " + *who.Account; got != "arn:aws:sts::"+first+":assumed-role/narrow/night "+first || !strings.HasPrefix(*who.UserId, "AROA") || !strings.HasSuffix(*who.UserId, ":night") {
		t.Errorf("it is %s, %s", got, *who.UserId)
	}
	if _, err := s.bedrock(cached).ListModelInvocationJobs(t.Context(), &awsbedrock.ListModelInvocationJobsInput{}); err != nil {
		t.Errorf("the Bedrock API: %v", err)
	}
	if user, err := s.sts(alice).GetCallerIdentity(t.Context(), &awssts.GetCallerIdentityInput{}); err != nil || *user.Arn != "arn:aws:iam::"+first+":user/alice" {
		t.Errorf("alice is %v, %v", user, err)
	}
}

// Every way in which the S3 takes a signature takes the session token: a header, a presigned URL of both schemes, and a form.
func TestASessionTokenIsTakenWhereverASignatureIs(t *testing.T) {
	s, _ := startSite(t, filepath.Join(t.TempDir(), "data"))
	s.put("in/a")
	k := s.assume(s.c.DefaultRole())
	forged := &credentialsOf{k.id, k.secret, k.token[:len(k.token)-8] + "AAAAAAA="}
	foreign := &credentialsOf{k.id, k.secret, s.assume(s.c.DefaultRole()).token}
	for name, c := range map[string]struct {
		keys *credentialsOf
		s3   string
		api  string
	}{
		"its own token":       {k, "", ""},
		"no token":            {&credentialsOf{k.id, k.secret, ""}, "InvalidAccessKeyId", "UnrecognizedClientException"},
		"a changed token":     {forged, "InvalidToken", "UnrecognizedClientException"},
		"another key's token": {foreign, "InvalidToken", "UnrecognizedClientException"},
		"a permanent key":     {&credentialsOf{"AKALICE", "alice-secret", k.token}, "InvalidToken", "UnrecognizedClientException"},
		"another secret":      {&credentialsOf{k.id, "x", k.token}, "SignatureDoesNotMatch", "InvalidSignatureException"},
	} {
		as := temporary(c.keys)
		if got := s.get(as, "in/a"); got != c.s3 {
			t.Errorf("%s, in a header: %q, want %q", name, got, c.s3)
		}
		signed, err := s3.NewPresignClient(s.s3(as)).PresignGetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(defaultBucket), Key: aws.String("in/a")})
		if err != nil {
			t.Fatal(err)
		}
		if got := fetchCode(t, signed.URL); got != c.s3 {
			t.Errorf("%s, in a URL: %q, want %q", name, got, c.s3)
		}
		if got := s.form(as); got != c.s3 {
			t.Errorf("%s, in a form: %q, want %q", name, got, c.s3)
		}
		_, err = s.bedrock(as).ListModelInvocationJobs(t.Context(), &awsbedrock.ListModelInvocationJobsInput{})
		if got := apiCode(err); got != c.api {
			t.Errorf("%s, at the Bedrock API: %q, want %q", name, got, c.api)
		}
	}
}

// fetchCode is S3's code of the answer to a URL; "" if it succeeded.
func fetchCode(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	return codeIn(t, resp)
}

func codeIn(t *testing.T, resp *http.Response) string {
	t.Helper()
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(body), "<Code>")
	code, _, _ := strings.Cut(rest, "</Code>")
	if code == "" && resp.StatusCode >= 300 {
		return resp.Status
	}
	return code
}

// form uploads by a signed form.
func (s *site) form(as aws.CredentialsProvider) string {
	s.t.Helper()
	post, err := s3.NewPresignClient(s.s3(as)).PresignPostObject(s.t.Context(), &s3.PutObjectInput{Bucket: aws.String(defaultBucket), Key: aws.String("in/form")})
	if err != nil {
		s.t.Fatal(err)
	}
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	for name, value := range post.Values {
		w.WriteField(name, value)
	}
	file, _ := w.CreateFormFile("file", "f")
	io.WriteString(file, "x")
	w.Close()
	resp, err := http.Post(post.URL, w.FormDataContentType(), &body)
	if err != nil {
		s.t.Fatal(err)
	}
	return codeIn(s.t, resp)
}

func TestWhoMayAssumeARole(t *testing.T) {
	s, _ := startSite(t, filepath.Join(t.TempDir(), "data"))
	seconds := func(n int32) func(*awssts.AssumeRoleInput) {
		return func(in *awssts.AssumeRoleInput) { in.DurationSeconds = &n }
	}
	external := func(id string) func(*awssts.AssumeRoleInput) {
		return func(in *awssts.AssumeRoleInput) { in.ExternalId = &id }
	}
	none := func(*awssts.AssumeRoleInput) {}
	session := temporary(s.assume(narrowRole))
	for name, c := range map[string]struct {
		as     aws.CredentialsProvider
		role   string
		change func(*awssts.AssumeRoleInput)
		want   string
	}{
		"a role of the account":         {alice, narrowRole, none, ""},
		"the account's own role":        {alice, s.c.DefaultRole(), none, ""},
		"a role with a path":            {eve, evesRole, none, ""},
		"a role of another account":     {eve, narrowRole, none, "AccessDenied"},
		"another account's own role":    {eve, s.c.DefaultRole(), none, "AccessDenied"},
		"a role that does not exist":    {alice, "arn:aws:iam::" + first + ":role/none", none, "AccessDenied"},
		"a wildcard":                    {alice, "arn:aws:iam::" + first + ":role/*", none, "AccessDenied"},
		"no role":                       {alice, "arn:aws:iam::" + first + ":user/alice", none, "ValidationError"},
		"without the external id":       {alice, outsideRole, none, "AccessDenied"},
		"another external id":           {alice, outsideRole, external("other"), "AccessDenied"},
		"the external id":               {alice, outsideRole, external("agreed"), ""},
		"900 s":                         {alice, narrowRole, seconds(900), ""},
		"12 h":                          {alice, narrowRole, seconds(43200), ""},
		"899 s":                         {alice, narrowRole, seconds(899), "ValidationError"},
		"12 h 1 s":                      {alice, narrowRole, seconds(43201), "ValidationError"},
		"a session's role for 1 h":      {session, narrowRole, seconds(3600), ""},
		"a session's role for 2 h":      {session, narrowRole, seconds(7200), "ValidationError"},
		"a session policy":              {alice, narrowRole, func(in *awssts.AssumeRoleInput) { in.Policy = aws.String(`{}`) }, "ValidationError"},
		"a name with a space":           {alice, narrowRole, func(in *awssts.AssumeRoleInput) { in.RoleSessionName = aws.String("a b") }, "ValidationError"},
		"a source identity":             {alice, narrowRole, func(in *awssts.AssumeRoleInput) { in.SourceIdentity = aws.String("alice@example.net") }, ""},
		"an unknown key":                {static("AKNOBODY", "x", ""), narrowRole, none, "InvalidClientTokenId"},
		"another secret":                {static("AKALICE", "x", ""), narrowRole, none, "SignatureDoesNotMatch"},
		"a session token of nobody":     {static("ASIANOBODY", "x", "bm9ib2R5bm9ib2R5bm9ib2R5"), narrowRole, none, "InvalidClientTokenId"},
		"the source identity of no one": {alice, narrowRole, func(in *awssts.AssumeRoleInput) { in.SourceIdentity = aws.String("<") }, "ValidationError"},
	} {
		in := &awssts.AssumeRoleInput{RoleArn: &c.role, RoleSessionName: aws.String("night")}
		c.change(in)
		out, err := s.sts(c.as).AssumeRole(t.Context(), in)
		if got := apiCode(err); got != c.want {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if err == nil && aws.ToString(out.SourceIdentity) != aws.ToString(in.SourceIdentity) {
			t.Errorf("%s: the source identity is %q", name, aws.ToString(out.SourceIdentity))
		}
	}
}

// A narrowed role would reach everything through a job, or a session, of another role.
func TestASessionOfANarrowedRoleUsesNoOtherRole(t *testing.T) {
	s, _ := startSite(t, filepath.Join(t.TempDir(), "data"))
	s.put("in/a")
	wideRole := "arn:aws:iam::" + first + ":role/wide"
	narrow, wide := temporary(s.assume(narrowRole)), temporary(s.assume(wideRole))
	for i, c := range []struct {
		as   aws.CredentialsProvider
		role string
		want string
	}{{narrow, narrowRole, ""}, {narrow, wideRole, "AccessDenied"}, {narrow, s.c.DefaultRole(), "AccessDenied"}, {wide, s.c.DefaultRole(), ""}, {alice, narrowRole, ""}} {
		_, err := s.sts(c.as).AssumeRole(t.Context(), &awssts.AssumeRoleInput{RoleArn: &c.role, RoleSessionName: aws.String("night")})
		if got := apiCode(err); got != c.want {
			t.Errorf("assuming %s: %v, want %q", c.role, err, c.want)
		}
		_, err = s.bedrock(c.as).CreateModelInvocationJob(t.Context(), &awsbedrock.CreateModelInvocationJobInput{JobName: aws.String(fmt.Sprintf("j%d", i)),
			ModelId: aws.String("batholith.simulated-v1"), RoleArn: &c.role,
			InputDataConfig:  &types.ModelInvocationJobInputDataConfigMemberS3InputDataConfig{Value: types.ModelInvocationJobS3InputDataConfig{S3Uri: aws.String("s3://" + defaultBucket + "/in/")}},
			OutputDataConfig: &types.ModelInvocationJobOutputDataConfigMemberS3OutputDataConfig{Value: types.ModelInvocationJobS3OutputDataConfig{S3Uri: aws.String("s3://" + defaultBucket + "/in/out/")}}})
		if got := strings.TrimSuffix(apiCode(err), "Exception"); got != c.want {
			t.Errorf("a job of %s: %v, want %q", c.role, err, c.want)
		}
	}
}

func TestASessionOfAKeyHasItsRights(t *testing.T) {
	s, _ := startSite(t, filepath.Join(t.TempDir(), "data"))
	s.put("in/a")
	out, err := s.sts(alice).GetSessionToken(t.Context(), &awssts.GetSessionTokenInput{})
	if err != nil {
		t.Fatal(err)
	}
	as := static(*out.Credentials.AccessKeyId, *out.Credentials.SecretAccessKey, *out.Credentials.SessionToken)
	if got := s.get(as, "in/a"); got != "" {
		t.Errorf("it reads: %q", got)
	}
	if who, err := s.sts(as).GetCallerIdentity(t.Context(), &awssts.GetCallerIdentityInput{}); err != nil || *who.Arn != "arn:aws:iam::"+first+":user/alice" {
		t.Errorf("it is %v, %v", who, err)
	}
	if _, err := s.sts(as).GetSessionToken(t.Context(), &awssts.GetSessionTokenInput{}); apiCode(err) != "AccessDenied" {
		t.Errorf("a session of a session: %v", err)
	}
}

// The S3 answers token requests at its root, as MinIO and Ceph do.
func TestTheS3HasATokenServiceToo(t *testing.T) {
	s, _ := startSite(t, filepath.Join(t.TempDir(), "data"))
	c := awssts.New(awssts.Options{Region: s.c.S3.Region, BaseEndpoint: &s.at.S3, Credentials: alice, RetryMaxAttempts: 1})
	if who, err := c.GetCallerIdentity(t.Context(), &awssts.GetCallerIdentityInput{}); err != nil || *who.Account != first {
		t.Errorf("%v, %v", who, err)
	}
	resp, err := http.Post(s.at.S3+"/", "application/x-www-form-urlencoded", strings.NewReader("Action=GetCallerIdentity"))
	if err != nil {
		t.Fatal(err)
	}
	if code := codeIn(t, resp); resp.StatusCode != http.StatusForbidden || code != "MissingAuthenticationToken" {
		t.Errorf("unsigned: %d %s", resp.StatusCode, code)
	}
}

func TestSessionsSurviveARestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s, stop := startSite(t, dir)
	s.put("in/a")
	k := temporary(s.assume(narrowRole))
	stop()
	info, err := os.Stat(filepath.Join(dir, "sessions.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key of sessions: %v, %v", info, err)
	}
	s, stop = startSite(t, dir)
	if got := s.get(k, "in/a"); got != "" {
		t.Errorf("after a restart: %q", got)
	}
	stop()
	if err := os.Remove(filepath.Join(dir, "sessions.key")); err != nil {
		t.Fatal(err)
	}
	s, _ = startSite(t, dir)
	if got := s.get(k, "in/a"); got != "InvalidToken" {
		t.Errorf("with another key: %q", got)
	}
}

// What a session was made from can be taken away, and the session ends with it, or with its time.
func TestASessionEndsWithWhatItWasMadeFrom(t *testing.T) {
	c := config.Default(config.ProfileDefault)
	c.Credentials = []config.Credential{{AccessKeyID: "AKALICE", SecretAccessKey: "alice-secret", Principal: "alice", Account: first}}
	c.Roles = []config.Role{{ARN: narrowRole}}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	sessions := func(c *config.Config) *sts.Sessions {
		s, err := sts.NewSessions(bytes.Repeat([]byte{7}, sts.KeySize), sessionSource{newRings(c), func() *config.Config { return c }}, func() time.Time { return now })
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	h := &sts.Handler{Verifier: trusting{keyRing(c)}, Sessions: sessions(c), Log: slog.New(slog.DiscardHandler)}
	issued := map[string]*credentialsOf{}
	for action, form := range map[string]string{"role": "Action=AssumeRole&RoleArn=" + narrowRole + "&RoleSessionName=night", "key": "Action=GetSessionToken&DurationSeconds=3600"} {
		issued[action] = issue(t, h, form)
	}
	without, other := *c, *c
	without.Roles, without.Credentials = nil, nil
	other.Credentials = []config.Credential{{AccessKeyID: "AKALICE", SecretAccessKey: "another", Principal: "alice", Account: first}}
	for _, step := range []struct {
		what      string
		c         *config.Config
		at        time.Duration
		role, key string
	}{{"at once", c, 0, "<nil>", "<nil>"}, {"a second before the end", c, time.Hour - time.Second, "<nil>", "<nil>"},
		{"at the end", c, time.Hour, "the session token has expired", "the session token has expired"},
		{"without its role and key", &without, 0, "gone", "gone"}, {"with another secret", &other, 0, "<nil>", "gone"}} {
		now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Add(step.at)
		for kind, want := range map[string]string{"role": step.role, "key": step.key} {
			_, err := sessions(step.c).Session(issued[kind].id, issued[kind].token)
			if !strings.HasSuffix(fmt.Sprint(err), want) {
				t.Errorf("the session of a %s, %s: %v, want %s", kind, step.what, err, want)
			}
		}
	}
}

// A key that is removed from the settings of a running server takes its sessions with it.
func TestTheSessionsOfAKeyEndWhenTheSettingsAreReadAgain(t *testing.T) {
	c := config.Default(config.ProfileDefault)
	c.Credentials = []config.Credential{{AccessKeyID: "AKALICE", SecretAccessKey: "alice-secret", Principal: "alice", Account: first}}
	without := *c
	without.Credentials = nil
	rings := newRings(c)
	sessions, err := sts.NewSessions(bytes.Repeat([]byte{7}, sts.KeySize), sessionSource{rings, func() *config.Config { return c }}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	k := issue(t, &sts.Handler{Verifier: trusting{keyRing(c)}, Sessions: sessions, Log: slog.New(slog.DiscardHandler)}, "Action=GetSessionToken&DurationSeconds=3600")
	if _, err := sessions.Session(k.id, k.token); err != nil {
		t.Fatal(err)
	}
	rings.now.Store(keyRing(&without))
	if _, err := sessions.Session(k.id, k.token); err == nil {
		t.Error("the session goes on without its key")
	}
}

// trusting believes every request to be alice's.
type trusting struct{ ring *sigv4.Ring }

func (trusting) Admit(*http.Request) (bool, error) { return false, nil }
func (v trusting) Verify(*http.Request, []byte) (sigv4.Identity, error) {
	k, _ := v.ring.AccessKey("AKALICE")
	return k.Identity, nil
}

// issue sends a form and returns the keys in the answer.
func issue(t *testing.T, h http.Handler, form string) *credentialsOf {
	t.Helper()
	r := httptest.NewRequest("POST", "/", strings.NewReader(form))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKALICE/20260102/us-east-1/sts/aws4_request, SignedHeaders=host;x-amz-date, Signature=00")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	element := func(name string) string {
		_, rest, _ := strings.Cut(w.Body.String(), "<"+name+">")
		text, _, _ := strings.Cut(rest, "</"+name+">")
		return text
	}
	if w.Code != http.StatusOK {
		t.Fatalf("%s: %d %s", form, w.Code, w.Body)
	}
	return &credentialsOf{element("AccessKeyId"), element("SecretAccessKey"), element("SessionToken")}
}

// ruling decides by a function.
type ruling func(authz.Request) authz.Decision

func (r ruling) Decide(_ context.Context, q authz.Request) authz.Decision { return r(q) }

func TestAPolicyDecidesWhoMayAssumeARole(t *testing.T) {
	c := config.Default(config.ProfileDefault)
	c.Credentials = []config.Credential{{AccessKeyID: "AKALICE", SecretAccessKey: "alice-secret", Principal: "alice", Account: first, Groups: []string{"team"}}}
	c.Roles = []config.Role{{ARN: narrowRole}}
	s, err := sts.NewSessions(bytes.Repeat([]byte{7}, sts.KeySize), sessionSource{newRings(c), func() *config.Config { return c }}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	for _, allowed := range []bool{true, false} {
		var asked authz.Request
		h := &sts.Handler{Verifier: trusting{keyRing(c)}, Sessions: s, Log: slog.New(slog.DiscardHandler), Authorizer: ruling(func(q authz.Request) authz.Decision {
			asked = q
			return authz.Decision{Allowed: allowed}
		})}
		r := httptest.NewRequest("POST", "/", strings.NewReader("Action=AssumeRole&RoleArn="+narrowRole+"&RoleSessionName=night"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		want := map[bool]int{true: http.StatusOK, false: http.StatusForbidden}[allowed]
		says := "User: arn:aws:iam::" + first + ":user/alice is not authorized to perform: sts:AssumeRole on resource: " + narrowRole
		if w.Code != want || !allowed && !strings.Contains(w.Body.String(), says) {
			t.Errorf("permitted %v: %d %s", allowed, w.Code, w.Body)
		}
		if asked.Action != "sts:AssumeRole" || asked.Resource.Type != authz.TypeRole || asked.Resource.ID != narrowRole || asked.Resource.Account != first || asked.Who.Principal != "alice" || len(asked.Who.Groups) != 1 {
			t.Errorf("asked %+v", asked)
		}
	}
}

func TestEachAccountHasItsOwnRole(t *testing.T) {
	s, _ := startSite(t, filepath.Join(t.TempDir(), "data"))
	s.put("in/a")
	bucket, key := aws.String("eves-bucket"), aws.String("in/a.jsonl")
	if _, err := s.s3(eve).CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: bucket}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.s3(eve).PutObject(t.Context(), &s3.PutObjectInput{Bucket: bucket, Key: key, Body: strings.NewReader("x")}); err != nil {
		t.Fatal(err)
	}
	own := config.OwnRole(second)
	out, err := s.sts(eve).AssumeRole(t.Context(), &awssts.AssumeRoleInput{RoleArn: &own, RoleSessionName: aws.String("night")})
	if err != nil {
		t.Fatal(err)
	}
	role := static(*out.Credentials.AccessKeyId, *out.Credentials.SecretAccessKey, *out.Credentials.SessionToken)
	if _, err := s.s3(role).GetObject(t.Context(), &s3.GetObjectInput{Bucket: bucket, Key: key}); err != nil {
		t.Errorf("the role of an account does not reach its bucket: %v", err)
	}
	if got := s.get(role, "in/a"); got != "AccessDenied" {
		t.Errorf("an object of another account: %q", got)
	}
	for arn, want := range map[string]string{own: "", s.c.DefaultRole(): "AccessDeniedException"} {
		_, err := s.bedrock(eve).CreateModelInvocationJob(t.Context(), &awsbedrock.CreateModelInvocationJobInput{JobName: aws.String("own"),
			ModelId: aws.String("batholith.simulated-v1"), RoleArn: &arn,
			InputDataConfig:  &types.ModelInvocationJobInputDataConfigMemberS3InputDataConfig{Value: types.ModelInvocationJobS3InputDataConfig{S3Uri: aws.String("s3://eves-bucket/in/")}},
			OutputDataConfig: &types.ModelInvocationJobOutputDataConfigMemberS3OutputDataConfig{Value: types.ModelInvocationJobS3OutputDataConfig{S3Uri: aws.String("s3://eves-bucket/out/")}}})
		if got := apiCode(err); got != want {
			t.Errorf("a job as %s: %q, want %q", arn, got, want)
		}
	}
}

// A session is a principal of its own, so a policy can end one session of a role and leave the others.
func TestAPolicyEndsASessionByItsName(t *testing.T) {
	file := filepath.Join(t.TempDir(), "policy.cedar")
	policies := "permit(principal, action, resource);\nforbid(principal == Principal::\"arn:aws:sts::" + first + ":assumed-role/wide/night\", action, resource);\n"
	if err := os.WriteFile(file, []byte(policies), 0o600); err != nil {
		t.Fatal(err)
	}
	s, _ := startSite(t, filepath.Join(t.TempDir(), "data"), func(c *config.Config) { c.Policy = file })
	s.put("a")
	const wide = "arn:aws:iam::" + first + ":role/wide"
	for session, ended := range map[string]bool{"night": true, "nightly": false, "day": false} {
		as := temporary(s.assumeAs(wide, session))
		_, listed := s.bedrock(as).ListModelInvocationJobs(t.Context(), &awsbedrock.ListModelInvocationJobsInput{})
		_, assumed := s.sts(as).AssumeRole(t.Context(), &awssts.AssumeRoleInput{RoleArn: aws.String(wide), RoleSessionName: aws.String("next")})
		for what, got := range map[string]string{"the S3": s.get(as, "a"), "the Bedrock API": strings.TrimSuffix(apiCode(listed), "Exception"), "the token service": apiCode(assumed)} {
			if want := map[bool]string{true: "AccessDenied"}[ended]; got != want {
				t.Errorf("the session %s at %s: %q, want %q", session, what, got, want)
			}
		}
	}
}
