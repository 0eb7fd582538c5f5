package upstream

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/plain"
)

const (
	// maxRefusal is how much of an error's body is read; what matters stands at its beginning.
	maxRefusal = 64 << 10
	// maxRedirects on one host, as behind a path-normalising proxy.
	maxRedirects = 3
	// DefaultTimeout of one attempt.
	DefaultTimeout = 10 * time.Minute
	// probeTimeout bounds the small questions: is it there, how many slots has it.
	probeTimeout = 10 * time.Second
	// defaultConnections may be kept open while the limit is still to be found. Only those that were needed are.
	defaultConnections = 4096
	// maxHeader bounds what is read of an answer's header, in bytes; what counts in it are a few short lines.
	maxHeader = 256 << 10
	// maxList bounds the answers to small questions, such as which models there are.
	maxList = 8 << 20
	// bufferSize holds most requests and answers, so that each is one system call.
	bufferSize = 16 << 10
)

// Options describe one model server.
type Options struct {
	URL      string // what the protocol's paths are appended to: http://127.0.0.1:8000/v1
	Protocol string // "openai", or "" for the same
	Model    string // the name that the server knows the model by
	APIKey   string // sent as Bearer; never in a message
	// MaxInFlight is the configured limit, 0 when it is to be found. Connections are kept open for as many.
	MaxInFlight int
	// NoCanary says that the server must never get a request of our own.
	NoCanary  bool
	Timeout   time.Duration     // of one attempt; 0: DefaultTimeout
	Transport http.RoundTripper // nil: one of the backend's own
}

// Backend is one model server. It is safe for concurrent use and holds nothing but idle connections.
type Backend struct {
	o      Options
	base   *url.URL
	host   string // for messages
	client *http.Client
	fresh  *http.Client // makes a connection for each request and keeps none
	boot   string       // what the ids of this backend's requests begin with

	ownTransport bool // it was made by New, with nothing but the options in it

	asked atomic.Int64 // requests so far
}

// New checks the options. It does not ask whether the server is there; see [Backend.Probe].
func New(o Options) (*Backend, error) {
	if p := cmp.Or(o.Protocol, "openai"); p != "openai" {
		return nil, fmt.Errorf("backend protocol %q is not known; known: openai", p)
	}
	base, err := url.Parse(strings.TrimRight(o.URL, "/"))
	if err != nil {
		return nil, fmt.Errorf("read backend url: %w", withoutURL(err))
	}
	if base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return nil, fmt.Errorf("backend url %q should begin with http:// or https:// and a host", base.Redacted())
	}
	o.Timeout = cmp.Or(o.Timeout, DefaultTimeout)
	own := o.Transport == nil
	if own {
		o.Transport = transport(o.MaxInFlight)
	}
	return &Backend{o: o, ownTransport: own, base: base, host: base.Host, client: &http.Client{Transport: o.Transport, CheckRedirect: sameHost},
		fresh: &http.Client{Transport: withoutKeeping(o.Transport), CheckRedirect: sameHost}, boot: rand.Text() + "-"}, nil
}

// withoutKeeping is a transport with the same settings that makes a connection for each request. Transports that have no connections
// are returned as they are.
func withoutKeeping(rt http.RoundTripper) http.RoundTripper {
	t, ok := rt.(*http.Transport)
	if !ok {
		return rt
	}
	t = t.Clone()
	t.DisableKeepAlives = true
	return t
}

// transport keeps a connection open for every request in flight: net/http's two would make most requests dial anew.
func transport(limit int) http.RoundTripper {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = cmp.Or(limit, defaultConnections)
	t.MaxIdleConns = 0
	t.ReadBufferSize, t.WriteBufferSize = bufferSize, bufferSize
	t.DisableCompression = true // answers are small, the way is short, and CPU is what a batch has least of
	t.MaxResponseHeaderBytes = maxHeader
	t.ResponseHeaderTimeout = 0 // a long generation is silent until its end; the attempt's timeout bounds it
	return t
}

// sameHost lets a server send a request on within itself. Another host would be given prompts and key that are not for it,
// and a POST that became a GET on the way would ask something else.
func sameHost(req *http.Request, via []*http.Request) error {
	first := via[0]
	if req.URL.Host != first.URL.Host || req.URL.Scheme != first.URL.Scheme || req.Method != first.Method || len(via) > maxRedirects {
		return http.ErrUseLastResponse
	}
	return nil
}

// String names the backend in messages: its host, without path and user.
func (b *Backend) String() string { return b.host }

// ModelName is the name that the server knows the model by.
func (b *Backend) ModelName() string { return b.o.Model }

