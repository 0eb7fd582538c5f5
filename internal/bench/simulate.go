package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"regexp"
	"time"

	"github.com/batholith/batholith/internal/simlm"
)

// simulated is a process of batholith simulate.
type simulated struct {
	child *child
	root  string // http://host:port
}

// announced finds the URL in the server's first message.
var announced = regexp.MustCompile(`listens on (http://[^/]+)/v1`)

// simulate starts a simulated model server with these flags and the model name bench. The caller must end its child.
func (b *bench) simulate(flags ...string) (*simulated, error) {
	c, err := b.start(exec.CommandContext(b.ctx, b.binary, append([]string{"simulate", "--listen", "127.0.0.1:0", "--model", "bench"}, flags...)...))
	if err != nil {
		return nil, err
	}
	s := &simulated{child: c}
	err = until("the simulated server starts", often, time.Minute, func() (bool, error) {
		if m := announced.FindStringSubmatch(c.text()); m != nil {
			s.root = m[1]
		}
		select {
		case <-c.done:
			return false, fmt.Errorf("the simulated server ended: %s", c.text())
		default:
			return s.root != "", nil
		}
	})
	if err != nil {
		c.kill()
	}
	return s, err
}

// url is the base URL of the server's API.
func (s *simulated) url() string { return s.root + "/v1" }

// stats reads the server's statistics, with their series.
func (s *simulated) stats() (st simlm.Stats, err error) {
	resp, err := http.Get(s.root + "/simulated/stats?series=1")
	if err != nil {
		return st, err
	}
	defer resp.Body.Close()
	return st, json.NewDecoder(resp.Body).Decode(&st)
}
