package upstream

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/batholith/batholith"
)

// medium is an object of these bytes.
func medium(mark, body string) batholith.Medium {
	return batholith.Medium{URI: "s3://b/" + mark, Mark: mark, Bytes: int64(len(body)), Open: func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(iotest.HalfReader(strings.NewReader(body))), nil
	}}
}

// TestMediaComeIntoTheRequestWhenItIsSent: the server gets the body with the Base64 of each object in the place of its mark, with its length,
// also after a redirect. An object whose mark is not in the body is not read.
func TestMediaComeIntoTheRequestWhenItIsSent(t *testing.T) {
	large := strings.Repeat("0123456789", 30_000)
	want := `{"a":"` + base64.StdEncoding.EncodeToString([]byte(large)) + `","b":"` + base64.StdEncoding.EncodeToString([]byte("x")) + `"}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/x" {
			http.Redirect(w, r, "/y", http.StatusPermanentRedirect)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil || string(body) != want || r.ContentLength != int64(len(want)) {
			t.Errorf("got %d bytes, %.60s, length %d, %v", len(body), body, r.ContentLength, err)
		}
		io.WriteString(w, `{}`)
	}))
	defer server.Close()
	b, err := New(Options{URL: server.URL, Model: "m"})
	if err != nil {
		t.Fatal(err)
	}
	unread := batholith.Medium{URI: "s3://b/unread", Mark: "MARKCCCC", Bytes: 3, Open: func(context.Context) (io.ReadCloser, error) {
		t.Error("an object that is not sent was read")
		return nil, io.ErrUnexpectedEOF
	}}
	call := batholith.Call{Path: "/x", Body: []byte(`{"a":"MARKAAAA","b":"MARKBBBB"}`), Media: []batholith.Medium{unread, medium("MARKBBBB", "x"), medium("MARKAAAA", large)}}
	if _, err := b.Do(t.Context(), call); err != nil {
		t.Error(err)
	}
}

// TestAnObjectThatBreaksOffIsNoFailureOfTheServer: an object that cannot be opened, is cut off, or is shorter than it was, ends the request
// with a MediaError that names it. The caller's cancellation stays what it is, and the server's answer counts if it came first.
func TestAnObjectThatBreaksOffIsNoFailureOfTheServer(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	defer server.Close()
	b, err := New(Options{URL: server.URL, Model: "m"})
	if err != nil {
		t.Fatal(err)
	}
	outage := errors.New("503 SlowDown")
	for name, from := range map[string]func() (io.ReadCloser, error){
		"not opened": func() (io.ReadCloser, error) { return nil, outage },
		"cut off": func() (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(bytes.NewReader(make([]byte, 100_000)), iotest.ErrReader(outage))), nil
		},
		"shorter": func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(make([]byte, 100_000))), nil },
	} {
		t.Run(name, func(t *testing.T) {
			call := batholith.Call{Path: "/x", Body: []byte(`{"a":"MARKAAAA"}`), Media: []batholith.Medium{{URI: "s3://b/k", Mark: "MARKAAAA", Bytes: 1 << 20,
				Open: func(context.Context) (io.ReadCloser, error) { return from() }}}}
			_, err := b.Do(t.Context(), call)
			m, ok := errors.AsType[*batholith.MediaError](err)
			if !ok || m.URI != "s3://b/k" {
				t.Errorf("got %v, want a MediaError", err)
			}
		})
	}
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		call := batholith.Call{Path: "/x", Body: []byte(`{"a":"MARKAAAA"}`), Media: []batholith.Medium{{URI: "s3://b/k", Mark: "MARKAAAA", Bytes: 1 << 20,
			Open: func(ctx context.Context) (io.ReadCloser, error) {
				cancel(batholith.ErrStopped)
				return nil, context.Cause(ctx)
			}}}}
		if _, err := b.Do(ctx, call); !errors.Is(err, batholith.ErrStopped) {
			t.Errorf("got %v, want the cause of the cancellation", err)
		}
	})
}
