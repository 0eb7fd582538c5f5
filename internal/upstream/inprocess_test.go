package upstream

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/batholith/batholith"
)

func embedded(t *testing.T, h http.HandlerFunc) *Backend {
	t.Helper()
	b, err := New(Options{URL: "http://embedded/v1", Model: "m", Transport: InProcess(h)})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAHandlerIsReachedWithoutASocket(t *testing.T) {
	b := embedded(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v1/models":
			io.WriteString(w, `{"data":[{"id":"m"}]}`)
		case "/props":
			io.WriteString(w, `{"total_slots":3}`)
		case "/v1/chat/completions":
			io.Copy(w, r.Body)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	})
	if err := b.Probe(t.Context()); err != nil {
		t.Errorf("Probe: %v", err)
	}
	if n, ok := b.Slots(t.Context()); n != 3 || !ok {
		t.Errorf("Slots = %d, %v, want 3, true", n, ok)
	}
	if body, err := b.Do(t.Context(), call); string(body) != string(call.Body) || err != nil {
		t.Errorf("Do = %s, %v", body, err)
	}
	_, err := b.Do(t.Context(), batholith.Call{Path: "/nowhere"})
	if f, ok := errors.AsType[*batholith.Failure](err); !ok || f.Status != http.StatusNotFound {
		t.Errorf("got %v, want a failure with 404", err)
	}
}

func TestAPanicOfAHandlerIsABrokenConnection(t *testing.T) {
	for text, p := range map[string]any{"boom": "boom", "closed the connection": http.ErrAbortHandler} {
		_, err := embedded(t, func(http.ResponseWriter, *http.Request) { panic(p) }).Do(t.Context(), call)
		if f, ok := errors.AsType[*batholith.Failure](err); !ok || f.Kind != retry || !strings.Contains(f.Message, text) {
			t.Errorf("got %v, want a failure to retry with %q", err, text)
		}
	}
}

func TestAHandlerSeesTheCallersContextEnd(t *testing.T) {
	began := make(chan struct{})
	b := embedded(t, func(_ http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		<-began
		cancel(batholith.ErrStopped)
	}()
	if _, err := b.Do(ctx, call); err != batholith.ErrStopped {
		t.Errorf("got %v, want ErrStopped", err)
	}
}
