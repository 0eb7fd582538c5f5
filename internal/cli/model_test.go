package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/batholith/batholith/internal/preview"
)

// heldModel is a model server whose answers a story can hold back, so that it decides what is in flight when.
type heldModel struct {
	mu       sync.Mutex
	left     int            // answers that may be given; -1: any number
	held     chan struct{}  // closed when answers may be given again
	arrived  chan struct{}  // gets a token when a request is held back
	waiting  int            // requests that are held back
	gone     chan struct{}  // gets a token when the caller of one has gone
	answered map[string]int // prompt → answers given
}

// modelCommand is the command model:
//
//	model start      starts it, and makes it the one model of the settings
//	model serve      starts it, and says where in MODEL_URL
//	model hold N     gives N more answers and holds the next ones back
//	model held       waits until an answer is held back
//	model gone       waits until nobody waits for an answer any more
//	model release    gives all answers
//	model once N     N prompts were answered, each once
func modelCommand(ts *testscript.TestScript, neg bool, args []string) {
	m := of(ts).model
	switch {
	case !neg && len(args) == 1 && args[0] == "start":
		ts.Setenv("BATHOLITH_MODELS", fmt.Sprintf("[{id: held, family: openai, backends: [{url: '%s/v1'}]}]", startModel(ts)))
	case !neg && len(args) == 1 && args[0] == "serve":
		ts.Setenv("MODEL_URL", startModel(ts)+"/v1")
	case !neg && len(args) == 2 && args[0] == "hold":
		n, err := strconv.Atoi(args[1])
		ts.Check(err)
		m.hold(n)
	case !neg && len(args) == 1 && args[0] == "held":
		select {
		case <-m.arrived:
		case <-time.After(patience):
			ts.Fatalf("the model has no request to hold back")
		}
	case !neg && len(args) == 1 && args[0] == "gone":
		if !m.nobodyWaits() {
			ts.Fatalf("somebody still waits for the model")
		}
	case !neg && len(args) == 1 && args[0] == "release":
		m.release()
	case !neg && len(args) == 2 && args[0] == "once":
		ts.Check(m.checkOnce(args[1]))
	default:
		ts.Fatalf("usage: model start|serve|hold N|held|gone|release|once N")
	}
}

func startModel(ts *testscript.TestScript) (url string) {
	m := &heldModel{left: -1, held: make(chan struct{}), arrived: make(chan struct{}, 1000), gone: make(chan struct{}, 1000), answered: map[string]int{}}
	server := httptest.NewServer(m)
	ts.Defer(server.Close)
	ts.Defer(m.release)
	of(ts).model = m
	return server.URL
}

func (m *heldModel) hold(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.left, m.held = n, make(chan struct{})
	for len(m.arrived) > 0 {
		<-m.arrived // those of an earlier hold
	}
}

func (m *heldModel) release() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.left >= 0 {
		m.left = -1
		close(m.held)
	}
}

// nobodyWaits waits until every caller of a held answer has gone: the end of a process reaches its model server some time later.
func (m *heldModel) nobodyWaits() bool {
	late := time.After(patience)
	for {
		m.mu.Lock()
		waiting := m.waiting
		m.mu.Unlock()
		if waiting == 0 {
			return true
		}
		select {
		case <-m.gone:
		case <-late:
			return false
		}
	}
}

func (m *heldModel) checkOnce(want string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for prompt, n := range m.answered {
		if n != 1 {
			return fmt.Errorf("%q was answered %d times", prompt, n)
		}
	}
	if got := strconv.Itoa(len(m.answered)); got != want {
		return fmt.Errorf("%s prompts were answered, want %s", got, want)
	}
	return nil
}

// ServeHTTP speaks as much of the OpenAI protocol as a chat needs. The answer to a prompt is the prompt with a word before it.
func (m *heldModel) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/v1/models":
		fmt.Fprint(w, `{"object":"list","data":[{"id":"held","object":"model"}]}`)
	case "/v1/chat/completions":
		m.chat(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (m *heldModel) chat(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Messages []struct{ Content json.RawMessage }
	}
	text, err := io.ReadAll(r.Body)
	if err != nil || json.Unmarshal(text, &body) != nil || len(body.Messages) == 0 {
		http.Error(w, `{"error":{"message":"no messages"}}`, http.StatusBadRequest)
		return
	}
	prompt := textOfContent(body.Messages[len(body.Messages)-1].Content)
	if !m.turn(r, prompt) {
		return // the caller has gone
	}
	answer, _ := json.Marshal("echo: " + prompt)
	fmt.Fprintf(w, `{"id":"1","object":"chat.completion","model":"held","choices":[{"index":0,"message":{"role":"assistant","content":%s},`+
		`"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}`, answer)
}

// textOfContent is a message's text, be it a string or blocks.
func textOfContent(raw json.RawMessage) string {
	return preview.Prompt(fmt.Appendf(nil, `{"prompt":%s}`, raw))
}

// turn waits until an answer to the prompt may be given, and counts it.
func (m *heldModel) turn(r *http.Request, prompt string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for m.left == 0 {
		held := m.held
		m.waiting++
		m.mu.Unlock()
		m.arrived <- struct{}{}
		select {
		case <-held:
		case <-r.Context().Done():
		}
		m.mu.Lock()
		m.waiting--
		if r.Context().Err() != nil {
			m.gone <- struct{}{}
			return false
		}
	}
	if m.left > 0 {
		m.left--
	}
	m.answered[prompt]++
	return true
}
