package console_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/bedrock"
	"github.com/batholith/batholith/internal/console"
	"github.com/batholith/batholith/internal/sigv4"
)

// api is a Bedrock API with some jobs. It answers whoever has a valid key, and records what was asked.
type api struct {
	mu     sync.Mutex
	jobs   map[string]bedrock.JobSummary
	keys   map[string]string // principal by bearer key
	denies map[string]bool   // paths, without their query
	asked  []string
}

func (a *api) verify(r *http.Request) (sigv4.Identity, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	who := a.keys[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
	if who == "" {
		return sigv4.Identity{}, errors.New("unknown key")
	}
	return sigv4.Identity{Account: "000000000000", Principal: who}, nil
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	who, err := a.verify(r)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = append(a.asked, r.Method+" "+r.URL.EscapedPath()+" as "+who.Principal)
	refuse := func(status int, code, message string) {
		w.Header().Set("x-amzn-ErrorType", code)
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]string{"message": message})
	}
	if err != nil {
		refuse(http.StatusForbidden, "UnrecognizedClientException", "bad key")
		return
	}
	if a.denies[r.URL.Path] {
		refuse(http.StatusForbidden, bedrock.CodeAccessDenied, "User: arn:aws:iam::000000000000:user/"+who.Principal+" is not authorized to perform this")
		return
	}
	rest, isJob := strings.CutPrefix(r.URL.Path, "/model-invocation-job/")
	id, verb, _ := strings.Cut(rest, "/")
	switch {
	case r.URL.Path == "/model-invocation-jobs":
		var out bedrock.ListModelInvocationJobsOutput
		for _, j := range a.jobs {
			if strings.Contains(j.JobName, r.URL.Query().Get("nameContains")) {
				out.InvocationJobSummaries = append(out.InvocationJobSummaries, j)
			}
		}
		_ = json.NewEncoder(w).Encode(out)
	case isJob && verb == "stop":
		j := a.jobs[id]
		j.Status = batholith.StatusStopping
		a.jobs[id] = j
		fmt.Fprint(w, "{}")
	case isJob:
		j, ok := a.jobs[id]
		if !ok {
			refuse(http.StatusNotFound, bedrock.CodeResourceNotFound, "There is no job "+id)
			return
		}
		_ = json.NewEncoder(w).Encode(j)
	case r.URL.Path == "/foundation-models":
		_ = json.NewEncoder(w).Encode(bedrock.ListFoundationModelsOutput{ModelSummaries: []bedrock.FoundationModel{{ModelID: "m.one", ModelName: evil}}})
	case r.URL.Path == "/backends":
		_ = json.NewEncoder(w).Encode(bedrock.ListBackendsOutput{Backends: []bedrock.BackendSummary{{Name: "gpu-1:8000", URL: "http://gpu-1:8000/v1", ModelIDs: []string{"m.one"}, State: "ready", InFlightCount: 12, Limit: 32, LimitSource: "gauges"}}})
	default:
		fmt.Fprint(w, "{}")
	}
}

// did reports whether the API was asked so.
func (a *api) did(what string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, one := range a.asked {
		if strings.HasPrefix(one, what) {
			return true
		}
	}
	return false
}

// set changes the API.
func (a *api) set(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
}

// history is the Jobs of the tests.
type history struct{}

func (history) History(_ context.Context, job string) ([]batholith.Change, error) {
	return []batholith.Change{{Job: job, Status: batholith.StatusSubmitted, At: begin}, {Job: job, Status: batholith.StatusInProgress, Message: evil, At: begin.Add(time.Minute)}}, nil
}
func (history) Changes(context.Context, string, int64, int) ([]batholith.Change, error) {
	return []batholith.Change{{Seq: 7, Job: "aaaaaaaaaaaa", Status: batholith.StatusInProgress, Message: evil, At: begin}, {Seq: 6, Job: "hidden000000", Status: batholith.StatusFailed, Message: "a secret of another", At: begin}}, nil
}
func (history) Running(context.Context, int) ([]batholith.Job, error)     { return nil, nil }
func (history) PutPoints(context.Context, []batholith.Point) error        { return nil }
func (history) Points(context.Context, string) ([]batholith.Point, error) { return nil, nil }
func (history) InFlight() map[string]int64                                { return map[string]int64{} }
func (history) Receivers(context.Context) ([]console.Receiver, error) {
	return []console.Receiver{{Name: "hook", URL: "http://127.0.0.1:9/" + evil, Pending: 3}}, nil
}

