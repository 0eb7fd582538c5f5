package dispatch

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
)

// fragile is a server that crashes over a record, which breaks off every request that it has, and is back after a while.
type fragile struct {
	poison  func(body string) bool
	restart time.Duration

	mu      sync.Mutex
	back    time.Time
	crash   chan struct{}
	crashes int
	asked   int // requests that it had; one that finds it away is none
}

func (s *fragile) server(limit int) *server {
	s.crash = make(chan struct{})
	return &server{limit: limit, do: s.do, probe: func(int) error { return s.up() }}
}

func (s *fragile) up() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Now().Before(s.back) {
		return &batholith.Failure{Kind: batholith.FailureUnreachable, Message: "refused"}
	}
	return nil
}

func (s *fragile) do(ctx context.Context, body string, _ int) ([]byte, error) {
	if err := s.up(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.asked++
	crash := s.crash
	s.mu.Unlock()
	late := time.After(200 * time.Millisecond)
	if s.poison(body) {
		late = nil
		time.AfterFunc(100*time.Millisecond, func() { s.die(crash) })
	}
	select {
	case <-late:
		return []byte(`"ok"`), nil
	case <-crash:
		return nil, reset()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (s *fragile) died() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.crashes
}

// die breaks off what the server has, unless it died meanwhile.
func (s *fragile) die(crash chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.crash == crash {
		close(s.crash)
		s.crash, s.back = make(chan struct{}), time.Now().Add(s.restart)
		s.crashes++
	}
}

func reset() error {
	return &batholith.Failure{Kind: batholith.FailureRetry, Message: "the server reset the connection", Crash: true}
}

func TestOnlyTheRecordThatCrashesTheBackendIsBlamed(t *testing.T) {
	for _, restart := range []time.Duration{0, 5 * time.Second} {
		for _, records := range []int{400, 1} {
			t.Run(fmt.Sprint(records, " records, back after ", restart), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					f := &fragile{restart: restart, poison: func(body string) bool { return body == fmt.Sprintf(`{"n":%d}`, records/2) }}
					s := f.server(16)
					d := w.dispatcher(Options{}, s)
					d.Enqueue(w.job("a", records, 100))
					defer w.start(d)()
					w.await(records, "a")
					if n := w.errors("a"); n != 1 {
						t.Errorf("%d records were blamed, want 1", n)
					}
					if line := w.lines[fmt.Sprint("a-", records/2)]; !strings.Contains(line, "reset the connection") {
						t.Errorf("line %q", line)
					}
					f.mu.Lock()
					all := f.asked // two crashes with others beside it, and as many alone as a record gets attempts: 5 where others failed beside it
					f.mu.Unlock()
					if most := records + 2*16 + 2*5; all > most || f.died() > 2+5 {
						t.Errorf("%d requests and %d crashes", all, f.died())
					}
				})
			})
		}
	}
}

func TestTwoRecordsThatCrashTheBackendAreBothBlamedAtLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		f := &fragile{restart: time.Second, poison: func(body string) bool { return !isCanary(body) }}
		d := w.dispatcher(Options{}, f.server(16))
		d.Enqueue(w.job("a", 2, 2))
		defer w.start(d)()
		w.await(2, "a")
		if n := f.died(); n > 2*(2+4) {
			t.Errorf("%d crashes", n)
		}
	})
}

func TestRecordsThatFlakyConnectionsBreakOffAreNotBlamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := &server{limit: 16, do: func(ctx context.Context, body string, nth int) ([]byte, error) {
			if nth <= 2 && strings.HasSuffix(body, "3}") {
				return nil, reset()
			}
			return wait(ctx, 100*time.Millisecond)
		}}
		d := w.dispatcher(Options{Attempts: 1}, s)
		d.Enqueue(w.job("a", 400, 100))
		before := time.Now()
		defer w.start(d)()
		w.await(400, "a")
		if n := w.errors("a"); n > 0 {
			t.Errorf("%d records were blamed", n)
		}
		if took := time.Since(before); took > 30*time.Second {
			t.Errorf("it took %s; 40 records alone take 4 s, and as much again to drain", took)
		}
	})
}

func TestABackendThatBreaksOffEverythingCostsNoRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		start := time.Now()
		s := &server{limit: 16, do: func(ctx context.Context, _ string, _ int) ([]byte, error) {
			if up := time.Since(start); up > 2*time.Second && up < 40*time.Minute {
				return nil, reset()
			}
			return wait(ctx, 100*time.Millisecond)
		}}
		d := w.dispatcher(Options{}, s)
		d.Enqueue(w.job("a", 1000, 100))
		defer w.start(d)()
		w.await(1000, "a")
		if n := w.errors("a"); n > 0 {
			t.Errorf("%d records were blamed for the backend", n)
		}
		if all, _ := s.requests(); all > 1600 {
			t.Errorf("%d requests for 1000 records", all)
		}
	})
}

// A record that takes the server down costs the others a few restarts, and they are found to be over soon: at most a quarter more than they
// take, and a round of the slots.
func TestCrashesCostTheOthersAFewRestarts(t *testing.T) {
	const (
		slots   = 16
		records = slots * 100
		answer  = 200 * time.Millisecond
	)
	for _, bad := range []int{1, 4} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			f := &fragile{restart: 10 * time.Second, poison: func(body string) bool {
				var n int
				_, err := fmt.Sscanf(body, `{"n":%d}`, &n)
				return err == nil && n%(records/bad) == records/bad/2
			}}
			d := w.dispatcher(Options{}, f.server(slots))
			d.Enqueue(w.job("a", records, 100))
			began := time.Now()
			defer w.start(d)()
			for w.answered() < records-bad {
				<-w.sunk
			}
			took, crashes := time.Since(began), f.died()
			if crashes > 4*bad {
				t.Errorf("%d records took the server down %d times before the others were answered", bad, crashes)
			}
			if most := records/slots*answer + time.Duration(crashes)*(f.restart*5/4+2*time.Second); took > most {
				t.Errorf("the others were answered after %v, with %d crashes: want at most %v", took, crashes, most)
			}
		})
	}
}
