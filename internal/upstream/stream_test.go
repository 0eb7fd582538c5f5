package upstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream/eventstreamapi"

	"github.com/batholith/batholith"
	_ "github.com/batholith/batholith/internal/raced"
)

// streamOf returns the events of a stream until "[DONE]".
func streamOf(ctx context.Context, b *Backend) (events []string, err error) {
	err = b.Stream(ctx, call, func(data []byte) error {
		events = append(events, string(data))
		if string(data) == "[DONE]" {
			return io.EOF
		}
		return nil
	})
	return events, err
}

// streamForms are bodies of streams, and their events.
var streamForms = []struct {
	name, kind, body string
	events           []string
}{
	{"SSE", "text/event-stream", "data: {\"a\":1}\n\ndata: {\"a\":2}\n\ndata: [DONE]\n\n", []string{`{"a":1}`, `{"a":2}`, "[DONE]"}},
	{"carriage returns and line feeds", "text/event-stream; charset=utf-8", "data: 1\r\n\r\ndata: 2\r\n\r\n", []string{"1", "2"}},
	{"carriage returns", "text/event-stream", "data: 1\r\rdata: 2\r\r", []string{"1", "2"}},
	{"no space after the colon, several spaces", "", "data:1\n\ndata:  2\n\n", []string{"1", " 2"}},
	{"a byte order mark", "text/event-stream", "\xef\xbb\xbfdata: 1\n\ndata: 2\n\n", []string{"1", "2"}},
	{"comments, names, ids, unknown fields", "text/event-stream", ": hi\n\nevent: message_start\nid: 7\nretry: 3\nodd\ndata: 1\n\n:\n\n: OPENROUTER PROCESSING\n\ndata: 2\n\n", []string{"1", "2"}},
	{"data on several lines", "text/event-stream", "data: {\ndata: \"a\":1}\n\ndata: 2\n\n", []string{"{\n\"a\":1}", "2"}},
	{"events without data", "text/event-stream", "event: ping\n\ndata:\n\ndata: 1\n\n\n\n", []string{"1"}},
	{"no blank line at the end", "text/event-stream", "data: 1\n\ndata: 2", []string{"1", "2"}},
	{"nothing after the end counts", "text/event-stream", "data: [DONE]\n\ndata: 1\n\n", []string{"[DONE]"}},
	{"empty", "text/event-stream", "", nil},
	{"NDJSON", "application/x-ndjson", "{\"a\":1}\r\n\n{\"a\":2}", []string{`{"a":1}`, `{"a":2}`}},
	{"a whole answer", "application/json", "{\"a\":\n1}\n", []string{"{\"a\":\n1}"}},
	{"a whole answer of an unknown type", "text/plain", " {\"a\":\r\n[\"\\n\"]}", []string{"{\"a\":\r\n[\"\\n\"]}"}},
	{"a whole answer in the type of a stream", "text/event-stream", "\xef\xbb\xbf{\"a\":1}\n", []string{`{"a":1}`}},
	{"a page", "text/html", "<html>\n<p>data\n\n</html>", nil},
}

// TestStreamsKeepTheirEventsHoweverTheyAreTorn tears every form at every byte, and sends it byte by byte.
func TestStreamsKeepTheirEventsHoweverTheyAreTorn(t *testing.T) {
	for _, f := range streamForms {
		body, pieces := []byte(f.body), [][]byte(nil)
		b := embedded(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", f.kind)
			for _, p := range pieces {
				if _, err := w.Write(p); err != nil {
					return
				}
			}
		})
		for n := range len(body) + 1 {
			pieces = [][]byte{body[:n], body[n:]}
			if n == len(body) {
				pieces = nil
				for i := range body {
					pieces = append(pieces, body[i:i+1])
				}
			}
			events, err := streamOf(t.Context(), b)
			if err != nil || !slices.Equal(events, f.events) {
				t.Errorf("%s, torn at %d: %q, %v, want %q", f.name, n, events, err, f.events)
			}
		}
	}
}

