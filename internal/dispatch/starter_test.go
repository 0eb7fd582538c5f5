package dispatch

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
)

// starting is a backend whose server is started: it cannot be reached until the channel is closed.
type starting struct {
	*server
	ready chan struct{}
	at    time.Time // the start
}

func (s *starting) Ready() <-chan struct{} { return s.ready }
func (s *starting) Progress() string       { return "for " + time.Since(s.at).Truncate(time.Minute).String() }
func (s *starting) Probe(context.Context) error {
	select {
	case <-s.ready:
		return nil
	default:
		return &batholith.Failure{Kind: batholith.FailureUnreachable, Public: "s is being started", Message: "s is being started"}
	}
}

// While a server starts, the note says how far it is; its records are sent at the moment at which it is ready.
func TestAServerThatStartsIsUsedAsSoonAsItIsReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := &starting{server: answering(time.Second), ready: make(chan struct{}), at: time.Now()}
		d := w.dispatcher(Options{}, s)
		d.Enqueue(w.job("a", 1, 1))
		defer w.start(d)()
		const load = 20*time.Minute + 7*time.Millisecond
		time.Sleep(load - 7*time.Millisecond)
		synctest.Wait()
		if note := w.note("a"); !strings.Contains(note, "cannot be used (s is being started; for 19m") && !strings.Contains(note, "cannot be used (s is being started; for 20m") {
			t.Errorf("note %q", note)
		}
		time.Sleep(7 * time.Millisecond)
		close(s.ready)
		w.await(1, "a")
		if took := time.Since(s.at); took != load+time.Second {
			t.Errorf("answered after %v, want %v", took, load+time.Second)
		}
	})
}
