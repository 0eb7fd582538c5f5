package upstream

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/batholith/batholith"
)

// BenchmarkDo compares a call over a socket, a call without one, and the floor: the handler alone.
func BenchmarkDo(b *testing.B) {
	answer := `{"choices":[{"message":{"content":"` + strings.Repeat("x", 500) + `"}}]}`
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, answer)
	})
	call := batholith.Call{Path: "/chat/completions", Body: []byte(`{"messages":[{"role":"user","content":"` + strings.Repeat("y", 1000) + `"}]}`)}
	server := httptest.NewServer(handler)
	defer server.Close()
	for name, o := range map[string]Options{
		"socket":     {URL: server.URL + "/v1"},
		"in process": {URL: "http://embedded/v1", Transport: InProcess(handler)},
	} {
		backend, err := New(o)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := backend.Do(b.Context(), call); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("floor", func(b *testing.B) {
		for b.Loop() {
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, httptest.NewRequest("POST", "/v1/chat/completions", strings.NewReader(string(call.Body))))
		}
	})
}
