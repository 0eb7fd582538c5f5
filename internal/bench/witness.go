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

// witness is a simulated model server within this process, which counts requests by name. The name is the part of a prompt before its
// first "|".
type witness struct {
	url   string
	model *simlm.Server
	srv   *http.Server

	mu       sync.Mutex
	first    map[string]time.Time // arrival of a name's first request
	asked    map[string]int       // number of requests of a name
	answered map[string]int       // number of these that were answered
	open     int                  // requests in flight
	most     int                  // highest value of open
}

// newWitness starts a witness. The caller must call close.
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

// close stops the server.
func (w *witness) close() { w.srv.Close() }

// forget resets all counts.
func (w *witness) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.first, w.asked, w.answered, w.most = map[string]time.Time{}, map[string]int{}, map[string]int{}, w.open
}

// ServeHTTP answers like the model, and counts.
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

// enter counts a request that has arrived.
func (w *witness) enter(name string, came time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.asked[name]++; w.asked[name] == 1 {
		w.first[name] = came
	}
	w.open++
	w.most = max(w.most, w.open)
}

// leave counts a request that has ended.
func (w *witness) leave(name string, answered bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open--
	if answered {
		w.answered[name]++
	}
}

// firstOf is the arrival of a name's first request; zero: there was none.
func (w *witness) firstOf(name string) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.first[name]
}

// counts returns the requests and answers of all names with the prefix.
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
