package harness

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// Witness is a model server in the test's process. It counts the requests for each prompt, and the requests in flight.
type Witness struct {
	URL     string
	Latency time.Duration
	// Answer, if not nil, may answer the nth request for a prompt, from 1. It returns false for the usual answer.
	Answer func(w http.ResponseWriter, prompt string, nth int) bool

	srv      *http.Server
	signal   chan struct{} // 1-buffered; gets a value at every request
	mu       sync.Mutex
	asked    map[string]int
	canaries int
	times    []time.Time // arrival of all requests
	open     int
	most     int
}

// NewWitness starts a model server that answers after the given time.
func NewWitness(t testing.TB, latency time.Duration) *Witness {
	t.Helper()
	w := &Witness{Latency: latency, asked: map[string]int{}, signal: make(chan struct{}, 1)}
	w.Listen(t, "127.0.0.1:0")
	return w
}

// Listen starts the server at an address, for example again after Close.
func (w *Witness) Listen(t testing.TB, address string) {
	t.Helper()
	ln, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	w.URL, w.srv = "http://"+ln.Addr().String()+"/v1", &http.Server{Handler: w}
	go w.srv.Serve(ln)
	t.Cleanup(w.Close)
}

// Address is the host and port of the server, also after Close.
func (w *Witness) Address() string {
	return strings.TrimSuffix(strings.TrimPrefix(w.URL, "http://"), "/v1")
}

// Close stops the server and breaks its connections.
func (w *Witness) Close() { w.srv.Close() }

// ServeHTTP answers chat completions and the list of models. A request with max_tokens 1 is a canary and counted apart.
func (w *Witness) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "/models") {
		io.WriteString(rw, `{"object":"list","data":[{"id":"m","object":"model"}]}`)
		return
	}
	var body struct {
		Messages  []struct{ Content string }
		MaxTokens int `json:"max_tokens"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || len(body.Messages) != 1 {
		http.Error(rw, `{"error":{"message":"bad body"}}`, http.StatusBadRequest)
		return
	}
	prompt := body.Messages[0].Content
	if body.MaxTokens == 1 { // a canary, no record
		w.mu.Lock()
		w.canaries++
		w.mu.Unlock()
		if w.Answer == nil || !w.Answer(rw, prompt, 1) {
			io.WriteString(rw, `{"choices":[{"index":0,"message":{"role":"assistant","content":"a"},"finish_reason":"length"}]}`)
		}
		return
	}
	nth := w.enter(prompt)
	select {
	case <-time.After(w.Latency):
	case <-r.Context().Done():
	}
	w.leave()
	if w.Answer != nil && w.Answer(rw, prompt, nth) {
		return
	}
	fmt.Fprintf(rw, `{"id":"x","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":%q},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}`,
		"answer to "+prompt)
}

// enter counts a request and returns its number for this prompt.
func (w *Witness) enter(prompt string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked[prompt]++
	w.times = append(w.times, time.Now())
	w.open++
	w.most = max(w.most, w.open)
	select {
	case w.signal <- struct{}{}:
	default:
	}
	return w.asked[prompt]
}

// leave counts the end of a request.
func (w *Witness) leave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open--
}

// Requests returns the number of requests, of different prompts, and the most requests in flight at once.
func (w *Witness) Requests() (all, prompts, most int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range w.asked {
		all += n
	}
	return all, len(w.asked), w.most
}

// Asked returns how often a prompt was requested.
func (w *Witness) Asked(prompt string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked[prompt]
}

// Canaries is the number of canaries so far.
func (w *Witness) Canaries() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.canaries
}

// Time is the arrival of the nth request, from 1.
func (w *Witness) Time(n int) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.times[n-1]
}

// Idle waits until no request is in flight.
func (w *Witness) Idle(t testing.TB) {
	t.Helper()
	late := time.After(endTime)
	for {
		w.mu.Lock()
		open := w.open
		w.mu.Unlock()
		if open == 0 {
			return
		}
		select {
		case <-late:
			t.Fatalf("%d requests are still open", open)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// Await waits until the server has got n requests.
func (w *Witness) Await(t testing.TB, n int) {
	t.Helper()
	late := time.After(endTime)
	for {
		if all, _, _ := w.Requests(); all >= n {
			return
		}
		select {
		case <-w.signal:
		case <-late:
			all, _, _ := w.Requests()
			t.Fatalf("the model server was asked %d times, want %d", all, n)
		}
	}
}