// NoCanary tells that the server must never get a request of our own, though it would tell a bad record from a bad server.
func (b *Backend) NoCanary() bool { return b.o.NoCanary }

// Key is the same for two backends that are the same server and model, reached in the same way. It holds no secret.
func (b *Backend) Key() string {
	transport := ""
	if !b.ownTransport {
		transport = fmt.Sprintf("%p", b.o.Transport)
	}
	return fmt.Sprintf("%q %q %q %x %d %t %v %s", b.base, b.o.Protocol, b.o.Model, sha256.Sum256([]byte(b.o.APIKey)), b.o.MaxInFlight, b.o.NoCanary, b.o.Timeout, transport)
}

// MaxInFlight is the configured limit, 0 when it is to be found.
func (b *Backend) MaxInFlight() int { return b.o.MaxInFlight }

// errTimeout is the cause of an attempt's context when its own time ran out, not the caller's.
var errTimeout = errors.New("the attempt's time ran out")

// Do sends one call and returns the body of its 200. Any other end is a [*batholith.Failure], except when ctx ended: then it
// is the cause of ctx, and the attempt says nothing about record or backend.
func (b *Backend) Do(ctx context.Context, call batholith.Call) ([]byte, error) {
	attempt, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p := newPatience(b.o.Timeout, call.Room, cancel)
	defer p.timer.Stop()
	var room batholith.Room
	if call.Room != nil {
		room = p
	}
	s := &sending{patience: b.o.Timeout}
	body, err := b.post(attempt, call, room, s)
	if err == nil {
		return body, nil
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	f := b.classify(attempt, err, s)
	f.Crash = f.Crash && !p.waited // it may have given up on us
	return nil, f
}

func (b *Backend) post(ctx context.Context, call batholith.Call, room batholith.Room, s *sending) ([]byte, error) {
	req, err := http.NewRequestWithContext(s.trace(ctx), http.MethodPost, b.base.String()+call.Path, bytes.NewReader(call.Body))
	if err != nil {
		return nil, err
	}
	if _, ok := b.o.Transport.(inProcess); ok {
		req.Body = memoryBody{bytes.NewReader(call.Body), call.Body}
	}
	req.Header.Set("Content-Type", "application/json")
	client := b.client
	if call.Fresh {
		client = b.fresh
	}
	return b.exchange(client, req, s, func(resp *http.Response) ([]byte, error) { return readAll(ctx, resp, room) })
}

// sending is how far an attempt has come. The transport's goroutines set the fields.
type sending struct {
	hooks     httptrace.ClientTrace
	patience  time.Duration // the time that the attempt has
	connected atomic.Bool   // there was a connection, with TLS where the URL says so
	wrote     atomic.Bool   // the request was written in full
	answered  atomic.Bool   // the head of an answer of HTTP came
}

// trace has the transport report to s.
func (s *sending) trace(ctx context.Context) context.Context {
	s.hooks.GotConn = s.gotConn
	s.hooks.WroteRequest = s.wroteRequest
	return httptrace.WithClientTrace(ctx, &s.hooks)
}

func (s *sending) gotConn(httptrace.GotConnInfo) { s.connected.Store(true) }

func (s *sending) wroteRequest(info httptrace.WroteRequestInfo) {
	if info.Err == nil {
		s.wrote.Store(true)
	}
}

// exchange sends a request and reads its answer: the body of a 200, or an error that classify knows.
func (b *Backend) exchange(client *http.Client, req *http.Request, s *sending, read func(*http.Response) ([]byte, error)) ([]byte, error) {
	req.Header.Set("Accept", "application/json")
	req.Header.Set("X-Request-Id", b.requestID())
	if b.o.APIKey != "" {
		req.Header.Set("Authorization", "Bearer "+b.o.APIKey)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	s.answered.Store(true)
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, maxRefusal)) // what was read of it will do
		return nil, newRefusal(resp, body)
	}
	if e := resp.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return nil, &mangled{how: "has a Content-Encoding, which was not asked for", detail: ": " + plain.Short(e, 40)}
	}
	body, err := read(resp)
	if err != nil {
		return nil, err
	}
	if e, ok := errorInside(body); ok {
		return nil, &refusal{status: e.status(), inside: true, said: e, retryAfter: retryAfter(resp.Header)}
	}
	return body, nil
}

// requestID is another for every request, of this process and of all.
func (b *Backend) requestID() string {
	return string(strconv.AppendInt(append(make([]byte, 0, 48), b.boot...), b.asked.Add(1), 36))
}

// mangled is an answer that cannot be read, whatever it says.
type mangled struct {
	how    string // our own words
	detail string // the server's; goes to the record alone
}

func (e *mangled) Error() string { return "the answer " + e.how }
