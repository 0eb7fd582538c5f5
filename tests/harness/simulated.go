package harness

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"regexp"
	"testing"
	"time"
)

// Simulated is a process of batholith simulate.
type Simulated struct {
	t       testing.TB
	flags   []string
	address string // 127.0.0.1:0 before the first start
	cmd     *exec.Cmd
	log     *output
	done    chan struct{} // closed when the process has ended
}

// simulatedAt finds the address in the server's first message.
var simulatedAt = regexp.MustCompile(`listens on http://([^/]+)/v1`)

// Simulate starts a simulated model server with these flags and the model name m. It is killed at the end of the test.
func Simulate(t testing.TB, flags ...string) *Simulated {
	t.Helper()
	s := &Simulated{t: t, flags: flags, address: "127.0.0.1:0"}
	t.Cleanup(s.Kill)
	s.Start()
	return s
}

// URL is the base URL of the API.
func (s *Simulated) URL() string { return "http://" + s.address + "/v1" }

// Start starts the process, at the same address as before, and waits until it listens.
func (s *Simulated) Start() {
	s.t.Helper()
	s.log, s.done = &output{}, make(chan struct{})
	s.cmd = exec.Command(Binary(s.t), append([]string{"simulate", "--listen", s.address, "--model", "m"}, s.flags...)...)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func(cmd *exec.Cmd, done chan struct{}) { cmd.Wait(); close(done) }(s.cmd, s.done)
	late := time.After(startTime)
	for {
		if m := simulatedAt.FindStringSubmatch(s.log.String()); m != nil {
			s.address = m[1]
			return
		}
		select {
		case <-s.done:
			s.t.Fatalf("the simulated server ended: %s", s.log)
		case <-late:
			s.t.Fatalf("the simulated server was not ready in time: %s", s.log)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// Kill sends SIGKILL and waits for the end of the process. It may be called again.
func (s *Simulated) Kill() {
	if s.cmd == nil || s.cmd.Process == nil {
		return
	}
	s.cmd.Process.Kill()
	<-s.done
}

// Totals are the server's own counters of requests.
func (s *Simulated) Totals() (t struct{ Requests, Answered, Refused, Failed int64 }) {
	s.t.Helper()
	resp, err := http.Get("http://" + s.address + "/simulated/stats")
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&t); err != nil {
		s.t.Fatal(fmt.Errorf("read the account of the simulated server: %w", err))
	}
	return t
}
