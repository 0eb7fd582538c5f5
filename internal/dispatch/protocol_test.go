package dispatch

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/dialect"
)

// speaks is a server with a protocol of its own.
type speaks struct {
	*server
	protocol string
}

func (s speaks) Protocol() string { return s.protocol }

// marked is a dialect whose requests begin with its protocol's name.
type marked struct{ protocol string }

func (m marked) Request(input []byte, _ string) (batholith.Call, error) {
	return batholith.Call{Path: "/x", Body: append([]byte(m.protocol+" "), input...)}, nil
}

func (marked) Answer(_ []byte, _ batholith.Call, body []byte) (batholith.Answer, error) {
	return batholith.Answer{Output: body}, nil
}

// TestEachBackendGetsItsOwnProtocol: one job's records go to backends with different protocols, and each gets requests of its own.
func TestEachBackendGetsItsOwnProtocol(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var asked [2]atomic.Int64
		var backends []Backend
		for i, protocol := range []string{"openai", "anthropic"} {
			s := answering(time.Second)
			answer := s.do
			s.limit = 2
			s.do = func(ctx context.Context, body string, nth int) ([]byte, error) {
				asked[i].Add(1)
				if !strings.HasPrefix(body, protocol+" ") {
					return nil, fmt.Errorf("a request to a server with the protocol %s is %s", protocol, body)
				}
				_, _ = answer(ctx, body, nth)
				return []byte(`"` + protocol + `"`), nil
			}
			backends = append(backends, speaks{s, protocol})
		}
		d := w.dispatcher(Options{Canary: noCanary})
		d.o.Serving = func(j batholith.Job) (Serving, error) {
			return Serving{Model: j.ModelID, Backends: backends, Dialect: func(p string) dialect.Dialect { return marked{p} }}, nil
		}
		d.Enqueue(w.job("job", 40, 4))
		stop := w.start(d)
		w.await(40, "job")
		stop()
		if n := w.errors("job"); n > 0 {
			t.Errorf("%d records end with an error", n)
		}
		if asked[0].Load() == 0 || asked[1].Load() == 0 {
			t.Errorf("the servers got %d and %d requests", asked[0].Load(), asked[1].Load())
		}
	})
}