// TestStreamsFailAsAnswersDo: before the first event a failure is classified as Do classifies it, and after it a stream that breaks is a failure.
func TestStreamsFailAsAnswersDo(t *testing.T) {
	const first = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
	for name, tt := range map[string]struct {
		h      http.HandlerFunc
		kind   batholith.FailureKind
		events int
	}{
		"too many": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusTooManyRequests)
		}, batholith.FailureBackPressure, 0},
		"bad request":         {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, `{"error":"no"}`, 400) }, batholith.FailureBadRecord, 0},
		"no answer":           {hijacked(""), retry, 0},
		"an error as a start": {hijacked(first + "data: {\"error\":{\"message\":\"m\",\"code\":429}}\n\n"), batholith.FailureBackPressure, 0},
		"an error later":      {hijacked(first + "data: 1\n\ndata: {\"error\":{\"message\":\"m\",\"code\":400}}\n\n"), batholith.FailureBadRecord, 1},
		"an event named so":   {hijacked(first + "data: 1\n\nevent: error\ndata: the engine is dead\n\n"), retry, 1},
		"llama.cpp's old way": {hijacked(first + "data: 1\n\nerror: {\"code\":500,\"message\":\"m\",\"type\":\"server_error\"}\n\n"), retry, 1},
		"Ollama's":            {hijacked("HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n\r\n{\"message\":{}}\n{\"error\":\"unexpected EOF\"}\n"), retry, 1},
		"torn":                {hijacked("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n20\r\ndata: 2"), retry, 1},
		"reset":               {hijacked("HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\ndata: 1\n\n"), retry, 1},
		"a long line": {func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "data: 1\n\ndata: ")
			for range maxEvent >> 20 {
				w.Write(make([]byte, 1<<20))
			}
		}, retry, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(tt.h)
			defer s.Close()
			b, err := New(Options{URL: s.URL + "/v1"})
			if err != nil {
				t.Fatal(err)
			}
			events, err := streamOf(t.Context(), b)
			f, ok := errors.AsType[*batholith.Failure](err)
			if !ok || f.Kind != tt.kind || !f.Sent || len(events) != tt.events {
				t.Errorf("%v after %q", err, events)
			}
			if tt.kind == batholith.FailureBackPressure && name == "too many" && f.RetryAfter != 7*time.Second {
				t.Errorf("Retry-After %v", f.RetryAfter)
			}
		})
	}
}

// TestStreamsArePassedOnAsTheyCome: the handler writes the next event only when the last one has arrived, in the process and through a socket.
func TestStreamsArePassedOnAsTheyCome(t *testing.T) {
	arrived := make(chan bool)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.Header.Get("Accept"), "text/event-stream") {
			t.Errorf("Accept: %s", r.Header.Get("Accept"))
		}
		for i := range 3 {
			fmt.Fprintf(w, "data: %d\n\n", i)
			w.(http.Flusher).Flush()
			select {
			case <-arrived:
			case <-r.Context().Done():
				t.Error("the client has gone")
			}
		}
		io.WriteString(w, "data: [DONE]\n\n")
		w.(http.Flusher).Flush()
		<-r.Context().Done() // the connection stays open
	})
	s := httptest.NewServer(h)
	defer s.Close()
	outside, err := New(Options{URL: s.URL + "/v1"})
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]*Backend{"in process": embedded(t, h), "through a socket": outside} {
		n := 0
		err := b.Stream(t.Context(), call, func(data []byte) error {
			if string(data) == "[DONE]" {
				return io.EOF
			}
			n++
			arrived <- true
			return nil
		})
		if n != 3 || err != nil {
			t.Errorf("%s: %d events, %v", name, n, err)
		}
	}
}

// TestAStreamThatPausesForTooLongFails: silence after the first event, the backend's timeout before it and in total.
func TestAStreamThatPausesForTooLongFails(t *testing.T) {
	for name, tt := range map[string]struct {
		pauses []time.Duration
		text   string
		events int
	}{
		"a long queue":  {[]time.Duration{9 * time.Minute}, "", 1},
		"no answer":     {[]time.Duration{11 * time.Minute}, "did not answer within 10m", 0},
		"silence":       {[]time.Duration{0, time.Minute, 3 * time.Minute}, "sent nothing for 2m in the middle of a stream", 2},
		"a long stream": {slices.Repeat([]time.Duration{70 * time.Second}, 30), "did not answer within 10m", 8},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := embedded(t, func(w http.ResponseWriter, r *http.Request) {
					w.(http.Flusher).Flush()
					for _, p := range tt.pauses {
						select {
						case <-time.After(p):
						case <-r.Context().Done():
							return
						}
						if _, err := io.WriteString(w, "data: 1\n\n"); err != nil {
							return
						}
					}
				})
				events, err := streamOf(t.Context(), b)
				if len(events) != tt.events || (err == nil) != (tt.text == "") || err != nil && !strings.Contains(err.Error(), tt.text) {
					t.Errorf("%d events, %v", len(events), err)
				}
			})
		})
	}
}

