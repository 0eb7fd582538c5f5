package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/goccy/go-yaml"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/s3serve"
)

func newDoctor() *doctor {
	return &doctor{app: &app{stdout: &bytes.Buffer{}, stderr: &bytes.Buffer{}}, now: time.Now, http: http.DefaultClient}
}

// said is every finding of a severity, one a line.
func (d *doctor) said(s severity) string {
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
	backend := func(url, model, key string) config.Backend {
		return config.Backend{URL: url + "/v1", Protocol: "openai", Model: model, APIKey: key}
	}
	for name, c := range map[string]struct {
		backend config.Backend
		want    severity
		words   []string
	}{
		"served":      {backend(there.URL, "qwen", ""), sound, []string{"serves qwen for claude"}},
		"with a key":  {backend(locked.URL, "qwen", "secret"), sound, nil},
		"other name":  {backend(there.URL, "mistral", ""), problem, []string{"claude is not served", `"mistral"`, "qwen, llama", "backend's model"}},
		"no list":     {backend(unlisted.URL, "qwen", ""), sound, []string{"serves qwen for claude"}},
		"loading":     {backend(loading.URL, "qwen", ""), note, []string{"has not answered for claude yet", "503"}},
		"web page":    {backend(page.URL, "qwen", ""), problem, []string{"no completion"}},
		"no key":      {backend(locked.URL, "qwen", ""), problem, []string{"api_key_env"}},
		"wrong path":  {backend(there.URL+"/x", "qwen", ""), problem, []string{"…/v1"}},
		"not running": {backend(gone.URL, "qwen", ""), problem, []string{"refuse", "start the model server"}},
	} {
		d := newDoctor()
		d.models(t.Context(), &config.Config{Models: []config.Model{{ID: "claude", Backends: []config.Backend{c.backend}}}})
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
	d.neighbours(t.Context(), &config.Config{})
	if len(d.findings) != 1 || d.findings[0].Severity != note || !strings.Contains(d.findings[0].What, at(there)) {
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
	d.neighbours(t.Context(), c)
	d.models(t.Context(), c)
	if len(d.findings) != 1 || d.findings[0].Severity != sound {
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
	if !d.data(&config.Config{Data: data.Dir}) {
		t.Error("nobody is said to hold a directory that is held")
	}
	for _, want := range []string{"(mode 0750)", "(mode 0644)", "chmod 600 " + data.Dir, "0000000001.log is held since 1h"} {
		if !strings.Contains(d.said(problem), want) {
			t.Errorf("no %q in %s", want, d.said(problem))
		}
	}
	if strings.Contains(d.said(problem), "0000000002.log is held") || !strings.Contains(d.said(note), "0.log.damaged was damaged") ||
		!strings.Contains(d.said(sound), fmt.Sprintf("in use by process %d", os.Getpid())) {
		t.Errorf("%+v", d.findings)
	}

	if err := data.Announce(config.Server{}); err != nil {
		t.Fatal(err)
	}
	data.Close()
	d = newDoctor()
	if d.data(&config.Config{Data: data.Dir}) || !strings.Contains(d.said(note), "was killed") {
		t.Errorf("%+v", d.findings)
	}
	if left, _ := filepath.Glob(filepath.Join(data.Dir, ".doctor*")); len(left) > 0 {
		t.Errorf("it leaves %v", left)
	}
	file := filepath.Join(data.Dir, "credentials")
	d = newDoctor()
	if d.data(&config.Config{Data: file}); !strings.Contains(d.said(problem), "it is no directory") {
		t.Errorf("%+v", d.findings)
	}
}

func TestLittleRoomIsAProblem(t *testing.T) {
	for _, c := range []struct {
		free, whole uint64
		want        severity
	}{{100 << 30, 200 << 30, sound}, {1 << 29, 200 << 30, problem}, {3 << 30, 200 << 30, problem}, {2 << 30, 50 << 30, sound}} {
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
	c := &config.Config{Data: t.TempDir()}
	d := newDoctor()
	if d.server(t.Context(), c, false) || d.said(note) == "" {
		t.Errorf("without a server: %+v", d.findings)
	}
	d.app.env = []string{"AWS_ENDPOINT_URL_BEDROCK=" + s.URL + "/"}
	if !d.server(t.Context(), c, false) {
		t.Errorf("%+v", d.findings)
	}
	ready = http.StatusServiceUnavailable
	if d.server(t.Context(), c, false) || !strings.Contains(d.said(problem), "not ready (it answered 503") {
		t.Errorf("%+v", d.findings)
	}
	s.Close()
	d.findings = nil
	if d.server(t.Context(), c, true) || !strings.Contains(d.said(problem), "the process that holds the data directory does not answer") {
		t.Errorf("%+v", d.findings)
	}
}

func TestDoctorNamesJobsThatDoNotMoveWithTheServersReason(t *testing.T) {
	d := newDoctor()
	ago := func(span time.Duration) *time.Time { at := time.Now().Add(-span); return &at }
	d.standing(jobFacts{ARN: "arn/a", Status: batholith.StatusInProgress, Modified: ago(time.Second)})
	d.standing(jobFacts{ARN: "arn/b", Status: batholith.StatusScheduled, Modified: ago(time.Hour), Message: "no backend answers"})
	d.standing(jobFacts{ARN: "arn/c", Status: batholith.StatusInProgress, Modified: ago(time.Hour)})
	got := d.said(note)
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
		Credentials: credentials.NewStaticCredentialsProvider(id, secret, "")}, s3Options)
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
	over := []jobFacts{{ARN: "arn/over", Output: "s3://bucket/out/"}}
	look := func(fix bool) *doctor {
		d := newDoctor()
		d.fix = fix
		if err := d.leftovers(t.Context(), client, "bucket", over); err != nil {
			t.Fatal(err)
		}
		return d
	}
	for range 2 { // looking changes nothing
		d := look(false)
		if got := d.said(problem); len(d.findings) != 2 || !strings.Contains(got, "left 2 objects below s3://bucket/out/over/.batholith/") ||
			!strings.Contains(got, "left an upload of s3://bucket/out/over/b.jsonl.out open") {
			t.Fatalf("%s", got)
		}
	}
	if d := look(true); len(d.findings) != 2 || d.said(problem) != "" {
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

// readiness is told when a server says that it is ready.
type readiness struct{ ready chan struct{} }

func (r *readiness) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte("Batholith is ready")) {
		close(r.ready)
	}
	return len(p), nil
}

func TestDoctorAsksTheServerWhichJobsAreOver(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	input := filepath.Join(t.TempDir(), "a.jsonl")
	if err := os.WriteFile(input, []byte(`{"recordId":"1","modelInput":{"messages":[{"role":"user","content":"Hi"}]}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	said := &readiness{make(chan struct{})}
	done := make(chan error, 1)
	go func() {
		a := &app{stdout: said, stderr: said}
		done <- a.execute(ctx, []string{"serve", "--data", dir, "--listen", "127.0.0.1:0", "--s3-listen", "127.0.0.1:0", "--log-level", "error"})
	}()
	defer func() { stop(); <-done }()
	select {
	case <-said.ready:
	case err := <-done:
		done <- err
		t.Fatal(err)
	}
	a := &app{stdout: &bytes.Buffer{}, stderr: &bytes.Buffer{}}
	if err := a.execute(ctx, []string{"submit", input, "--data", dir, "--model", "batholith.simulated-v1", "--wait"}); err != nil {
		t.Fatal(err)
	}

	c, err := config.Load(config.Sources{Flags: map[string]string{"data": dir}})
	if err != nil {
		t.Fatal(err)
	}
	clients, err := connectServer(c)
	if err != nil {
		t.Fatal(err)
	}
	var job jobFacts
	for j, err := range clients.list(ctx, &bedrock.ListModelInvocationJobsInput{}) {
		if err != nil {
			t.Fatal(err)
		}
		job = j
	}
	bucket, prefix, _ := strings.Cut(strings.TrimPrefix(job.outputPrefix(), "s3://"), "/")
	if _, err := clients.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: aws.String(prefix + ".batholith/left.seg"), Body: strings.NewReader("x")}); err != nil {
		t.Fatal(err)
	}
	look := func(fix bool, after time.Duration) *doctor {
		d := newDoctor()
		d.fix, d.now = fix, func() time.Time { return time.Now().Add(after) }
		if !d.server(ctx, c, true) {
			t.Fatalf("%+v", d.findings)
		}
		d.findings = nil
		d.jobs(ctx, c)
		return d
	}
	if d := look(true, 0); len(d.findings) != 0 {
		t.Errorf("a job that may still be clearing up: %+v", d.findings)
	}
	if d := look(false, time.Hour); !strings.Contains(d.said(problem), "job "+job.id()+" is over and left 1 object below s3://"+bucket+"/"+prefix) {
		t.Errorf("%+v", d.findings)
	}
	if d := look(true, time.Hour); !strings.Contains(d.said(mended), job.id()) || d.said(problem) != "" {
		t.Errorf("%+v", d.findings)
	}
	if d := look(false, time.Hour); !strings.Contains(d.said(sound), "left nothing behind") || len(d.findings) != 1 {
		t.Errorf("%+v", d.findings)
	}
}
