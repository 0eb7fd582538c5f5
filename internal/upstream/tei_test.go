package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
)

// embedder is a TEI: the vector of "7" is [7]. It refuses requests with a text "bad", and those of more texts than most.
type embedder struct {
	most  int
	mu    sync.Mutex
	sizes []int // texts of the requests
	left  int   // requests whose client has gone
	slow  time.Duration
	full  bool
}

func (e *embedder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/info" {
		fmt.Fprintf(w, `{"model_id":"m","max_concurrent_requests":512,"max_client_batch_size":%d}`, e.most)
		return
	}
	var q struct {
		Inputs   any  `json:"inputs"`
		Truncate bool `json:"truncate"`
	}
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	texts, ok := q.Inputs.([]any)
	if !ok {
		texts = []any{q.Inputs}
	}
	e.mu.Lock()
	e.sizes = append(e.sizes, len(texts))
	full := e.full
	e.mu.Unlock()
	select {
	case <-time.After(e.slow):
	case <-r.Context().Done():
		e.mu.Lock()
		e.left++
		e.mu.Unlock()
		return
	}
	bytes := 0
	var vectors []string
	for _, t := range texts {
		switch {
		case full:
			w.WriteHeader(http.StatusTooManyRequests)
			w.Write([]byte(`{"error":"Model is overloaded","error_type":"Overloaded"}`))
			return
		case t == "bad":
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			w.Write([]byte(`{"error":"Input validation error: inputs must have less than 512 tokens","error_type":"Validation"}`))
			return
		case len(texts) > e.most:
			w.WriteHeader(http.StatusUnprocessableEntity)
			w.Write([]byte(`{"error":"batch size > maximum allowed batch size","error_type":"Validation"}`))
			return
		}
		bytes += len(t.(string))
		vectors = append(vectors, fmt.Sprintf("[%s]", t))
	}
	w.Header().Set("X-Compute-Tokens", fmt.Sprint(10*len(texts)))
	w.Write([]byte("[" + strings.Join(vectors, ",") + "]"))
}

func embedding(t *testing.T, e *embedder) *Backend {
	t.Helper()
	b, err := New(Options{URL: "http://tei", Protocol: "tei", Model: "m", Transport: InProcess(e)})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func embed(ctx context.Context, b *Backend, inputs, rest string) (string, error) {
	body, err := b.Do(ctx, batholith.Call{Path: "/embed", Body: []byte(`{"inputs":` + inputs + rest)})
	return string(body), err
}

// Calls that are in flight at the same time are one request, as far as the server allows; each gets its own vectors and its share of the
// tokens, and only the text that the server refuses fails.
func TestTextsAreEmbeddedTogetherAndOnlyTheBadOneFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &embedder{most: 8}
		b := embedding(t, e)
		var all sync.WaitGroup
		for n := range 40 {
			all.Go(func() {
				text := fmt.Sprint(n)
				if n == 13 {
					text = "bad"
				}
				got, err := embed(t.Context(), b, `"`+text+`"`, `,"truncate":false}`)
				f, failed := errors.AsType[*batholith.Failure](err)
				switch {
				case n == 13:
					if !failed || f.Kind != batholith.FailureBadRecord || f.Status != 413 || !strings.Contains(f.Message, "less than 512 tokens") {
						t.Errorf("the bad text: %s, %v", got, err)
					}
				case err != nil || !strings.HasPrefix(got, `{"embeddings":[[`+text+`]],"tokens":`):
					t.Errorf("%d: %s, %v", n, got, err)
				}
			})
		}
		all.Wait()
		if len(e.sizes) > 15 { // 5 of 8, and 8, 4, 2, 1 of the bad one's
			t.Errorf("%d requests for 40 texts: %v", len(e.sizes), e.sizes)
		}
		e.sizes = nil
		var many []string
		for n := range 20 {
			many = append(many, fmt.Sprintf(`"%d"`, n))
		}
		got, err := embed(t.Context(), b, "["+strings.Join(many, ",")+"]", `,"truncate":true}`)
		want := `{"embeddings":[[` + strings.ReplaceAll(strings.ReplaceAll(strings.Join(many, "],["), `"`, ""), ",", ",") + `]],"tokens":200}`
		if err != nil || got != want || len(e.sizes) != 3 {
			t.Errorf("20 texts of one record in %v: %s, %v", e.sizes, got, err)
		}
		e.full = true
		_, err = embed(t.Context(), b, `"1"`, `}`)
		if f, ok := errors.AsType[*batholith.Failure](err); !ok || f.Kind != batholith.FailureBackPressure {
			t.Errorf("a full server: %v", err)
		}
		if _, err := embed(t.Context(), b, `[]`, `}`); err == nil {
			t.Error("no text was embedded")
		}
	})
}

// A caller that goes does not take its neighbours with it, and a request whose callers are all gone is called off. A retry is sent alone.
func TestAJoinedRequestLastsAsLongAsOneOfItsCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &embedder{most: 8, slow: time.Second}
		b := embedding(t, e)
		for _, leaving := range []int{1, 2} {
			ctx, cancel := context.WithCancel(t.Context())
			var all sync.WaitGroup
			for n := range 2 {
				own := t.Context()
				if n < leaving {
					own = ctx
				}
				all.Go(func() {
					got, err := embed(own, b, fmt.Sprintf(`"%d"`, n), `}`)
					if gone := n < leaving; gone != errors.Is(err, context.Canceled) || !gone && !strings.Contains(got, fmt.Sprintf("[[%d]]", n)) {
						t.Errorf("%d of 2, %d left: %s, %v", n, leaving, got, err)
					}
				})
			}
			time.Sleep(500 * time.Millisecond)
			cancel()
			all.Wait()
			synctest.Wait()
			if e.left != leaving-1 || len(e.sizes) != leaving {
				t.Errorf("%d left: %d of %v requests were called off", leaving, e.left, e.sizes)
			}
		}
		e.sizes = nil
		var all sync.WaitGroup
		for n := range 3 {
			all.Go(func() {
				call := batholith.Call{Path: "/embed", Body: fmt.Appendf(nil, `{"inputs":"%d"}`, n), Fresh: n > 0}
				if _, err := b.Do(t.Context(), call); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if fmt.Sprint(e.sizes) != "[1 1 1]" {
			t.Errorf("retries went together: %v", e.sizes)
		}
	})
}