// TestAClientThatGoesEndsItsStream: the server sees it, and the error is the caller's own.
func TestAClientThatGoesEndsItsStream(t *testing.T) {
	gone := errors.New("gone")
	seen := make(chan bool, 1)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, "data: 1\n\n")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		seen <- true
	})
	s := httptest.NewServer(h)
	defer s.Close()
	outside, err := New(Options{URL: s.URL + "/v1"})
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]*Backend{"in process": embedded(t, h), "through a socket": outside} {
		ctx, cancel := context.WithCancelCause(t.Context())
		err := b.Stream(ctx, call, func([]byte) error { cancel(gone); return nil })
		if <-seen; !errors.Is(err, gone) {
			t.Errorf("%s: %v", name, err)
		}
		own := errors.New("no more")
		err = b.Stream(t.Context(), call, func([]byte) error { return own })
		if <-seen; err != own {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// frameOf is a message of Bedrock's event stream, from the SDK's encoder.
func frameOf(t *testing.T, kind, typ, payload string) []byte {
	t.Helper()
	name := map[string]string{"event": eventstreamapi.EventTypeHeader, "exception": eventstreamapi.ExceptionTypeHeader}[kind]
	m := eventstream.Message{Payload: []byte(payload)}
	m.Headers.Set(eventstreamapi.MessageTypeHeader, eventstream.StringValue(kind))
	m.Headers.Set(name, eventstream.StringValue(typ))
	var b bytes.Buffer
	if err := eventstream.NewEncoder().Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestStreamsOfBedrockAreReadHoweverTheyAreTorn: messages become events, exceptions failures, and a message that is cut off is one too.
func TestStreamsOfBedrockAreReadHoweverTheyAreTorn(t *testing.T) {
	whole := append(frameOf(t, "event", "messageStart", `{"role":"assistant"}`), frameOf(t, "event", "metadata", `{"usage":{}}`)...)
	var pieces [][]byte
	b := embedded(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", frameType)
		for _, p := range pieces {
			if _, err := w.Write(p); err != nil {
				return
			}
		}
	})
	want := []string{`{"messageStart":{"role":"assistant"}}`, `{"metadata":{"usage":{}}}`}
	for n := range whole {
		pieces = [][]byte{whole[:n], whole[n:]}
		if events, err := streamOf(t.Context(), b); err != nil || !slices.Equal(events, want) {
			t.Errorf("torn at %d: %q, %v", n, events, err)
		}
		pieces = [][]byte{whole[:n]}
		first := len(frameOf(t, "event", "messageStart", `{"role":"assistant"}`))
		if _, err := streamOf(t.Context(), b); (err == nil) != (n == 0 || n == first) {
			t.Errorf("cut at %d: %v", n, err)
		}
	}
	for typ, kind := range map[string]batholith.FailureKind{"throttlingException": batholith.FailureBackPressure, "validationException": batholith.FailureBadRecord, "modelStreamErrorException": retry, "internalServerException": retry} {
		pieces = [][]byte{frameOf(t, "event", "messageStart", `{}`), frameOf(t, "exception", typ, `{"message":"the service's words"}`)}
		events, err := streamOf(t.Context(), b)
		if f, ok := errors.AsType[*batholith.Failure](err); !ok || f.Kind != kind || len(events) != 1 || !strings.Contains(f.Message, "the service's words") {
			t.Errorf("%s: %v after %q", typ, err, events)
		}
	}
	pieces = [][]byte{[]byte(strings.Repeat("no frames at all ", 9))}
	if _, err := streamOf(t.Context(), b); err == nil {
		t.Error("something else is taken")
	}
}

// FuzzEvents holds that the events of any bytes are the same however they are torn.
func FuzzEvents(f *testing.F) {
	for _, s := range streamForms {
		f.Add([]byte(s.body), uint(3), s.kind == "application/x-ndjson")
	}
	read := func(pieces [][]byte, form int) (all []string) {
		r := &eventReader{form: form, emit: func(name string, data []byte) error {
			all = append(all, name+":"+string(data))
			return nil
		}}
		for _, p := range pieces {
			if r.feed(p) != nil {
				return nil
			}
		}
		if r.end() != nil {
			return nil
		}
		return all
	}
	f.Fuzz(func(t *testing.T, body []byte, at uint, lines bool) {
		form := formUnknown
		if lines {
			form = formLines
		}
		whole := read([][]byte{body}, form)
		n := int(at % uint(len(body)+1))
		if torn := read([][]byte{body[:n], body[n:]}, form); !slices.Equal(whole, torn) {
			t.Errorf("%q torn at %d: %q, whole: %q", body, n, torn, whole)
		}
		if bytewise := read(slices.Collect(slices.Chunk(body, 1)), form); !slices.Equal(whole, bytewise) {
			t.Errorf("%q byte by byte: %q, whole: %q", body, bytewise, whole)
		}
	})
}
