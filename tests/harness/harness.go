// Package harness runs the real program in tests. It builds the program once, and starts, kills and restarts it on free ports with a data
// directory of its own. Most calls fail the test themselves, with the log of the process.
package harness

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/bedrock"

	"github.com/batholith/batholith/internal/failpoint"
)

// startTime bounds the time of a start and of a shutdown.
const startTime = 60 * time.Second

// build builds the program at its first call, into a folder that Main removes.
var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "batholith-test-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "batholith")
	out, err := exec.Command("go", "build", "-o", path, "github.com/batholith/batholith/cmd/batholith").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build the program: %w\n%s", err, out)
	}
	return path, nil
})

// Main runs a package's tests and removes the program that they built. Packages that use the harness must call it in TestMain.
func Main(m *testing.M) {
	code := m.Run()
	if path, err := build(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// nextBuild builds the program with a migration that stands for one of the next version.
var nextBuild = sync.OnceValues(func() (string, error) {
	path, err := build()
	if err != nil {
		return "", err
	}
	path += "-next" // in the folder that Main removes
	out, err := exec.Command("go", "build", "-tags", "nextschema", "-o", path, "github.com/batholith/batholith/cmd/batholith").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build the next version of the program: %w\n%s", err, out)
	}
	return path, nil
})

// NextBinary is the path of the program as of a next version with a newer schema, built at the first call.
func NextBinary(t testing.TB) string {
	t.Helper()
	path, err := nextBuild()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Binary is the path of the program, built at the first call.
func Binary(t testing.TB) string {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Server is a data directory with the process that serves it, if one runs.
type Server struct {
	t    testing.TB
	Dir  string // working directory; the data directory is below it
	Data string
	args []string
	// Program is the path of the program that the next start runs; "": that of Binary.
	Program string
	disk    int    // size of a separate disk, in MiB; 0: none
	mount   string // what is on the separate disk: a folder of the data directory, or "" for all of it

	s3     *external // nil: the embedded one
	bucket string    // bucket of the jobs that Request makes

	HTTP bedrock.HTTPClient // of BedrockClient; nil: the SDK's own

	cmd  *exec.Cmd
	log  *output
	done chan struct{} // closed when the process has ended
	At   Addresses
}

// output is the output of a process, which may be read while the process writes.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements [io.Writer].
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

// String is the output so far.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// Addresses are the server's URLs, its region, and the first access key.
type Addresses struct {
	Bedrock, S3, Region, AccessKeyID, SecretAccessKey string
}

// New prepares a server with these settings (YAML, or "") and flags, without starting it. It is killed at the end of the test.
func New(t testing.TB, settings string, flags ...string) *Server {
	t.Helper()
	bucket, e := Bucket, externalS3()
	if e != nil {
		bucket = e.bucket(t)
	}
	return prepare(t, e, bucket, settings, flags...)
}

// prepare is New with an S3 (nil: the embedded one) and the bucket of the jobs.
func prepare(t testing.TB, s3 *external, bucket, settings string, flags ...string) *Server {
	t.Helper()
	dir := t.TempDir()
	s := &Server{t: t, Dir: dir, Data: filepath.Join(dir, "batholith-data"), s3: s3, bucket: bucket}
	s.args = append([]string{"serve", "--data", s.Data, "--listen", "127.0.0.1:0"}, flags...)
	if s.s3 == nil {
		s.args = append(s.args, "--s3-listen", "127.0.0.1:0")
	}
	if settings != "" {
		path := filepath.Join(dir, "batholith.yaml")
		if err := os.WriteFile(path, []byte(settings), 0o600); err != nil {
			t.Fatal(err)
		}
		s.args = append(s.args, "--config", path)
	}
	t.Cleanup(func() { s.Kill() })
	return s
}

// Flags adds flags to those of the next starts.
func (s *Server) Flags(flags ...string) { s.args = append(s.args, flags...) }

// Settings replaces the settings of a server that was made with settings. The next start reads them.
func (s *Server) Settings(yaml string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.Dir, "batholith.yaml"), []byte(yaml), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// Start is New followed by Server.Start.
func Start(t testing.TB, settings string, flags ...string) *Server {
	t.Helper()
	s := New(t, settings, flags...)
	s.Start()
	return s
}

// StartOnDisk starts a server whose data directory is on a disk of that many MiB. The disk ends with the process. It skips the test where a process
// may not have a mount namespace of its own, as in most containers and in a chroot.
func StartOnDisk(t testing.TB, mebibytes int, settings string) *Server {
	t.Helper()
	return StartWithDisk(t, "", mebibytes, settings)
}

// StartWithDisk is StartOnDisk, with only one folder of the data directory on the separate disk.
func StartWithDisk(t testing.TB, folder string, mebibytes int, settings string) *Server {
	t.Helper()
	if out, err := exec.Command("unshare", append(namespace, "mount", "-t", "tmpfs", "tmpfs", t.TempDir())...).CombinedOutput(); err != nil {
		t.Skipf("this test needs a disk of its own, and this machine does not permit one (unshare: %v: %s)", err, bytes.TrimSpace(out))
	}
	s := New(t, settings)
	s.disk, s.mount = mebibytes, folder
	if err := os.MkdirAll(filepath.Join(s.Data, folder), 0o700); err != nil {
		t.Fatal(err)
	}
	s.Start()
	return s
}

// namespace is how unshare(1) is told to give a process mounts of its own, without root.
var namespace = []string{"--user", "--map-root-user", "--mount"}

// command is the command of the process. A separate disk is a tmpfs in a mount namespace of its own, which the test reaches through
// /proc.
func (s *Server) command() *exec.Cmd {
	if s.disk == 0 {
		return exec.Command(cmp.Or(s.Program, Binary(s.t)), s.args...)
	}
	script := fmt.Sprintf(`mount -t tmpfs -o size=%dm tmpfs %q && exec "$0" "$@"`, s.disk, filepath.Join(s.Dir, "batholith-data", s.mount))
	args := slices.Concat(namespace, []string{"sh", "-c", script, Binary(s.t)}, s.args)
	return exec.Command("unshare", args...)
}

// Start starts the process and waits until /readyz answers 200.
func (s *Server) Start() {
	s.t.Helper()
	s.launch()
	if !s.awaitReady() {
		s.t.Fatalf("the server ended at its start: %s\n%s", s.cmd.ProcessState, s.log)
	}
}

// StartTo starts the process so that it dies at a point of package failpoint. It waits until the process is ready (true) or dead.
func (s *Server) StartTo(point string) (ready bool) {
	s.t.Helper()
	s.launch(failpoint.Variable + "=" + point)
	return s.awaitReady()
}

// launch starts the process with additional environment variables.
func (s *Server) launch(env ...string) {
	s.t.Helper()
	os.Remove(filepath.Join(s.Data, "server.json"))
	s.log, s.done = &output{}, make(chan struct{})
	s.cmd = s.command()
	s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr = s.Dir, s.log, s.log
	s.cmd.Env = append(os.Environ(), env...)
	if s.s3 != nil {
		s.cmd.Env = append(s.cmd.Env, s.s3.settings()...)
	}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	if s.disk > 0 {
		s.Data = fmt.Sprintf("/proc/%d/root%s", s.cmd.Process.Pid, filepath.Join(s.Dir, "batholith-data"))
	}
	go func(cmd *exec.Cmd, done chan struct{}) { cmd.Wait(); close(done) }(s.cmd, s.done)
}

// awaitReady waits until the process is ready (true) or has ended (false).
func (s *Server) awaitReady() bool {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), startTime)
	defer cancel()
	for !s.isReady() {
		select {
		case <-s.done:
			return false
		case <-ctx.Done():
			s.Kill()
			s.t.Fatalf("the server was not ready in time\n%s", s.log)
		case <-time.After(5 * time.Millisecond):
		}
	}
	return true
}

// Died waits until the process has ended, and fails the test unless it was killed by SIGKILL.
func (s *Server) Died() {
	s.t.Helper()
	select {
	case <-s.done:
	case <-time.After(startTime):
		s.Kill()
		s.t.Fatalf("the server did not come to its point\n%s", s.log)
	}
	if status, ok := s.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		s.t.Fatalf("the server ended: %s\n%s", s.cmd.ProcessState, s.log)
	}
}

