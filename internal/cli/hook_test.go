package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// hookSecret signs the events of a story.
const hookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// storyHook is a receiver of events.
type storyHook struct {
	mu      sync.Mutex
	code    int
	taken   map[string][]string // statuses by the job's name; repetitions are left out
	faults  []string
	refused int
	news    chan struct{}
}

// hookCommand is the command hook:
//
//	hook start            starts a receiver, which the settings name
//	hook answer CODE      answers every event with this status
//	hook refused          waits until an event was refused
//	hook taken NAME A,B…  waits until the events of a job, in order, are of these statuses
func hookCommand(ts *testscript.TestScript, neg bool, args []string) {
	s := of(ts)
	switch {
	case !neg && len(args) == 1 && args[0] == "start":
		h := &storyHook{code: http.StatusOK, taken: map[string][]string{}, news: make(chan struct{}, 1)}
		server := httptest.NewServer(h)
		ts.Defer(server.Close)
		ts.Setenv("HOOK_SECRET", hookSecret)
		ts.Setenv("BATHOLITH_EVENTS", fmt.Sprintf("[{url: '%s/hook', name: story, secret_env: HOOK_SECRET}]", server.URL))
		s.hook = h
	case !neg && len(args) == 2 && args[0] == "answer":
		code, err := strconv.Atoi(args[1])
		ts.Check(err)
		s.hook.mu.Lock()
		defer s.hook.mu.Unlock()
		s.hook.code, s.hook.refused = code, 0
	case !neg && len(args) == 1 && args[0] == "refused":
		s.hook.await(ts, func() bool { return s.hook.refused > 0 })
	case !neg && len(args) == 3 && args[0] == "taken":
		s.hook.await(ts, func() bool { return strings.Join(s.hook.taken[args[1]], ",") == args[2] })
	default:
		ts.Fatalf("usage: hook start|answer CODE|refused|taken NAME STATUS,…")
	}
}

// await waits until ok, which is called with the lock.
func (h *storyHook) await(ts *testscript.TestScript, ok func() bool) {
	late := time.After(patience)
	for {
		h.mu.Lock()
		good, faults, taken := ok(), h.faults, fmt.Sprint(h.taken)
		h.mu.Unlock()
		if len(faults) > 0 {
			ts.Fatalf("%s", faults[0])
		}
		if good {
			return
		}
		select {
		case <-h.news:
		case <-late:
			ts.Fatalf("the receiver has taken %s", taken)
		}
	}
}

func (h *storyHook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	defer func() {
		select {
		case h.news <- struct{}{}:
		default:
		}
	}()
	var e struct {
		Detail struct {
			Name   string `json:"batchJobName"`
			Status string `json:"status"`
		} `json:"detail"`
	}
	signed, err := standardwebhooks.NewWebhook(hookSecret)
	var body []byte
	if err == nil {
		body, err = io.ReadAll(r.Body)
	}
	if err == nil {
		err = signed.Verify(body, r.Header)
	}
	if err == nil {
		err = json.Unmarshal(body, &e)
	}
	if err != nil {
		h.faults = append(h.faults, err.Error())
	}
	if h.code/100 != 2 {
		h.refused++
		w.WriteHeader(h.code)
		return
	}
	if taken := h.taken[e.Detail.Name]; !slices.Contains(taken, e.Detail.Status) {
		h.taken[e.Detail.Name] = append(taken, e.Detail.Status)
	}
}
