package main

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/batholith/batholith/internal/simlm"
)

// witness is a simulated model server within this process, which remembers of whom its requests were. A prompt says so by what stands
// before its first "|".
type witness struct {
	url   string
	model *simlm.Server
	srv   *http.Server

	mu       sync.Mutex
	first    map[string]time.Time // when a name's first request came
	asked    map[string]int       // requests of a name
	answered map[string]int       // of those, the ones that got an answer
	open     int                  // requests that are being answered
	most     int                  // and the most that were at once
}

func newWitness(o simlm.Options) (*witness, error) {
	o.Model = "bench"
	w := &witness{model: simlm.New(o)}
	w.forget()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	w.url, w.srv = "http://"+ln.Addr().String()+"/v1", &http.Server{Handler: w}
	go w.srv.Serve(ln)
	return w, nil
}

func (w *witness) close() { w.srv.Close() }

// forget begins anew.
func (w *witness) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.first, w.asked, w.answered, w.most = map[string]time.Time{}, map[string]int{}, map[string]int{}, w.open
}

func (w *witness) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.model.ServeHTTP(rw, r)
		return
	}
	came := time.Now()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client is gone
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	_, name, _ := strings.Cut(string(body), `"content":"`)
	name, _, _ = strings.Cut(name, "|")
	w.enter(name, came)
	w.model.ServeHTTP(rw, r)
	w.leave(name, r.Context().Err() == nil)
}

func (w *witness) enter(name string, came time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.asked[name]++; w.asked[name] == 1 {
		w.first[name] = came
	}
	w.open++
	w.most = max(w.most, w.open)
}

func (w *witness) leave(name string, answered bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open--
	if answered {
		w.answered[name]++
	}
}

// firstOf is when the first request of a name came; zero: none did.
func (w *witness) firstOf(name string) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.first[name]
}

// counts are the requests of names that begin so, and the answers to them.
func (w *witness) counts(prefix string) (asked, answered int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, n := range w.asked {
		if strings.HasPrefix(name, prefix) {
			asked, answered = asked+n, answered+w.answered[name]
		}
	}
	return asked, answered
}