// evil would act if a page did not escape it.
const evil = `<script>alert(1)</script><img src=x onerror=alert(2)>`

var begin = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// site is a console with a browser that keeps cookies.
type site struct {
	t     *testing.T
	api   *api
	http  *http.Client
	at    string
	mu    sync.Mutex
	clock time.Time
	dir   string
}

func (s *site) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.clock
}

func (s *site) pass(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clock = s.clock.Add(d)
}

func newSite(t *testing.T, change ...func(*console.Options)) *site {
	t.Helper()
	s := &site{t: t, clock: begin.Add(time.Hour), dir: filepath.Join(t.TempDir(), "spool"), api: &api{denies: map[string]bool{}, jobs: map[string]bedrock.JobSummary{}, keys: map[string]string{
		sigv4.BearerOf("AKALICE", "alices-secret"): "alice", "ABSK-bob": "bob"}}}
	s.api.jobs["aaaaaaaaaaaa"] = bedrock.JobSummary{JobARN: "arn:aws:bedrock:us-east-1:000000000000:model-invocation-job/aaaaaaaaaaaa", JobName: "nightly" + evil, ModelID: "m.one" + evil,
		Status: batholith.StatusInProgress, SubmitTime: bedrock.Timestamp{Time: begin}, TotalRecordCount: 200, ProcessedRecordCount: 50, SuccessRecordCount: 49, ErrorRecordCount: 1, Message: evil, RoleARN: evil,
		InputDataConfig:  &bedrock.InputDataConfig{S3InputDataConfig: &bedrock.S3InputDataConfig{S3URI: "s3://b/" + evil}},
		OutputDataConfig: &bedrock.OutputDataConfig{S3OutputDataConfig: &bedrock.S3OutputDataConfig{S3URI: "s3://b/out/"}},
		Batholith:        &bedrock.JobNotes{Note: evil, Usage: &bedrock.JobUsage{InputTokens: 1234, OutputTokens: 567}, Backends: []bedrock.JobBackend{{Name: evil, State: "ready"}}}}
	o := console.Options{API: s.api, Verify: s.api.verify, Jobs: history{}, Dir: s.dir, Now: s.now, Every: 10 * time.Millisecond, Bucket: "batholith",
		Table: func(name string) bool { return strings.HasSuffix(name, ".csv") },
		Records: func(_ context.Context, _, _ string, recipe console.Recipe, _ string, _ batholith.InvocationType, to io.Writer) error {
			if strings.Contains(recipe.Template, "bad") {
				return errors.New("there is no column " + evil)
			}
			_, err := io.WriteString(to, "{}\n{}\n")
			return err
		},
		Role: func(account string) string { return "arn:aws:iam::" + account + ":role/batholith" },
		Validate: func(context.Context, string, string, string, batholith.InvocationType) (console.Validation, error) {
			return console.Validation{Records: 2, Errors: 1, ErrorList: []console.Problem{{Line: 2, Reason: evil}}}, nil
		}}
	for _, f := range change {
		f(&o)
	}
	c, err := console.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	server := httptest.NewServer(c)
	t.Cleanup(func() {
		cancel() // ends the streams
		if err := <-done; err != nil {
			t.Error(err)
		}
		server.Close()
	})
	jar, _ := cookiejar.New(nil) // no error without options
	s.http, s.at = &http.Client{Jar: jar, Timeout: 20 * time.Second}, server.URL
	return s
}

// do sends a request and returns the status, the address at the end, and the page.
func (s *site) do(r *http.Request) (int, string, string) {
	s.t.Helper()
	answer, err := s.http.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer.StatusCode, answer.Request.URL.Path, string(text)
}

func (s *site) get(path string) (int, string, string) {
	s.t.Helper()
	r, _ := http.NewRequest(http.MethodGet, s.at+path, nil)
	return s.do(r)
}

