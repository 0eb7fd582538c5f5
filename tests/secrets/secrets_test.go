// Package secrets plants keys, prompts and answers in the real program, has it do what people do with it, and searches all that it wrote.
package secrets

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/bedrock/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/batholith/batholith/internal/kms"
	"github.com/batholith/batholith/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// Markers of what jobs send and get. Every prompt contains one of the first two, and every answer the last.
const (
	prompt = "planted-prompt-of-alice" // of jobs without a key
	sealed = "planted-sealed-prompt"   // of the job whose objects are encrypted
	answer = "planted-answer-of-model"
)

// Keys that the settings name. The model server and the role get theirs from the environment, and one bearer key is in the settings file.
const (
	backendKey = "planted/backend+key=of.the~model-server"
	roleSecret = "planted/role+secret/of-the-job-s-role"
	bearer     = "planted-bearer-key-of-bob"
	inline     = "planted-bearer-key-in-the-settings"
)

const role = "arn:aws:iam::000000000000:role/keyed"

// echo is a model server that repeats requests in its errors: the body and the API key. Prompts say what it does with them.
type echo struct {
	release chan struct{} // until it is closed, requests with the word "held" get no answer
}

// ServeHTTP implements [http.Handler].
func (e *echo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	say := func(status int) {
		text, _ := json.Marshal("cannot take " + string(body) + " with " + r.Header.Get("Authorization"))
		w.Header().Set("X-Echo", r.Header.Get("Authorization"))
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"error":{"message":%s}}`, text)
	}
	has := func(word string) bool { return bytes.Contains(body, []byte(word)) }
	switch {
	case strings.HasPrefix(r.URL.Path, "/locked"):
		say(http.StatusUnauthorized)
	case strings.HasSuffix(r.URL.Path, "/models"):
		io.WriteString(w, `{"object":"list","data":[{"id":"m","object":"model"}]}`)
	case has("refused"):
		say(http.StatusBadRequest)
	case has("broken"):
		say(http.StatusInternalServerError)
	case has("held"):
		select {
		case <-e.release:
		case <-r.Context().Done():
			return
		}
		fallthrough
	default:
		fmt.Fprintf(w, `{"id":"x","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":%q},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}`, answer)
	}
}

// lines are input lines whose prompts have the marker and the words.
func lines(marker string, words ...string) []byte {
	var b bytes.Buffer
	for i, w := range words {
		fmt.Fprintf(&b, `{"recordId":"r%d","modelInput":{"messages":[{"role":"user","content":"%s %s %d"}],"max_tokens":50}}`+"\n", i, marker, w, i)
	}
	return b.Bytes()
}

// written is all that was found, by its place.
type written struct {
	t     *testing.T
	texts map[string][]byte
	env   []string // of the commands
}

// add keeps the text of a place.
func (w *written) add(place string, text []byte) { w.texts[place] = append(w.texts[place], text...) }

// run runs a command of the program and keeps what it prints. Its status does not matter: some commands are there to fail.
func (w *written) run(s *harness.Server, args ...string) {
	w.t.Helper()
	cmd := exec.Command(harness.Binary(w.t), args...)
	cmd.Dir, cmd.Env = s.Dir, w.env
	out, _ := cmd.CombinedOutput()
	if len(out) == 0 {
		w.t.Errorf("batholith %s printed nothing", strings.Join(args, " "))
	}
	w.add("batholith "+strings.Join(args, " "), out)
}

// ask sends a request and keeps the answer, with its head.
func (w *written) ask(place string, r *http.Request) (status int) {
	w.t.Helper()
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	w.add(place, fmt.Appendf(nil, "%v\n%s", resp.Header, body))
	return resp.StatusCode
}

// tree keeps the files below a directory.
func (w *written) tree(when, dir string) {
	w.t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if os.IsNotExist(err) || err == nil && !d.Type().IsRegular() {
			return nil
		}
		if err != nil {
			return err
		}
		text, err := os.ReadFile(path)
		if os.IsNotExist(err) { // it was temporary
			return nil
		}
		rel, _ := filepath.Rel(dir, path)
		w.add(when+": "+rel, append([]byte(rel+"\n"), text...))
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// TestNoSecretIsWrittenOutsideTheObjects plants secrets, prompts and answers, and searches each byte that is printed, logged, answered or
// stored outside the objects of S3. With kms.data_key that includes the journal, and with s3EncryptionKeyId the objects of the job.
func TestNoSecretIsWrittenOutsideTheObjects(t *testing.T) {
	harness.EmbeddedS3Only(t)
	e := &echo{release: make(chan struct{})}
	model := httptest.NewServer(e)
	t.Cleanup(model.Close)
	t.Setenv("PLANTED_BACKEND", backendKey)
	t.Setenv("PLANTED_ROLE", roleSecret)
	t.Setenv("PLANTED_BEARER", bearer)
	keyFile := filepath.Join(t.TempDir(), "prompts.key")
	if _, err := kms.Create(keyFile, "", time.Now()); err != nil {
		t.Fatal(err)
	}
	s := harness.New(t, fmt.Sprintf(`log: {level: debug}
