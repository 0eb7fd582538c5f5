package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/goccy/go-yaml"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/s3serve"
	"github.com/batholith/batholith/internal/upstream"
)

func newDoctor() *doctor {
	return &doctor{now: time.Now, http: http.DefaultClient, o: Options{Serve: "batholith serve",
		Explain: func(err error) (why, remedy string) { return err.Error(), "" }}}
}

// said is every finding of a severity, one a line.
func (d *doctor) said(s Severity) string {
	var b strings.Builder
	for _, f := range d.findings {
		if f.Severity == s {
			fmt.Fprintf(&b, "%s: %s (%s) → %s\n", f.Check, f.What, f.Why, f.Remedy)
		}
	}
	return b.String()
}

// modelServer lists these models and answers for them, and wants a key if one is given.
func modelServer(t *testing.T, key string, names ...string) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case key != "" && r.Header.Get("Authorization") != "Bearer "+key:
			http.Error(w, `{"error":{"message":"who are you?"}}`, http.StatusUnauthorized)
		case r.URL.Path == "/v1/models":
			var data []string
			for _, n := range names {
				data = append(data, fmt.Sprintf(`{"id":%q}`, n))
			}
			fmt.Fprintf(w, `{"object":"list","data":[%s]}`, strings.Join(data, ","))
		case r.URL.Path == "/v1/chat/completions":
			var asked struct{ Model string }
			if err := json.NewDecoder(r.Body).Decode(&asked); err != nil || !slices.Contains(names, asked.Model) {
				http.Error(w, `{"error":{"message":"no such model"}}`, http.StatusNotFound)
				return
			}
			io.WriteString(w, `{"choices":[{"message":{"role":"assistant","content":"yes"},"finish_reason":"length"}]}`)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func TestDoctorNamesWhyAModelIsNotServed(t *testing.T) {
	there, locked := modelServer(t, "", "qwen", "llama"), modelServer(t, "secret", "qwen")
	gone := httptest.NewServer(nil)
	gone.Close()
	unlisted := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/chat/completions" {
			http.NotFound(w, r)
			return
		}
		io.WriteString(w, `{"choices":[{"message":{"role":"assistant","content":""},"finish_reason":"length"}]}`)
	}))
	defer unlisted.Close()
	loading := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "Loading model", http.StatusServiceUnavailable)
	}))
	defer loading.Close()
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") }))
	defer page.Close()
	tls := httptest.NewUnstartedServer(http.NotFoundHandler())
	tls.Config.ErrorLog = log.New(io.Discard, "", 0)
	tls.StartTLS()
	defer tls.Close()
	login := httptest.NewServer(http.RedirectHandler("http://127.0.0.1:1/", http.StatusFound))
	defer login.Close()
	backend := func(url, model, key string) upstream.Options {
		return upstream.Options{URL: url + "/v1", Protocol: "openai", Model: model, APIKey: key}
	}
	for name, c := range map[string]struct {
		backend upstream.Options
		want    Severity
		words   []string
	}{
		"served":      {backend(there.URL, "qwen", ""), Sound, []string{"serves qwen for claude"}},
		"with a key":  {backend(locked.URL, "qwen", "secret"), Sound, nil},
		"other name":  {backend(there.URL, "mistral", ""), Problem, []string{"claude is not served", `"mistral"`, "qwen, llama", "backend's model"}},
		"no list":     {backend(unlisted.URL, "qwen", ""), Sound, []string{"serves qwen for claude"}},
		"loading":     {backend(loading.URL, "qwen", ""), Note, []string{"has not answered for claude yet", "503"}},
		"web page":    {backend(page.URL, "qwen", ""), Problem, []string{"web page (HTML)", "…/v1"}},
		"self-signed": {backend(tls.URL, "qwen", ""), Problem, []string{"does not trust", "→ add that certificate", "SSL_CERT_FILE"}},
		"https":       {backend("https"+strings.TrimPrefix(there.URL, "http"), "qwen", ""), Problem, []string{"→ write http://"}},
		"redirect":    {backend(login.URL, "qwen", ""), Problem, []string{"redirects elsewhere", "→ set the backend's url", "login page"}},
		"no key":      {backend(locked.URL, "qwen", ""), Problem, []string{"api_key_env"}},
		"wrong path":  {backend(there.URL+"/x", "qwen", ""), Problem, []string{"…/v1"}},
		"not running": {backend(gone.URL, "qwen", ""), Problem, []string{"refuse", "start the model server"}},
	} {
		d := newDoctor()
		d.o.Models = []Model{{Model: batholith.Model{ID: "claude"}, Backends: []upstream.Options{c.backend}}}
		d.models(t.Context())
		got := d.said(c.want)
		for _, w := range append(c.words, c.backend.URL) {
			if !strings.Contains(got, w) {
				t.Errorf("%s: no %q in %+v", name, w, d.findings)
			}
		}
		if strings.Contains(fmt.Sprint(d.findings), "secret") {
			t.Errorf("%s: the key is told: %+v", name, d.findings)
		}
	}
}