// isReady reads the server's addresses and asks /readyz.
func (s *Server) isReady() bool {
	text, err := os.ReadFile(filepath.Join(s.Data, "server.json"))
	var at struct{ Bedrock, S3, Region string }
	if err != nil || json.Unmarshal(text, &at) != nil {
		return false
	}
	resp, err := http.Get(at.Bedrock + "/readyz")
	if err != nil {
		return false
	}
	resp.Body.Close()
	s.At = Addresses{Bedrock: at.Bedrock, S3: at.S3, Region: at.Region}
	if s.s3 != nil {
		s.At.AccessKeyID, s.At.SecretAccessKey = keyOf(s.Data)
		return resp.StatusCode == http.StatusOK
	}
	for _, line := range s.exports() {
		name, value, _ := strings.Cut(strings.TrimPrefix(line, "export "), "=")
		value = strings.Trim(value, `'"`)
		switch name {
		case "AWS_ACCESS_KEY_ID":
			s.At.AccessKeyID = value
		case "AWS_SECRET_ACCESS_KEY":
			s.At.SecretAccessKey = value
		}
	}
	return resp.StatusCode == http.StatusOK
}

// exports are the lines of batholith env for this server.
func (s *Server) exports() []string {
	out, err := exec.Command(Binary(s.t), "env", "--data", s.Data).Output()
	if err != nil {
		s.t.Fatalf("batholith env: %v", err)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

// Environ is the environment of this process with the variables of batholith env, for clients of the server.
func (s *Server) Environ() []string {
	env := os.Environ()
	for _, line := range s.exports() {
		name, value, _ := strings.Cut(strings.TrimPrefix(line, "export "), "=")
		env = append(env, name+"="+strings.Trim(value, `'"`))
	}
	return env
}

// Kill sends SIGKILL and waits for the end of the process. It may be called again.
func (s *Server) Kill() { s.signal(syscall.SIGKILL) }

// Stop sends SIGTERM, waits for the end of the process, and returns its exit status.
func (s *Server) Stop() int {
	s.signal(syscall.SIGTERM)
	return s.cmd.ProcessState.ExitCode()
}

// Terminate sends SIGTERM and does not wait.
func (s *Server) Terminate() error { return s.Signal(syscall.SIGTERM) }

// Signal sends a signal to the process and does not wait.
func (s *Server) Signal(sig syscall.Signal) error { return s.cmd.Process.Signal(sig) }

// signal sends a signal and waits for the end of the process, at most startTime; then it kills the process.
func (s *Server) signal(sig syscall.Signal) {
	if s.cmd == nil || s.cmd.Process == nil {
		return
	}
	s.cmd.Process.Signal(sig) // it may have ended by itself
	select {
	case <-s.done:
	case <-time.After(startTime):
		s.cmd.Process.Kill()
		<-s.done
	}
}

// Runs reports whether the process was started and has not ended.
func (s *Server) Runs() bool {
	if s.done == nil {
		return false
	}
	select {
	case <-s.done:
		return false
	default:
		return true
	}
}

// PID is the id of the process.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// In makes another test that one which fails with the server: tests that share servers call it at their start.
func (s *Server) In(t testing.TB) { s.t = t }

// Log is the output of the process so far, with its log.
func (s *Server) Log() string { return s.log.String() }
