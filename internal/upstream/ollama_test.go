package upstream

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/batholith/batholith"
)

// An Ollama is asked for one context size that only grows, up to what its model was trained for, so that it does not load the model anew for
// every record; and it gets no image that it would ignore.
func TestOllamaKeepsOneContextThatFitsEveryRecord(t *testing.T) {
	for name, c := range map[string]struct {
		show, ps string
		needs    []int // of the records, in this order
		want     []int
		blind    bool
	}{
		"trained for less": {`{"model_info":{"general.architecture":"llama","llama.context_length":8192},"capabilities":["completion","vision"]}`, `{"models":[]}`,
			[]int{4096, 8192, 4096, 65536}, []int{4096, 8192, 8192, 8192}, false},
		"loaded with more": {`{"capabilities":["completion"]}`, `{"models":[{"name":"other:latest","context_length":99999},{"name":"m:latest","context_length":16384}]}`,
			[]int{4096, 32768, 4096}, []int{16384, 32768, 32768}, true},
		"tells nothing": {`{"error":"no such path"}`, `{}`, []int{4096, 8192, 4096}, []int{4096, 8192, 8192}, false},
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			var bodies []string
			asked := map[string]int{}
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				mu.Lock()
				defer mu.Unlock()
				asked[r.URL.Path]++
				switch r.URL.Path {
				case "/api/show":
					io.WriteString(w, c.show)
				case "/api/ps":
					io.WriteString(w, c.ps)
				case "/api/tags":
					io.WriteString(w, `{"models":[{"name":"m:latest"}]}`)
				default:
					bodies = append(bodies, string(body))
					io.WriteString(w, `{"done":true,"message":{"content":"x"}}`)
				}
			}))
			defer s.Close()
			b, err := New(Options{URL: s.URL, Protocol: "ollama", Model: "m"})
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Probe(t.Context()); err != nil {
				t.Errorf("the list of models: %v", err)
			}
			if probed := name != "loaded with more"; probed { // as the dispatcher does after a probe
				b.Abilities(t.Context())
			}
			for i, need := range c.needs {
				call := batholith.Call{Path: "/api/chat", Body: fmt.Appendf(nil, `{"options":{"num_ctx":%d,"seed":1},"messages":[{"content":"\"images\":[\""}]}`, need)}
				if _, err := b.Do(t.Context(), call); err != nil {
					t.Fatal(err)
				}
				if want := fmt.Sprintf(`{"options":{"num_ctx":%d,"seed":1},`, c.want[i]); !strings.HasPrefix(bodies[i], want) {
					t.Errorf("%d: %s, want %s", i, bodies[i], want)
				}
			}
			_, err = b.Do(t.Context(), batholith.Call{Path: "/api/chat", Body: []byte(`{"options":{"num_ctx":4096},"messages":[{"content":"","images":["iVBORw=="]}]}`)})
			f, refused := errors.AsType[*batholith.Failure](err)
			if refused != c.blind || refused && (f.Kind != batholith.FailureBadRecord || f.Status != 400 || !strings.Contains(f.Message, "sees no images")) {
				t.Errorf("an image: %v", err)
			}
			if asked["/api/show"] != 1 || asked["/api/ps"] != 1 {
				t.Errorf("asked %v", asked)
			}
		})
	}
}