func TestDoctorOffersAModelServerThatTheSettingsDoNotName(t *testing.T) {
	there := modelServer(t, "", `we"ird: name`, "b")
	other := httptest.NewServer(http.NotFoundHandler()) // some web server
	defer other.Close()
	at := func(s *httptest.Server) string { return strings.TrimPrefix(s.URL, "http://") }
	d := newDoctor()
	d.ports = []usualPort{{at(there), "Ollama"}, {at(other), "vLLM"}, {"127.0.0.1:1", "SGLang"}}
	d.neighbours(t.Context())
	if len(d.findings) != 1 || d.findings[0].Severity != Note || !strings.Contains(d.findings[0].What, at(there)) {
		t.Fatalf("%+v", d.findings)
	}
	_, text, _ := strings.Cut(d.findings[0].Remedy, ":\n")
	var pasted struct{ Models []config.Model }
	if err := yaml.Unmarshal([]byte(text), &pasted); err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	file := filepath.Join(t.TempDir(), "b.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(config.Sources{File: file})
	if err != nil {
		t.Fatalf("the offer is no settings file: %v\n%s", err, text)
	}
	d = newDoctor()
	d.ports = []usualPort{{at(there), "Ollama"}}
	for _, m := range c.Models {
		b := m.Backends[0]
		d.o.Models = append(d.o.Models, Model{Model: batholith.Model{ID: m.ID, Family: m.Family}, Backends: []upstream.Options{{URL: b.URL, Protocol: b.Protocol, Model: b.Model}}})
	}
	d.neighbours(t.Context())
	d.models(t.Context())
	if len(d.findings) != 1 || d.findings[0].Severity != Sound {
		t.Errorf("once pasted: %+v", d.findings)
	}
}

func TestDoctorLooksAtTheDataDirectory(t *testing.T) {
	dir := t.TempDir()
	data, err := config.OpenData(filepath.Join(dir, "d"))
	if err != nil {
		t.Fatal(err)
	}
	journal := filepath.Join(data.Dir, "journal")
	for path, content := range map[string]string{filepath.Join(data.Dir, "credentials"): "x", filepath.Join(journal, "0000000001.log"): "",
		filepath.Join(journal, "0000000002.log"): "", filepath.Join(journal, "0000000000.log.damaged"): "?"} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Chmod(filepath.Join(data.Dir, "credentials"), 0o644), os.Chmod(data.Dir, 0o750)); err != nil {
		t.Fatal(err)
	}
	d := newDoctor()
	d.now = func() time.Time { return time.Now().Add(time.Hour) }
	if !d.data(data.Dir) {
		t.Error("nobody is said to hold a directory that is held")
	}
	for _, want := range []string{"(mode 0750)", "(mode 0644)", "chmod 600 " + data.Dir, "0000000001.log is held since 1h"} {
		if !strings.Contains(d.said(Problem), want) {
			t.Errorf("no %q in %s", want, d.said(Problem))
		}
	}
	if strings.Contains(d.said(Problem), "0000000002.log is held") || !strings.Contains(d.said(Note), "0.log.damaged was damaged") ||
		!strings.Contains(d.said(Sound), fmt.Sprintf("in use by process %d", os.Getpid())) {
		t.Errorf("%+v", d.findings)
	}

	if err := data.Announce(config.Server{}); err != nil {
		t.Fatal(err)
	}
	data.Close()
	d = newDoctor()
	if d.data(data.Dir) || !strings.Contains(d.said(Note), "was killed") {
		t.Errorf("%+v", d.findings)
	}
	if left, _ := filepath.Glob(filepath.Join(data.Dir, ".doctor*")); len(left) > 0 {
		t.Errorf("it leaves %v", left)
	}
	file := filepath.Join(data.Dir, "credentials")
	d = newDoctor()
	if d.data(file); !strings.Contains(d.said(Problem), "it is not a directory") {
		t.Errorf("%+v", d.findings)
	}
}

