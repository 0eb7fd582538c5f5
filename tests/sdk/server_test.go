package sdk_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	keyID   = "AKTEST"
	secret  = "testsecret"
	apiKey  = "bedrock-test-key"
	region  = "us-east-1"
	account = "000000000000"
	role    = "arn:aws:iam::000000000000:role/batholith"
	quick   = "anthropic.claude-3-haiku-20240307-v1:0" // answers at once
	held    = "anthropic.claude-3-opus-20240229-v1:0"  // never answers while the test runs

	foundation = "arn:aws:bedrock:us-east-1::foundation-model/" // begins the ARN of either
)

// patience is how long anything may take that takes a fraction of a second on an idle machine.
const patience = time.Minute

var binary string // what TestMain built

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "batholith")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "batholith")
		build := exec.Command("go", "build", "-o", binary, "../../cmd/batholith")
		build.Stdout, build.Stderr = os.Stderr, os.Stderr
		if err := build.Run(); err != nil {
			fmt.Fprintln(os.Stderr, "build the binary:", err)
			return 1
		}
		return m.Run()
	}())
}

// server is a running Batholith.
type server struct {
	Bedrock, S3 string // addresses
}

const settings = `
data: %s
listen: 127.0.0.1:0
profile: %s
s3: {listen: "127.0.0.1:0"}
credentials:
  - {access_key_id: AKTEST, secret_access_key: testsecret, principal: admin}
  - {access_key_id: AKOTHER, secret_access_key: othersecret, principal: other, account: "111111111111"}
api_keys:
  - {key: bedrock-test-key, principal: admin}
models:
  - id: anthropic.claude-3-haiku-20240307-v1:0
    aliases: [us.anthropic.claude-3-haiku-20240307-v1:0]
    backends: [{url: %[3]s/quick/v1, protocol: openai, model: quick}]
  - id: anthropic.claude-3-opus-20240229-v1:0
    backends: [{url: %[3]s/held/v1, protocol: openai, model: held}]
`

// serve starts the binary with a profile and stops it when the test ends.
func serve(t *testing.T, profile string) server {
	t.Helper()
	data := filepath.Join(t.TempDir(), "data")
	return serveSettings(t, data, fmt.Appendf(nil, settings, data, profile, backend(t)))
}

// serveSettings starts the binary with settings that name the data directory, and stops it when the test ends.
func serveSettings(t *testing.T, data string, yaml []byte) server {
	t.Helper()
	file := filepath.Join(filepath.Dir(data), "batholith.yaml")
	if err := os.WriteFile(file, yaml, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "serve", "--config", file, "--drain", "100ms") // what is held would be waited for
	cmd.Env = append(os.Environ(), "NO_COLOR=1")
	said, talk, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = talk, talk
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	talk.Close()
	log := &transcript{ready: make(chan struct{})}
	go log.read(said) // until the process has gone
	t.Cleanup(func() { stop(t, cmd, log) })
	select {
	case <-log.ready:
	case <-time.After(patience):
		t.Fatalf("the server is not ready:\n%s", log)
	}
	raw, err := os.ReadFile(filepath.Join(data, "server.json"))
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	var s server
	if err := json.Unmarshal(raw, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// stop ends the server as an operator does, and demands that it goes in peace.
func stop(t *testing.T, cmd *exec.Cmd, log *transcript) {
	_ = cmd.Process.Signal(syscall.SIGTERM)
	late := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	if err := cmd.Wait(); err != nil {
		t.Errorf("the server ended with %v", err)
	}
	if t.Failed() {
		t.Logf("the server said:\n%s", log)
	}
	if strings.Contains(log.String(), secret) || strings.Contains(log.String(), apiKey) {
		t.Error("a secret is in the log")
	}
}

// transcript is what a server says; ready is closed when it says so, or says no more.
type transcript struct {
	ready chan struct{}

	mu   sync.Mutex
	text bytes.Buffer
}

func (l *transcript) read(r io.ReadCloser) {
	defer r.Close()
	once := sync.OnceFunc(func() { close(l.ready) })
	defer once()
	for lines := bufio.NewScanner(r); lines.Scan(); {
		l.mu.Lock()
		l.text.WriteString(lines.Text() + "\n")
		l.mu.Unlock()
		if strings.Contains(lines.Text(), "is ready") {
			once()
		}
	}
}

func (l *transcript) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// backend is a model server with two models: one answers at once, the other when the test is over.
func backend(t *testing.T) string {
	s := httptest.NewUnstartedServer(nil)
	t.Cleanup(s.Close)
	s.Config.Handler = models(t)
	s.Start()
	return s.URL
}

// models is the handler of that server.
func models(t *testing.T) http.Handler {
	over, end := context.WithCancel(context.Background())
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"id":"1","object":"chat.completion","model":"m","choices":[{"index":0,"finish_reason":"stop",
			"message":{"role":"assistant","content":"Good day."}}],"usage":{"prompt_tokens":5,"completion_tokens":3,"total_tokens":8}}`)
	}
	mux.HandleFunc("POST /quick/v1/chat/completions", answer)
	mux.HandleFunc("POST /held/v1/chat/completions", func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-over.Done():
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("GET /{model}/v1/models", func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, `{"object":"list","data":[{"id":%q,"object":"model"}]}`, r.PathValue("model"))
	})
	t.Cleanup(end) // before the server is closed, which waits for its requests
	return mux
}
