package cli

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/batholith/batholith/internal/bedrock"
	"github.com/batholith/batholith/internal/door"
	"github.com/batholith/batholith/internal/sigv4"
)

// lists is a service that answers ListModelInvocationJobs and nothing else.
type lists struct{ bedrock.Service }

func (lists) ListModelInvocationJobs(context.Context, *bedrock.ListModelInvocationJobsInput) (*bedrock.ListModelInvocationJobsOutput, error) {
	return &bedrock.ListModelInvocationJobsOutput{}, nil
}

// api is the API within limits, on a port of its own.
type api struct {
	t       *testing.T
	address string
	reading atomic.Int64 // requests in progress
	most    atomic.Int64 // of them at once
}

func newAPI(t *testing.T, limits door.Limits) *api {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := &api{t: t, address: ln.Addr().String()}
	v := sigv4.New("us-east-1", "bedrock", sigv4.NewRing([]sigv4.AccessKey{{ID: "AKALICE", Secret: "secret"}},
		[]sigv4.APIKey{{Key: "key-carol"}}), time.Now)
	h := bedrock.NewHandler(lists{}, bedrock.Options{Admit: admit(v), Authenticate: authenticate(v)})
	watched := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := a.reading.Add(1)
		defer a.reading.Add(-1)
		for m := a.most.Load(); n > m && !a.most.CompareAndSwap(m, n); m = a.most.Load() {
		}
		h.ServeHTTP(w, r)
	})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- serveHTTP(ctx, ln, watched, limits, stopTime, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return a
}

// signed is a request that alice signed, and then, with another body, did not.
func (a *api) signed(body []byte) *http.Request {
	req, err := http.NewRequest(http.MethodGet, "http://"+a.address+"/model-invocation-jobs", bytes.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	sum := sha256.Sum256(body)
	err = v4.NewSigner().SignHTTP(context.Background(), aws.Credentials{AccessKeyID: "AKALICE", SecretAccessKey: "secret"}, req,
		hex.EncodeToString(sum[:]), "bedrock", "us-east-1", time.Now())
	if err != nil {
		a.t.Fatal(err)
	}
	return req
}

// list has a key holder list jobs over a client of its own or a given one.
func (a *api) list(client *http.Client) error {
	if client == nil {
		client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	}
	resp, err := client.Do(a.signed(nil))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

// half opens a connection, sends this and no more. The connection ends with the test.
func (a *api) half(data string) net.Conn {
	a.t.Helper()
	c, err := net.Dial("tcp", a.address)
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { c.Close() })
	io.WriteString(c, data) // a connection that the door closes does not take it all
	return c
}

// head is the head of a request whose body has not come, by somebody who knows alice's key id.
func (a *api) head(bytes int) string {
	req := a.signed([]byte("not the body that comes"))
	var head strings.Builder
	fmt.Fprintf(&head, "GET /model-invocation-jobs HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n", a.address, bytes)
	for _, name := range []string{"Authorization", "X-Amz-Date"} {
		fmt.Fprintf(&head, "%s: %s\r\n", name, req.Header.Get(name))
	}
	return head.String() + "\r\n"
}

func TestARequestOfNobodyIsAnsweredWithoutItsBody(t *testing.T) {
	a := newAPI(t, door.Limits{})
	known := a.head(1000)
	for name, tt := range map[string]struct {
		head   string
		status int
	}{
		"unknown key id": {strings.Replace(known, "AKALICE", "AKNOBODY", 1), 403},
		"wrong region":   {strings.Replace(known, "us-east-1", "eu-west-9", 1), 403},
		"no key":         {"GET /model-invocation-jobs HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n", 403},
		"wrong API key":  {"GET /model-invocation-jobs HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer key-carole\r\nContent-Length: 1000000\r\n\r\n", 403},
		"no operation":   {"POST /nothing HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n", 404},
		"in chunks":      {"GET /model-invocation-jobs HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n", 403},
		"that asks":      {"GET /model-invocation-jobs HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1000\r\n\r\n", 403},
	} {
		t.Run(name, func(t *testing.T) {
			c := a.half(tt.head)
			c.SetReadDeadline(time.Now().Add(headTime)) // the server would wait for the body longer than this
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != tt.status || !resp.Close {
				t.Errorf("answered %s, closed: %v", resp.Status, resp.Close)
			}
		})
	}
}

func TestAHeadHasABound(t *testing.T) {
	a := newAPI(t, door.Limits{})
	c := a.half("GET /healthz HTTP/1.1\r\nHost: h\r\nX-A: " + strings.Repeat("y", 2*headBytes) + "\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Error(resp.Status)
	}
}

// Strangers have the key holder's own address, and all of them know its key id.
func TestKeyHoldersAreServedBesideAnyNumberOfStrangers(t *testing.T) {
	limits := door.Limits{Open: 60, Strangers: 40, PerAddress: 40, Bytes: 256 << 10}
	preface := "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	for name, what := range map[string]func(*api) string{
		"idle":                     func(*api) string { return "" },
		"slow heads":               func(*api) string { return "GET / HTTP/1.1\r\nX: " },
		"long heads":               func(*api) string { return "GET / HTTP/1.1\r\nX: " + strings.Repeat("y", headBytes-100) },
		"half bodies":              func(a *api) string { return a.head(1<<20) + strings.Repeat("x", 60<<10) },
		"whole bodies, wrongly":    func(a *api) string { return a.head(1<<10) + strings.Repeat("x", 1<<10) },
		"HTTP/2, nothing":          func(*api) string { return preface },
		"HTTP/2, announced frames": func(*api) string { return preface + "\xff\xff\xff\x00\x00\x00\x00\x00\x01" },
		"HTTP/2, within 16 KiB": func(*api) string {
			return preface + "\x00\x40\x00\x01\x00\x00\x00\x00\x01" + strings.Repeat("y", 16000)
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAPI(t, limits)
			holder := &http.Client{Transport: &http.Transport{}}
			defer holder.CloseIdleConnections()
			for i := range 200 {
				a.half(what(a))
				if i%20 != 0 {
					continue
				}
				if err := errors.Join(a.list(holder), a.list(nil)); err != nil {
					t.Fatalf("after %d strangers: %v", i, err)
				}
			}
		})
	}
}