func (s *site) post(path string, form url.Values, headers ...string) (int, string, string) {
	s.t.Helper()
	r, _ := http.NewRequest(http.MethodPost, s.at+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return s.do(r)
}

// signIn signs in as alice.
func (s *site) signIn() {
	s.t.Helper()
	if status, at, text := s.post("/console/sign-in", url.Values{"key-id": {"AKALICE"}, "secret": {"alices-secret"}}); status != 200 || at != "/console/" {
		s.t.Fatalf("signed in: %d at %s\n%s", status, at, text)
	}
}

var tokenForm = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

// token returns the token of the forms on a page.
func (s *site) token(path string) string {
	s.t.Helper()
	_, _, text := s.get(path)
	m := tokenForm.FindStringSubmatch(text)
	if m == nil {
		s.t.Fatalf("%s has no form", path)
	}
	return m[1]
}

func TestPagesNeedASignIn(t *testing.T) {
	s := newSite(t)
	for _, path := range []string{"/console/", "/console/jobs/aaaaaaaaaaaa", "/console/models", "/console/events", "/console/submit", "/console/nothing"} {
		if status, at, text := s.get(path); status != 200 || at != "/console/sign-in" || strings.Contains(text, "nightly") {
			t.Errorf("%s: %d at %s", path, status, at)
		}
	}
	for _, path := range []string{"/console/live", "/console/jobs/aaaaaaaaaaaa/points", "/console/session"} {
		if status, _, _ := s.get(path); status != http.StatusUnauthorized {
			t.Errorf("%s without a session answers %d, want 401", path, status)
		}
	}
	if len(s.api.asked) > 0 {
		t.Errorf("the API was asked without a key: %v", s.api.asked)
	}
}

func TestSignInLeadsToThePageThatWasAsked(t *testing.T) {
	s := newSite(t)
	status, at, _ := s.post("/console/sign-in", url.Values{"bearer": {"ABSK-bob"}, "next": {"/console/models"}})
	if status != 200 || at != "/console/models" || !s.api.did("GET /foundation-models as bob") {
		t.Errorf("%d at %s; %v", status, at, s.api.asked)
	}
}

func TestSignInLeadsToNoOtherSite(t *testing.T) {
	for _, next := range []string{"https://evil.example/", "//evil.example/console/", "/\\evil.example", "/console/..//evil", "javascript:alert(1)", "/other"} {
		s := newSite(t)
		s.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		r, _ := http.NewRequest(http.MethodPost, s.at+"/console/sign-in", strings.NewReader(url.Values{"bearer": {"ABSK-bob"}, "next": {next}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		answer, err := s.http.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if to := answer.Header.Get("Location"); !strings.HasPrefix(to, "/console/") {
			t.Errorf("next=%s leads to %s", next, to)
		}
	}
}

func TestTheCookieIsOutOfReach(t *testing.T) {
	s := newSite(t)
	s.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for _, proto := range []string{"", "https"} {
		r, _ := http.NewRequest(http.MethodPost, s.at+"/console/sign-in", strings.NewReader("bearer=ABSK-bob"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("X-Forwarded-Proto", proto)
		answer, err := s.http.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		k := answer.Cookies()[0]
		if !k.HttpOnly || k.SameSite != http.SameSiteStrictMode || k.Path != "/console/" || k.Secure != (proto == "https") || strings.Contains(k.Value, "bob") {
			t.Errorf("behind %q: %+v", proto, k)
		}
	}
}

func TestAWrongKeyIsRefusedAndGuessesAreSlowedDown(t *testing.T) {
	s := newSite(t)
	last := 0
	for i := range 11 {
		status, _, text := s.post("/console/sign-in", url.Values{"key-id": {"AKALICE"}, "secret": {fmt.Sprint("guess", i)}})
		if last = status; status == http.StatusForbidden && (!strings.Contains(text, "wrong") || strings.Contains(text, fmt.Sprint("guess", i))) {
			t.Errorf("guess %d: the page does not say why, or repeats the secret", i)
		}
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("guess 11 is answered %d, want 429", last)
	}
	if status, _, _ := s.post("/console/sign-in", url.Values{"key-id": {"AKALICE"}, "secret": {"alices-secret"}}); status != http.StatusTooManyRequests {
		t.Errorf("the right key after too many guesses: %d, want 429: it would tell that the guess was right", status)
	}
	s.pass(time.Minute)
	s.signIn()
}

func TestASessionEnds(t *testing.T) {
	gone := func(t *testing.T, s *site) {
		t.Helper()
		if _, at, _ := s.get("/console/models"); at != "/console/sign-in" {
			t.Errorf("the session still opens %s", at)
		}
	}
	t.Run("unused for an hour", func(t *testing.T) {
		s := newSite(t)
		s.signIn()
		s.pass(59 * time.Minute)
		if _, at, _ := s.get("/console/models"); at != "/console/models" {
			t.Fatalf("after 59 minutes: %s", at)
		}
		s.pass(61 * time.Minute)
		gone(t, s)
	})
	t.Run("used for half a day", func(t *testing.T) {
		s := newSite(t)
		s.signIn()
		for range 12 {
			s.pass(59 * time.Minute)
			s.get("/console/models")
		}
		s.pass(30 * time.Minute)
		gone(t, s)
	})
	t.Run("the key was removed", func(t *testing.T) {
		s := newSite(t)
		s.signIn()
		s.api.set(func() { clear(s.api.keys) })
		gone(t, s)
		s.api.set(func() { s.api.keys[sigv4.BearerOf("AKALICE", "alices-secret")] = "alice" })
		gone(t, s) // a key that comes back begins no session
	})
	t.Run("signed out", func(t *testing.T) {
		s := newSite(t)
		s.signIn()
		u, _ := url.Parse(s.at + "/console/")
		before := s.http.Jar.Cookies(u)
		s.post("/console/sign-out", url.Values{"csrf": {s.token("/console/")}})
		gone(t, s)
		s.http.Jar.SetCookies(u, before) // a copy of the cookie is worth nothing
		gone(t, s)
	})
}

func TestNothingOfAStrangerActsOnAPage(t *testing.T) {
	s := newSite(t)
	s.signIn()
	for _, path := range []string{"/console/", "/console/?name=" + url.QueryEscape(evil), "/console/jobs/aaaaaaaaaaaa", "/console/jobs/aaaaaaaaaaaa/records", "/console/jobs/aaaaaaaaaaaa/errors",
		"/console/jobs/aaaaaaaaaaaa/files", "/console/models", "/console/events", "/console/submit?model=" + url.QueryEscape(evil), "/console/jobs/" + url.PathEscape(evil), "/console/" + url.PathEscape(evil)} {
		_, _, text := s.get(path)
		if strings.Contains(text, "<script>alert") || strings.Contains(text, "<img src=x") {
			t.Errorf("%s has a stranger's element", path)
		}
	}
	if _, _, text := s.get("/console/jobs/aaaaaaaaaaaa"); !strings.Contains(text, html.EscapeString(evil)) {
		t.Error("the page does not show the text at all")
	}
}

func TestPagesAllowNoForeignContent(t *testing.T) {
	s := newSite(t)
	answer, err := s.http.Get(s.at + "/console/sign-in")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	csp := answer.Header.Get("Content-Security-Policy")
	for _, part := range []string{"default-src 'none'", "script-src 'self';", "style-src 'self';", "frame-ancestors 'none'", "base-uri 'none'"} {
		if !strings.Contains(csp, part) {
			t.Errorf("the policy %q lacks %q", csp, part)
		}
	}
	if strings.Contains(csp, "unsafe") {
		t.Errorf("the policy is %q", csp)
	}
	text, _ := io.ReadAll(answer.Body)
	if m := regexp.MustCompile(`(?i)<style|style="|<script>|onclick=|(?:src|href)="(?:https?:)?//`).Find(text); m != nil {
		t.Errorf("the page has %q, which the policy refuses", m)
	}
}

func TestFormsOfOtherSitesAreRefused(t *testing.T) {
	s := newSite(t)
	s.signIn()
	stop := "/console/jobs/aaaaaaaaaaaa/stop"
	right := s.token("/console/jobs/aaaaaaaaaaaa")
	for name, try := range map[string]func() (int, string, string){
		"another site": func() (int, string, string) {
			return s.post(stop, url.Values{"csrf": {right}}, "Sec-Fetch-Site", "cross-site")
		},
		"another origin": func() (int, string, string) {
			return s.post(stop, url.Values{"csrf": {right}}, "Origin", "https://evil.example")
		},
		"no token":      func() (int, string, string) { return s.post(stop, nil) },
		"a wrong token": func() (int, string, string) { return s.post(stop, url.Values{"csrf": {right + "x"}}) },
		"a sign-in by one": func() (int, string, string) {
			return s.post("/console/sign-in", url.Values{"bearer": {"ABSK-bob"}}, "Sec-Fetch-Site", "cross-site")
		},
	} {
		if status, _, _ := try(); status != http.StatusForbidden {
			t.Errorf("%s: %d, want 403", name, status)
		}
	}
	if s.api.did("POST /model-invocation-job/") {
		t.Errorf("a forged form reached the API: %v", s.api.asked)
	}
	if status, at, text := s.post(stop, url.Values{"csrf": {right}}); status != 200 || at != "/console/jobs/aaaaaaaaaaaa" || !strings.Contains(text, "The job is stopping.") || !s.api.did("POST /model-invocation-job/aaaaaaaaaaaa/stop as alice") {
		t.Errorf("the right form: %d at %s", status, at)
	}
}

func TestWhoMayNotSeesSo(t *testing.T) {
	for path, denied := range map[string][]string{
		"/console/":                          {"/model-invocation-jobs"},
		"/console/jobs/aaaaaaaaaaaa":         {"/model-invocation-job/aaaaaaaaaaaa"},
		"/console/jobs/aaaaaaaaaaaa/records": {"/model-invocation-job/aaaaaaaaaaaa"},
		"/console/jobs/aaaaaaaaaaaa/errors":  {"/model-invocation-job/aaaaaaaaaaaa"},
		"/console/jobs/aaaaaaaaaaaa/files":   {"/model-invocation-job/aaaaaaaaaaaa"},
		"/console/models":                    {"/foundation-models", "/backends"},
		"/console/events":                    {"/model-invocation-jobs"},
	} {
		s := newSite(t)
		s.signIn()
		s.api.set(func() {
			for _, d := range denied {
				s.api.denies[d] = true
			}
		})
		status, _, text := s.get(path)
		if status != http.StatusForbidden || !strings.Contains(text, "Not permitted") || !strings.Contains(text, "is not authorized") || strings.Contains(text, "nightly") {
			t.Errorf("%s: %d, %v", path, status, strings.Contains(text, "Not permitted"))
		}
		for _, live := range []string{path + "live", path + "/live", path + "/points"} {
			if status, _, text := s.get(live); status == 200 && strings.Contains(text, "records") {
				t.Errorf("%s tells what %s does not", live, path)
			}
		}
	}
}

func TestEventsOfJobsThatMayNotBeSeenAreLeftOut(t *testing.T) {
	s := newSite(t)
	s.signIn()
	_, _, text := s.get("/console/events")
	if strings.Contains(text, "a secret of another") || !strings.Contains(text, "1 change of jobs that you may not see") || !strings.Contains(text, "hook") {
		t.Errorf("events:\n%s", text)
	}
	s.api.set(func() { s.api.denies["/backends"] = true })
	if _, _, text := s.get("/console/events"); strings.Contains(text, "hook<") || !strings.Contains(text, "You may not see to which receivers") {
		t.Error("who may not list the servers sees the receivers")
	}
}

func TestServersAreHiddenFromThoseWhoMayNotListThem(t *testing.T) {
	s := newSite(t)
	s.signIn()
	if _, _, text := s.get("/console/models"); !strings.Contains(text, "gpu-1:8000") || !strings.Contains(text, "learned from gauges") {
		t.Error("the server is not shown")
	}
	s.api.set(func() { s.api.denies["/backends"] = true })
	if status, _, text := s.get("/console/models"); status != 200 || strings.Contains(text, "gpu-1") || !strings.Contains(text, "The model servers are not shown") || !strings.Contains(text, "m.one") {
		t.Error("the models are hidden too, or the servers are not")
	}
}

// events reads a stream up to its end, and passes each event on.
func (s *site) events(path string, each func(name, data string) (more bool)) {
	s.t.Helper()
	r, _ := http.NewRequest(http.MethodGet, s.at+path, nil)
	answer, err := s.http.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != 200 || !strings.HasPrefix(answer.Header.Get("Content-Type"), "text/event-stream") || answer.Header.Get("X-Accel-Buffering") != "no" {
		s.t.Fatalf("the stream: %d %v", answer.StatusCode, answer.Header)
	}
	lines, name, data := bufio.NewScanner(answer.Body), "", ""
	for lines.Scan() {
		switch line := lines.Text(); {
		case strings.HasPrefix(line, "event: "):
			name = line[len("event: "):]
		case strings.HasPrefix(line, "data:"):
			data += strings.TrimPrefix(line[len("data:"):], " ") + "\n"
		case line == "" && name != "":
			if !each(name, data) {
				return
			}
			name, data = "", ""
		}
	}
}

func TestAStreamFollowsAJobToItsEnd(t *testing.T) {
	s := newSite(t)
	s.signIn()
	seen := map[string]int{}
	s.events("/console/jobs/aaaaaaaaaaaa/live", func(name, data string) bool {
		seen[name]++
		switch {
		case name == "job" && seen["job"] == 1:
			if !strings.Contains(data, "50 of 200 records") || strings.Contains(data, "<script>alert") {
				t.Errorf("the first look: %s", data)
			}
			s.api.set(func() {
				j := s.api.jobs["aaaaaaaaaaaa"]
				j.Status, j.ProcessedRecordCount, j.EndTime = batholith.StatusCompleted, 200, bedrock.Timestamp{Time: begin.Add(time.Hour)}
				s.api.jobs["aaaaaaaaaaaa"] = j
			})
		case name == "job" && !strings.Contains(data, "200 of 200 records"):
			t.Errorf("the last look: %s", data)
		}
		return true
	})
	if seen["job"] != 2 || seen["end"] != 1 || seen["beat"] != 1 {
		t.Errorf("events: %v, want job twice, one beat, and the end", seen)
	}
}

func TestAStreamEndsWithItsSession(t *testing.T) {
	s := newSite(t)
	s.signIn()
	s.events("/console/live", func(name, _ string) bool {
		s.api.set(func() { clear(s.api.keys) })
		return true
	}) // returns at the end of the stream
}

func TestTheStreamsOfASessionAreBounded(t *testing.T) {
	s := newSite(t)
	s.signIn()
	for i := range 13 {
		answer, err := s.http.Get(s.at + "/console/live")
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if full := i == 12; full != (answer.StatusCode == http.StatusServiceUnavailable) {
			t.Errorf("stream %d: %d", i+1, answer.StatusCode)
		}
	}
}

// upload sends a file as the form of a page does.
func (s *site) upload(path, token, name, text string) (int, string, string) {
	s.t.Helper()
	return s.uploadWith(path, token, name, text)
}

func (s *site) uploadWith(path, token, name, text string, fields ...string) (int, string, string) {
	s.t.Helper()
	var b strings.Builder
	w := multipart.NewWriter(&b)
	_ = w.WriteField("csrf", token) // a strings.Builder takes everything
	_ = w.WriteField("model", "m.one")
	for i := 0; i+1 < len(fields); i += 2 {
		_ = w.WriteField(fields[i], fields[i+1])
	}
	part, _ := w.CreateFormFile("file", name)
	_, _ = io.WriteString(part, text)
	w.Close()
	r, _ := http.NewRequest(http.MethodPost, s.at+path, strings.NewReader(b.String()))
	r.Header.Set("Content-Type", w.FormDataContentType())
	return s.do(r)
}

func TestAFileIsValidatedBeforeAnythingIsSent(t *testing.T) {
	s := newSite(t)
	s.signIn()
	token := s.token("/console/")
	status, at, text := s.upload("/console/submit", token, "../"+evil+".jsonl", "{}")
	if status != 200 || !strings.HasPrefix(at, "/console/submit/") || !strings.Contains(text, "1 line is not a valid record") || strings.Contains(text, "<script>alert") || strings.Contains(text, "Create the job with") {
		t.Errorf("%d at %s\n%s", status, at, text)
	}
	if s.api.did("POST") {
		t.Errorf("something was sent: %v", s.api.asked)
	}
	if files, _ := os.ReadDir(s.dir); len(files) != 1 {
		t.Errorf("%d files wait, want 1", len(files))
	}
	other := newSite(t)
	other.signIn()
	if status, _, _ := other.get(at); status != http.StatusNotFound {
		t.Errorf("another session reads the draft: %d", status)
	}
	s.post(at+"/discard", url.Values{"csrf": {token}})
	if files, _ := os.ReadDir(s.dir); len(files) != 0 {
		t.Errorf("%d files are left after the discard", len(files))
	}
}

func TestATableIsMadeIntoRecords(t *testing.T) {
	s := newSite(t)
	s.signIn()
	token := s.token("/console/")
	for template, want := range map[string]string{"": "write a prompt with the names of its columns", "bad": "there is no column &lt;script&gt;"} {
		if status, _, text := s.uploadWith("/console/submit", token, "rows.csv", "a,b\n1,2\n", "template", template); status != http.StatusBadRequest || !strings.Contains(text, want) {
			t.Errorf("the template %q: %d\n%s", template, status, text)
		}
	}
	if files, _ := os.ReadDir(s.dir); len(files) != 0 {
		t.Errorf("%d files are left of refused tables", len(files))
	}
	status, _, text := s.uploadWith("/console/submit", token, "rows.csv", "a,b\n1,2\n", "template", "Say {{.a}}")
	if status != 200 || !strings.Contains(text, "rows.jsonl") || !strings.Contains(text, "made of the rows of <b>rows.csv</b>") {
		t.Errorf("%d\n%s", status, text)
	}
	if files, _ := os.ReadDir(s.dir); len(files) != 1 {
		t.Errorf("%d files wait, want the records alone", len(files))
	}
}

func TestAFileOfAForgedFormIsNotStored(t *testing.T) {
	s := newSite(t)
	s.signIn()
	if status, _, _ := s.upload("/console/submit", "wrong", "a.jsonl", "{}"); status != http.StatusForbidden {
		t.Errorf("%d, want 403", status)
	}
	if files, _ := os.ReadDir(s.dir); len(files) != 0 {
		t.Error("the file was stored")
	}
}

func TestDraftsEndWithTheirSession(t *testing.T) {
	s := newSite(t)
	s.signIn()
	token := s.token("/console/")
	s.upload("/console/submit", token, "a.jsonl", "{}")
	s.post("/console/sign-out", url.Values{"csrf": {token}})
	if files, _ := os.ReadDir(s.dir); len(files) != 0 {
		t.Errorf("%d files are left after the sign-out", len(files))
	}
}

func TestAnExternalS3IsNotRead(t *testing.T) {
	s := newSite(t)
	s.signIn()
	for _, path := range []string{"/console/buckets", "/console/buckets/b", "/console/buckets/b/download?key=k"} {
		if status, _, text := s.get(path); status != http.StatusNotFound || !strings.Contains(text, "external") {
			t.Errorf("%s: %d", path, status)
		}
	}
	if _, _, text := s.get("/console/jobs/aaaaaaaaaaaa/files"); !strings.Contains(text, "embedded S3 only") { // without a way to the S3
		t.Error("the files are not explained")
	}
}

func TestOnlyBrowsersAreLedToTheConsole(t *testing.T) {
	for _, tt := range []struct {
		method, path, accept string
		leads                bool
	}{
		{"GET", "/", "text/html,application/xhtml+xml", true}, {"GET", "/", "*/*", false}, {"GET", "/", "", false}, {"POST", "/", "text/html", false}, {"GET", "/model-invocation-jobs", "text/html", false},
	} {
		r := httptest.NewRequest(tt.method, tt.path, nil)
		r.Header.Set("Accept", tt.accept)
		if got := console.Leads(r); got != tt.leads {
			t.Errorf("%s %s, %q: %v", tt.method, tt.path, tt.accept, got)
		}
	}
}

func TestStaticFilesAreKeptByBrowsersAndListNothing(t *testing.T) {
	s := newSite(t)
	_, _, text := s.get("/console/sign-in")
	m := regexp.MustCompile(`/console/static/console\.css\?[0-9a-f]+`).FindString(text)
	answer, err := s.http.Get(s.at + m)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != 200 || !strings.Contains(answer.Header.Get("Cache-Control"), "immutable") {
		t.Errorf("%s: %d %v", m, answer.StatusCode, answer.Header)
	}
	for _, path := range []string{"/console/static/", "/console/static/vendor/", "/console/static/nothing.js"} {
		if status, _, _ := s.get(path); status != http.StatusNotFound {
			t.Errorf("%s: %d, want 404", path, status)
		}
	}
}
