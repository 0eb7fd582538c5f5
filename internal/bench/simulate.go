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

// simulated is batholith simulate as a process.
type simulated struct {
	child *child
	root  string // http://host:port
}

var announced = regexp.MustCompile(`listens on (http://[^/]+)/v1`)

// simulate starts a simulated model server with these flags. Its model is called bench.
func (b *bench) simulate(flags ...string) (*simulated, error) {
	c, err := b.start(exec.CommandContext(b.ctx, b.binary, append([]string{"simulate", "--listen", "127.0.0.1:0", "--model", "bench"}, flags...)...))
	if err != nil {
		return nil, err
	}
	s := &simulated{child: c}
	err = until("the simulated server starts", time.Minute, func() (bool, error) {
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

func (s *simulated) url() string { return s.root + "/v1" }

func (s *simulated) stats() (st simlm.Stats, err error) {
	resp, err := http.Get(s.root + "/simulated/stats?series=1")
	if err != nil {
		return st, err
	}
	defer resp.Body.Close()
	return st, json.NewDecoder(resp.Body).Decode(&st)
}