// A directory of another user may be that of a running server: nothing that changes its owner or its mode is advised.
func TestDoctorLeavesTheDirectoryOfAnotherUserAsItIs(t *testing.T) {
	info, err := os.Stat(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		uid  int
		want bool
	}{{ownerOf(info), false}, {0, false}, {ownerOf(info) + 4242, true}} {
		d := newDoctor()
		if d.foreign("/srv/batholith", info, c.uid) != c.want || len(d.findings) > 0 != c.want {
			t.Errorf("user %d: %+v", c.uid, d.findings)
		}
		if d.server(t.Context(), false); c.want && len(d.findings) != 1 {
			t.Errorf("what cannot be seen is told: %+v", d.findings)
		}
		if got := d.said(Problem); c.want && (!strings.Contains(got, "run it as the owner: sudo -u") || strings.Contains(got, "chown") || strings.Contains(got, "chmod")) {
			t.Errorf("user %d: %s", c.uid, got)
		}
	}
	for err, want := range map[error]string{fs.ErrPermission: "chmod u+rwx d", syscall.EROFS: "read-only", syscall.ENOSPC: "make room", io.ErrUnexpectedEOF: "system's log"} {
		if got := unwritable("d", err); !strings.Contains(got, want) || strings.Contains(got, "chown") {
			t.Errorf("%v: %s", err, got)
		}
	}
}

func TestLittleRoomIsAProblem(t *testing.T) {
	for _, c := range []struct {
		free, whole uint64
		want        Severity
	}{{100 << 30, 200 << 30, Sound}, {1 << 29, 200 << 30, Problem}, {3 << 30, 200 << 30, Problem}, {2 << 30, 50 << 30, Sound}} {
		if got := spaceOf("d", c.free, c.whole); got.Severity != c.want {
			t.Errorf("%d of %d: %+v", c.free, c.whole, got)
		}
	}
}

func TestDoctorTellsAServerThatIsReadyFromOneThatIsNot(t *testing.T) {
	ready := http.StatusOK
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" {
			w.WriteHeader(ready)
		}
	}))
	defer s.Close()
	d := newDoctor()
	if d.server(t.Context(), false) || d.said(Note) == "" {
		t.Errorf("without a server: %+v", d.findings)
	}
	d.o.Server = s.URL + "/"
	if !d.server(t.Context(), false) {
		t.Errorf("%+v", d.findings)
	}
	ready = http.StatusServiceUnavailable
	if d.server(t.Context(), false) || !strings.Contains(d.said(Problem), "not ready (it answered 503") {
		t.Errorf("%+v", d.findings)
	}
	s.Close()
	d.findings = nil
	if d.server(t.Context(), true) || !strings.Contains(d.said(Problem), "the process that uses the data directory does not answer") {
		t.Errorf("%+v", d.findings)
	}
}

