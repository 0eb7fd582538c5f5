package cluster

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

// witness is a model server that notes each request: which record it was for, which worker sent it, and when. Every worker sends its name in a
// header.
type witness struct {
	address string

	mu      sync.Mutex
	latency time.Duration
	turned  chan struct{} // closed at a change of the latency
	came    chan struct{} // closed when a request has come
	asked   map[string]int
	by      map[string]map[string]int // requests by worker and job
	log     []request
	open    map[string]int // requests in flight, by model
	most    map[string]int
}

// request is one request for a record.
type request struct {
	prompt, worker string
	nth            int // of this prompt, from 1
	at             time.Time
}

// header is the header with the worker's name.
const header = "X-Worker"

// newWitness starts a model server for the models "m" and "shared".
func newWitness(t testing.TB) *witness {
	t.Helper()
	ln, err := net.Listen("tcp", wellKnown)
	if err != nil {
		t.Fatal(err)
	}
	w := &witness{address: ln.Addr().String(), turned: make(chan struct{}), came: make(chan struct{}), asked: map[string]int{}, by: map[string]map[string]int{},
		open: map[string]int{}, most: map[string]int{}}
	srv := &http.Server{Handler: w}
	go srv.Serve(ln)
	t.Cleanup(func() { srv.Close() })
	return w
}

// ServeHTTP answers a list of models, a canary (max_tokens 1), or a record, whose prompt is JOB-N.
func (w *witness) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "/models") {
		io.WriteString(rw, `{"object":"list","data":[{"id":"m","object":"model"},{"id":"shared","object":"model"}]}`)
		return
	}
	var body struct {
		Model     string
		Messages  []struct{ Content string }
		MaxTokens int `json:"max_tokens"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || len(body.Messages) != 1 {
		http.Error(rw, `{"error":{"message":"bad body"}}`, http.StatusBadRequest)
		return
	}
	prompt := body.Messages[0].Content
	if body.MaxTokens > 1 {
		w.enter(body.Model, prompt, r.Header.Get(header))
		w.work(r)
		w.leave(body.Model)
	}
	fmt.Fprintf(rw, `{"id":"x","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":%q},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}`,
		"answer to "+prompt)
}

// enter notes a request.
func (w *witness) enter(model, prompt, worker string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked[prompt]++
	job, _, _ := strings.Cut(prompt, "-")
	if w.by[worker] == nil {
		w.by[worker] = map[string]int{}
	}
	w.by[worker][job]++
	w.log = append(w.log, request{prompt, worker, w.asked[prompt], time.Now()})
	w.open[model]++
	w.most[model] = max(w.most[model], w.open[model])
	close(w.came)
	w.came = make(chan struct{})
}

// work lasts as long as an answer takes at present.
func (w *witness) work(r *http.Request) {
	began := time.Now()
	for {
		w.mu.Lock()
		left, turned := w.latency-time.Since(began), w.turned
		w.mu.Unlock()
		if left <= 0 {
			return
		}
		late := time.NewTimer(left)
		select {
		case <-late.C:
		case <-turned:
			late.Stop()
		case <-r.Context().Done():
			late.Stop()
			return
		}
	}
}

func (w *witness) leave(model string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open[model]--
}

// takes sets how long an answer takes, also for requests in flight.
func (w *witness) takes(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.latency = d
	close(w.turned)
	w.turned = make(chan struct{})
}

// of counts the requests for records of a job (a name that its prompts begin with): all, and different records.
func (w *witness) of(job string) (all, records int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for prompt, n := range w.asked {
		if strings.HasPrefix(prompt, job+"-") {
			all += n
			records++
		}
	}
	return all, records
}

// from counts the requests that a worker has sent for a job.
func (w *witness) from(worker, job string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.by[worker][job]
}

// mark is the number of requests so far. since returns the requests after a mark.
func (w *witness) mark() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.log)
}

func (w *witness) since(mark int) []request {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]request(nil), w.log[mark:]...)
}

// await waits for the first request after a mark that wanted accepts.
func (w *witness) await(t testing.TB, what string, mark int, wanted func(request) bool) request {
	t.Helper()
	late := time.After(patience)
	for {
		w.mu.Lock()
		all, came := w.log[mark:], w.came
		w.mu.Unlock()
		for _, r := range all {
			if wanted(r) {
				return r
			}
		}
		mark += len(all)
		select {
		case <-came:
		case <-late:
			t.Fatalf("%s: no such request in %s", what, patience)
		}
	}
}

// more waits for so many further requests.
func (w *witness) more(t testing.TB, n int) {
	t.Helper()
	w.await(t, "many records", w.mark(), func(request) bool { n--; return n == 0 })
}

// next is closed when the next request comes.
func (w *witness) next() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.came
}