func TestHalfSentBodiesGiveWayToOneAnother(t *testing.T) {
	a := newAPI(t, door.Limits{Open: 200, Strangers: 100, PerAddress: 100, Bytes: 256 << 10})
	ended := make(chan error)
	const strangers, fit = 40, 4 // each of a little more than 64 KiB
	for range strangers {
		c := a.half(a.head(1<<20) + strings.Repeat("x", 64<<10))
		go func() {
			_, err := c.Read(make([]byte, 1))
			ended <- err
		}()
	}
	for range strangers - fit {
		<-ended
	}
	if err := a.list(nil); err != nil {
		t.Error(err)
	}
	go func() { // the others end with their connections
		for range fit {
			<-ended
		}
	}()
}

// One connection of HTTP/2 carries many requests, each of which holds more than it has sent.
func TestHalfSentStreamsAreBoundedInAll(t *testing.T) {
	const bound = 512 << 10
	a := newAPI(t, door.Limits{Open: 100, Strangers: 50, PerAddress: 50, Bytes: bound})
	ctx, stop := context.WithCancel(t.Context())
	var done []chan struct{}
	defer func() {
		stop()
		for _, d := range done {
			<-d
		}
	}()
	for range 5 {
		h2 := &http.Transport{Protocols: new(http.Protocols)}
		h2.Protocols.SetUnencryptedHTTP2(true)
		defer h2.CloseIdleConnections()
		for range 60 {
			req := a.signed([]byte("another body"))
			body, more := io.Pipe()
			defer more.Close()
			req.Body, req.ContentLength = body, 1<<20
			d := make(chan struct{})
			done = append(done, d)
			go func() {
				defer close(d)
				if resp, err := h2.RoundTrip(req.WithContext(ctx)); err == nil {
					resp.Body.Close()
				}
			}()
			go more.Write([]byte("x")) // ends with the pipe
		}
		for range 10 {
			if err := a.list(nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	// Those that are closed are still on their way out when the next come in, so this is a bound of twice as many.
	if most := a.most.Load(); most > 2*bound/streamBytes+60 {
		t.Errorf("%d requests at once; %d fit", most, bound/streamBytes)
	}
}

func TestManyKeyHoldersAtOnceAllProveThemselves(t *testing.T) {
	a := newAPI(t, door.Limits{Open: 200, Strangers: 8, PerAddress: 8, Young: 10 * time.Second})
	failed := make(chan error)
	const callers = 100
	for range callers {
		go func() { failed <- a.list(nil) }()
	}
	for range callers {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
}

func TestAnAPIKeyProvesItsConnectionBeforeTheBody(t *testing.T) {
	a := newAPI(t, door.Limits{Open: 20, Strangers: 4, PerAddress: 4})
	c := a.half("GET /model-invocation-jobs HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer key-carol\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
	in := bufio.NewReader(c)
	if line, err := in.ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") { // the key was looked at, and the body is asked for
		t.Fatalf("%q, %v", line, err)
	}
	for range 50 {
		a.half("")
	}
	if err := a.list(nil); err != nil {
		t.Fatal(err)
	}
	io.WriteString(c, "   ")
	if _, err := in.ReadString('\n'); err != nil { // the empty line after 100 Continue
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(in, nil)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("%v, %v", resp, err)
	}
}