func TestDoctorNamesJobsThatDoNotMoveWithTheServersReason(t *testing.T) {
	d := newDoctor()
	ago := func(span time.Duration) time.Time { return time.Now().Add(-span) }
	d.standing(batholith.Job{ID: "a", Status: batholith.StatusInProgress, Modified: ago(time.Second)})
	d.standing(batholith.Job{ID: "b", Status: batholith.StatusScheduled, Modified: ago(time.Hour), Message: "no backend answers"})
	d.standing(batholith.Job{ID: "c", Status: batholith.StatusInProgress, Modified: ago(time.Hour)})
	got := d.said(Note)
	if len(d.findings) != 2 || !strings.Contains(got, "job b is Scheduled and has not moved for 1h (no backend answers)") || !strings.Contains(got, "job c is InProgress") {
		t.Errorf("%s", got)
	}
}

// bucketOf starts an embedded S3 with one bucket.
func bucketOf(t *testing.T) *s3.Client {
	t.Helper()
	server, err := s3serve.New(s3serve.Options{Dir: t.TempDir(), Region: "us-east-1", Owner: "000000000000"})
	if err != nil {
		t.Fatal(err)
	}
	if err := server.EnsureBucket("bucket"); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, ln) }()
	t.Cleanup(func() { stop(); <-done })
	id, secret := server.Key()
	return s3.New(s3.Options{Region: "us-east-1", BaseEndpoint: aws.String("http://" + ln.Addr().String()), UsePathStyle: true,
		Credentials:                credentials.NewStaticCredentialsProvider(id, secret, ""),
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired, ResponseChecksumValidation: aws.ResponseChecksumValidationWhenRequired})
}

func TestDoctorFindsLeftoversAndClearsThemAwayOnlyWhenAsked(t *testing.T) {
	client := bucketOf(t)
	put := func(key string) {
		if _, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("bucket"), Key: &key, Body: strings.NewReader("x")}); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []string{"out/over/a.jsonl.out", "out/over/.batholith/x.seg", "out/over/.batholith/index/0.idx", "out/alive/.batholith/x.seg"} {
		put(key)
	}
	for _, key := range []string{"out/over/b.jsonl.out", "out/alive/b.jsonl.out"} {
		if _, err := client.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: aws.String("bucket"), Key: &key}); err != nil {
			t.Fatal(err)
		}
	}
	over := []batholith.Job{{ID: "over", Request: batholith.Request{Output: batholith.Location{URI: "s3://bucket/out/"}}}}
	look := func(fix bool) *doctor {
		d := newDoctor()
		d.o.Fix = fix
		if err := d.leftovers(t.Context(), client, "bucket", over); err != nil {
			t.Fatal(err)
		}
		return d
	}
	for range 2 { // looking changes nothing
		d := look(false)
		if got := d.said(Problem); len(d.findings) != 2 || !strings.Contains(got, "left 2 objects below s3://bucket/out/over/.batholith/") ||
			!strings.Contains(got, "left an upload of s3://bucket/out/over/b.jsonl.out open") {
			t.Fatalf("%s", got)
		}
	}
	if d := look(true); len(d.findings) != 2 || d.said(Problem) != "" {
		t.Errorf("%+v", d.findings)
	}
	if d := look(false); len(d.findings) != 0 {
		t.Errorf("after --fix: %+v", d.findings)
	}
	list, err := client.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String("bucket")})
	if err != nil || len(list.Contents) != 2 {
		t.Errorf("%d objects are left, %v", len(list.Contents), err)
	}
	uploads, err := client.ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: aws.String("bucket")})
	if err != nil || len(uploads.Uploads) != 1 {
		t.Errorf("%d uploads are left, %v", len(uploads.Uploads), err)
	}
}
