package upstream

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/batholith/batholith"
)

// ledger is a room that remembers what was asked of it, and may take its time.
type ledger struct {
	mu   sync.Mutex
	took int
	wait func(took int)
}

func (l *ledger) Grow(_ context.Context, n int) error {
	l.mu.Lock()
	l.took += n
	took := l.took
	l.mu.Unlock()
	if l.wait != nil {
		l.wait(took)
	}
	return nil
}

func (l *ledger) Alone(int) func() { return func() {} }

func (l *ledger) sum() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.took
}

func TestAnAnswerIsReadWholeWhateverItsLength(t *testing.T) {
	for _, n := range []int{0, 1, freeAnswer - 1, freeAnswer, freeAnswer + 1, oneAnswer, oneAnswer + 1, leastPiece + freeAnswer, 3*mostPiece + 7} {
		for _, announced := range []bool{true, false} {
			want := strings.Repeat("0123456789", n/10+1)[:n]
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if announced {
					w.Header().Set("Content-Length", fmt.Sprint(n))
				} else {
					w.(http.Flusher).Flush()
				}
				io.WriteString(w, want)
			}))
			b, err := New(Options{URL: s.URL + "/v1"})
			if err != nil {
				t.Fatal(err)
			}
			room := &ledger{}
			body, err := b.Do(t.Context(), batholith.Call{Path: "/x", Room: room})
			s.Close()
			if string(body) != want || err != nil {
				t.Errorf("%d bytes, announced: %v: got %d bytes, %v", n, announced, len(body), err)
			}
			if took := room.sum(); n > oneAnswer && (took < n-freeAnswer || took > n+mostPiece) || n <= freeAnswer-1 && took > 0 {
				t.Errorf("%d bytes, announced: %v: room for %d", n, announced, took)
			}
		}
	}
}

// TestAnAnswerTakesRoomForWhatHasComeOnly: a server announces 64 MiB and sends one byte, or 300 KiB.
func TestAnAnswerTakesRoomForWhatHasComeOnly(t *testing.T) {
	for _, sent := range []int{1, 300 << 10} {
		room := &ledger{}
		f := func() error {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				w.Header().Set("Content-Length", fmt.Sprint(maxAnswer))
				io.WriteString(w, strings.Repeat("x", sent))
				w.(http.Flusher).Flush()
				<-r.Context().Done()
			}))
			defer s.Close()
			b, err := New(Options{URL: s.URL + "/v1", Timeout: 300 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			_, err = b.Do(t.Context(), batholith.Call{Path: "/x", Room: room})
			return err
		}()
		if f == nil || room.sum() > 2*sent+leastPiece+freeAnswer {
			t.Errorf("%d bytes of an answer took room for %d: %v", sent, room.sum(), f)
		}
	}
}

// TestWaitingForRoomIsNotTheServersTime: the wait for room is longer than the timeout of an attempt.
func TestWaitingForRoomIsNotTheServersTime(t *testing.T) {
	const timeout = 500 * time.Millisecond
	answer := strings.Repeat("x", 4*mostPiece)
	s := httptest.NewServer(says(200, answer))
	defer s.Close()
	b, err := New(Options{URL: s.URL + "/v1", Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	waited := false
	room := &ledger{wait: func(int) {
		if !waited {
			waited = true
			<-time.After(2 * timeout) // a room that has none for so long
		}
	}}
	if body, err := b.Do(t.Context(), batholith.Call{Path: "/x", Room: room}); string(body) != answer || err != nil {
		t.Errorf("got %d bytes, %v", len(body), err)
	}
}
