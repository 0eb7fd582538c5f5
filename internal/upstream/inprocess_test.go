package upstream

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/simlm"
)

func TestAnEmbeddedModelIsReachedWithoutASocket(t *testing.T) {
	b, err := New(Options{URL: "http://embedded/v1", Model: simlm.Model, Transport: InProcess(simlm.New(simlm.Options{Slots: 3}))})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Probe(t.Context()); err != nil {
		t.Errorf("Probe: %v", err)
	}
	if n, ok := b.Slots(t.Context()); n != 3 || !ok {
		t.Errorf("Slots = %d, %v, want 3, true", n, ok)
	}
	call := batholith.Call{Path: "/chat/completions", Body: []byte(`{"model":"batholith.simulated-v1","messages":[{"role":"user","content":"hi"}]}`)}
	one, err := b.Do(t.Context(), call)
	if err != nil {
		t.Fatal(err)
	}
	two, err := b.Do(t.Context(), call)
	if err != nil || string(one) != string(two) {
		t.Errorf("the same request had two answers:\n%s\n%s (%v)", one, two, err)
	}
}

func TestAPanicOfAnEmbeddedModelIsABrokenConnection(t *testing.T) {
	b, _ := New(Options{URL: "http://embedded/v1", Transport: InProcess(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("boom") }))})
	_, err := b.Do(t.Context(), batholith.Call{Path: "/chat/completions"})
	if f, ok := errors.AsType[*batholith.Failure](err); !ok || f.Kind != batholith.FailureRetry {
		t.Errorf("got %v, want a failure to retry", err)
	}
}

func TestTheCauseOfACancelledContextIsReturnedAsItIs(t *testing.T) {
	b, _ := New(Options{URL: "http://embedded/v1", Transport: InProcess(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))})
	ctx, cancel := context.WithCancelCause(t.Context())
	go cancel(batholith.ErrStopped)
	if _, err := b.Do(ctx, batholith.Call{Path: "/chat/completions"}); err != batholith.ErrStopped {
		t.Errorf("got %v, want ErrStopped", err)
	}
}