audit: {file: audit.log}
attempts: 2
api_keys:
- {key_env: PLANTED_BEARER, principal: bob}
- {key: %q, principal: carol}
roles:
- {arn: %q, access_key_id: AKROLE, secret_access_key_env: PLANTED_ROLE}
kms: {data_key: alias/prompts, keys: [{aliases: [prompts], file: %q}]}
models:
- {id: m, family: openai, backends: [{url: %q, api_key_env: PLANTED_BACKEND, max_in_flight: 4}]}
- {id: locked, family: openai, backends: [{url: %q, model: m, api_key_env: PLANTED_BACKEND}]}
`, inline, role, keyFile, model.URL+"/v1", model.URL+"/locked/v1"))
	s.Start()
	w := &written{t, map[string][]byte{}, s.Environ()}

	// Jobs: answers and errors; only errors; a bad line; a server that refuses the key; and an encrypted one that is killed.
	s.Put("mixed.jsonl", lines(prompt, "fine", "refused", "broken", "fine"))
	s.Put("refused.jsonl", lines(prompt, "refused", "refused"))
	s.Put("bad.jsonl", []byte("{\"recordId\":\"r1\",\"modelInput\":{\"messages\":"+prompt+"\n"))
	s.Put("locked.jsonl", lines(prompt, "fine"))
	if _, err := s.S3Client().PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(harness.Bucket), Key: aws.String("sealed.jsonl"),
		Body: bytes.NewReader(lines(sealed, "fine", "fine", "refused", "held")), ServerSideEncryption: "aws:kms", SSEKMSKeyId: aws.String("alias/prompts")}); err != nil {
		t.Fatal(err)
	}
	named := func(name string) func(*bedrock.CreateModelInvocationJobInput) {
		return func(in *bedrock.CreateModelInvocationJobInput) { in.JobName = &name }
	}
	mixed := s.Create("mixed.jsonl", named("mixed"), func(in *bedrock.CreateModelInvocationJobInput) { in.RoleArn = aws.String(role) })
	refused := s.Create("refused.jsonl", named("refused"))
	bad := s.Create("bad.jsonl", named("bad"))
	locked := s.Create("locked.jsonl", named("locked"), func(in *bedrock.CreateModelInvocationJobInput) { in.ModelId = aws.String("locked") })
	crypt := s.Create("sealed.jsonl", named("sealed"), func(in *bedrock.CreateModelInvocationJobInput) {
		in.OutputDataConfig.(*types.ModelInvocationJobOutputDataConfigMemberS3OutputDataConfig).Value.S3EncryptionKeyId = aws.String("alias/prompts")
	})

	temporary, links := w.strangers(s)
	for _, job := range []string{mixed, refused, bad} {
		s.End(job)
	}
	s.Until(locked, func(j *harness.Job) bool { return strings.Contains(harness.Told(j), "401") })
	w.show(s, "locked")
	w.showAll(s)
	w.run(s, "stop", "locked")
	s.End(locked)
	s.Until(crypt, func(j *harness.Job) bool { return aws.ToInt64(j.ProcessedRecordCount) == 3 })
	w.tree("running", s.Data)
	s.Kill()
	w.tree("killed", s.Data)
	w.add("log", []byte(s.Log()))

	s.Start()
	w.env = s.Environ() // its addresses are others now
	close(e.release)
	if j := s.End(crypt); j.Status != types.ModelInvocationJobStatusCompleted || *j.SuccessRecordCount != 3 {
		t.Fatalf("the job ended %s: %s\n%s", j.Status, harness.Told(j), s.Log())
	}
	for _, name := range []string{"mixed", "refused", "bad", "sealed"} {
		w.show(s, name)
	}
	file := filepath.Join(t.TempDir(), "sent.jsonl")
	if err := os.WriteFile(file, lines(prompt, "fine", "refused"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.run(s, "submit", file, "--model", "m", "--name", "sent", "--wait")
	w.run(s, "watch", "bad")
	w.run(s, "watch", "sealed")
	w.run(s, "get", "sent")
	if at := "batholith get sent"; !bytes.Contains(w.texts[at], []byte("Completed")) || !bytes.Contains(w.texts[at], []byte("400")) {
		t.Errorf("the submitted job: %s", w.texts[at])
	}
	w.showAll(s)
	// The model server did quote: its words are in the record's line, and only there.
	quoted := s.Lines(mixed, "mixed.jsonl.out")[1]
	if quoted.Error == nil || !strings.Contains(quoted.Error.ErrorMessage, prompt) {
		t.Errorf("the error line does not have the server's words: %+v", quoted.Error)
	}
	w.add("error line", []byte(quoted.Error.ErrorMessage[:strings.LastIndex(quoted.Error.ErrorMessage, prompt)]))
	if code := s.Stop(); code != 0 {
		t.Errorf("exit status %d", code)
	}
	w.tree("stopped", s.Data)
	w.add("log", []byte(s.Log()))
	if !bytes.Contains(w.texts["log"], []byte("level=DEBUG")) {
		t.Error("the log has no line of level debug")
	}
	audit, err := os.ReadFile(filepath.Join(s.Dir, "audit.log"))
	if err != nil || !bytes.Contains(audit, []byte("bedrock:CreateModelInvocationJob")) {
		t.Fatalf("the audit log: %v\n%s", err, audit)
	}
	w.add("audit log", audit)

	session, err := os.ReadFile(filepath.Join(s.Data, "sessions.key"))
	if err != nil {
		t.Fatal(err)
	}
	secrets := []secret{
		{"the caller's secret", []byte(s.At.SecretAccessKey), func(at string) bool {
			return strings.HasSuffix(at, ": credentials") || strings.HasPrefix(at, "batholith env")
		}},
		{"the session key", bytes.TrimSpace(session), func(at string) bool { return strings.HasSuffix(at, ": sessions.key") }},
		{"the session token", []byte(temporary.SessionToken), nil},
		{"the session's secret", []byte(temporary.SecretAccessKey), nil},
		{"the role's secret", []byte(roleSecret), nil},
		{"the model server's key", []byte(backendKey), nil},
		{"a bearer key", []byte(bearer), nil},
		{"a bearer key of the settings", []byte(inline), nil},
		{"the encryption key", keyOf(t, keyFile), nil},
		{"a prompt", []byte(prompt), plainObject},
		{"an encrypted prompt", []byte(sealed), nil},
		{"an answer", []byte(answer), plainObject},
	}
	for i, signature := range links {
		secrets = append(secrets, secret{fmt.Sprint("the signature of link ", i), []byte(signature), nil})
	}
	w.search(secrets)
}

// show runs the commands that show a job.
func (w *written) show(s *harness.Server, job string) {
	w.t.Helper()
	w.run(s, "get", job)
	w.run(s, "get", job, "--json")
	w.run(s, "verify", job)
}

// showAll runs the commands, and asks the pages, that show all jobs, the settings and the server.
func (w *written) showAll(s *harness.Server) {
	w.t.Helper()
	for _, args := range [][]string{{"jobs"}, {"jobs", "--json"}, {"doctor", "--config", "batholith.yaml"}, {"config", "--config", "batholith.yaml"},
		{"config", "--config", "batholith.yaml", "--json"}, {"env"}} {
		w.run(s, args...)
	}
	for _, path := range []string{"/readyz", "/healthz", "/metrics"} {
		r, err := http.NewRequest(http.MethodGet, s.At.Bedrock+path, nil)
		if err != nil {
			w.t.Fatal(err)
		}
		w.ask("answer of "+path, r)
	}
}
