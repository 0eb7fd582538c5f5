package upstream

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
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
	"github.com/batholith/batholith/internal/certs"
	"github.com/batholith/batholith/internal/plain"
)

const (
	// maxRefusal is how many bytes of an error's body are read; the message is at its
	// beginning.
	maxRefusal = 64 << 10
	// maxRedirects is the maximum number of redirects, within one host. Proxies that normalise
	// paths send them.
	maxRedirects = 3
	// DefaultTimeout bounds one attempt.
	DefaultTimeout = 10 * time.Minute
	// probeTimeout bounds each of the small requests: list of models, slots, metrics.
	probeTimeout = 10 * time.Second
	// defaultConnections is the maximum number of idle connections while the limit is not
	// known. Only connections that were needed exist.
	defaultConnections = 4096
	// maxHeader is how many bytes of an answer's header are read. The headers that matter are
	// short.
	maxHeader = 256 << 10
	// maxList is the longest answer to a small request, in bytes.
	maxList = 8 << 20
	// bufferSize is the size of connection buffers in bytes: most requests and answers fit, so
	// each takes one system call.
	bufferSize = 16 << 10
)

// Options describe one model server.
type Options struct {
	URL      string // base URL of the protocol's paths, for example http://127.0.0.1:8000/v1
	Protocol string // name of the protocol; "": openai
	Model    string // the server's own name for the model
	APIKey   string // sent as Authorization: Bearer; never appears in a message
	// MaxInFlight is the configured maximum of parallel requests; 0: Batholith finds it. As
	// many idle connections are kept open.
	MaxInFlight int
	// CAFile is a PEM file with the server's certificate authorities; "": the system's.
	CAFile string
	// Priority is the place of batch requests in the server's queue: a number as the server takes
	// it, PriorityLowest, or "" to send none. See [Backend.Priority].
	Priority string
	// NoCanary forbids Batholith to send test requests of its own to the server.
	NoCanary  bool
	Timeout   time.Duration     // of one attempt; 0: DefaultTimeout
	Transport http.RoundTripper // nil: the backend creates its own
}

// Backend is one model server. It is safe for concurrent use. Its only state is idle
// connections.
type Backend struct {
	o        Options
	protocol *protocol
	base     *url.URL
	host     string // host and port, for messages
	client   *http.Client
	fresh    *http.Client // opens a new connection for each request
	boot     string       // random prefix of request ids, unique to this process

	server   string // see Server
	network  string // key of the network through which the server is reached; "": the process's own
	networks networks

	asked atomic.Int64 // number of requests so far, for request ids
	page  atomic.Int32 // index in pages, plus 1, of the page that the server has; 0: not known
}

// New checks the options. It does not contact the server; see [Backend.Probe].
func New(o Options) (*Backend, error) {
	o.Protocol = cmp.Or(o.Protocol, "openai")
	p, err := protocolOf(o.Protocol)
	if err != nil {
		return nil, err
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
		t := transport(o.MaxInFlight)
		if o.CAFile != "" {
			roots, err := certs.Pool(o.CAFile)
			if err != nil {
				return nil, fmt.Errorf("read the authorities of backend %s: %w", base.Host, err)
			}
			t.TLSClientConfig = &tls.Config{RootCAs: roots}
		}
		o.Transport = t
	}
	transport := ""
	if !own {
		transport = fmt.Sprintf("%p", o.Transport)
	}
	server := fmt.Sprintf("%q %q %q %x %d %t %v %s%s%s", base, o.Protocol, o.Model, sha256.Sum256([]byte(o.APIKey)), o.MaxInFlight, o.NoCanary, o.Timeout, transport, o.CAFile, o.Priority)
	return (&Backend{server: server, protocol: p, base: base, host: base.Host}).with(o), nil
}

// with returns a backend of the same server with other options.
func (b *Backend) with(o Options) *Backend {
	return &Backend{o: o, server: b.server, protocol: b.protocol, base: b.base, host: b.host, client: &http.Client{Transport: o.Transport, CheckRedirect: sameHost},
		fresh: &http.Client{Transport: withoutKeeping(o.Transport), CheckRedirect: sameHost}, boot: rand.Text() + "-"}
}

// withoutKeeping returns a transport with the same settings that opens a new connection for
// each request. Transports without connections are returned unchanged.
func withoutKeeping(rt http.RoundTripper) http.RoundTripper {
	t, ok := rt.(*http.Transport)
	if !ok {
		return rt
	}
	t = t.Clone()
	t.DisableKeepAlives = true
	return t
}

// transport keeps an idle connection for every request in flight. The default of net/http, two
// per host, would open a new connection for most requests.
func transport(limit int) *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = cmp.Or(limit, defaultConnections)
	t.MaxIdleConns = 0
	t.ReadBufferSize, t.WriteBufferSize = bufferSize, bufferSize
	t.DisableCompression = true // answers are small and the network is fast; CPU is scarce
	t.MaxResponseHeaderBytes = maxHeader
	t.ResponseHeaderTimeout = 0 // a long generation sends nothing until its end; the attempt's timeout bounds it
	return t
}

// sameHost allows redirects within the same host and scheme, with the same method. Another host
// must not get prompts and the API key, and a POST that became a GET would be a different
// request.
func sameHost(req *http.Request, via []*http.Request) error {
	first := via[0]
	if req.URL.Host != first.URL.Host || req.URL.Scheme != first.URL.Scheme || req.Method != first.Method || len(via) > maxRedirects {
		return http.ErrUseLastResponse
	}
	return nil
}

// String returns the backend's host and port, without path and user.
func (b *Backend) String() string { return b.host }

// ModelName returns the server's own name for the model.
func (b *Backend) ModelName() string { return b.o.Model }

// Protocol returns the name of the server's protocol.
func (b *Backend) Protocol() string { return b.o.Protocol }

// NoCanary reports whether test requests are forbidden. Without them it takes longer to tell a
// bad record from a bad server.
func (b *Backend) NoCanary() bool { return b.o.NoCanary }

// Key is equal for two backends with the same server, model and options that are reached through
// the same network. It contains no secret: the API key is hashed.
func (b *Backend) Key() string { return b.Server() + " " + b.network }

// Server is Key without the network: equal for the copies that Over makes of a backend.
func (b *Backend) Server() string { return b.server }

// MaxInFlight returns the configured maximum of parallel requests; 0: Batholith finds it.
func (b *Backend) MaxInFlight() int { return b.o.MaxInFlight }

// errTimeout is the cause of the attempt's context when the attempt's timeout expires. It tells
// that apart from the caller's cancellation.
var errTimeout = errors.New("the attempt's time ran out")

// Do sends one call and returns the body of the 200 answer. Any other result is a
// [*batholith.Failure], or a [*batholith.MediaError]. If ctx was cancelled, Do returns its cause.
// In these two cases the attempt says nothing about the record or the backend.
func (b *Backend) Do(ctx context.Context, call batholith.Call) ([]byte, error) {
	attempt, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p := newPatience(b.o.Timeout, call.Room, cancel)
	defer p.timer.Stop()
	var room batholith.Room
	if call.Room != nil {
		room = p
	}
	s := &sending{patience: b.o.Timeout, late: "if answers take longer, set a longer timeout for the backend"}
	body, err := b.post(attempt, call, room, s)
	if err == nil {
		return body, nil
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if m, ok := errors.AsType[*batholith.MediaError](err); ok {
		return nil, m
	}
	f := b.classify(attempt, err, s)
	f.Crash = f.Crash && !p.waited // while we waited for memory, the server may have given up on us
	return nil, f
}

// post sends the call as a POST and reads the answer. room is nil if memory is unlimited.
func (b *Backend) post(ctx context.Context, call batholith.Call, room batholith.Room, s *sending) ([]byte, error) {
	req, client, err := b.request(ctx, call, s)
	if err != nil {
		return nil, err
	}
	return b.exchange(client, req, call.Body, s, func(resp *http.Response) ([]byte, error) { return readAll(ctx, resp, room) })
}

// request makes the request of a call, and selects the client that sends it.
func (b *Backend) request(ctx context.Context, call batholith.Call, s *sending) (*http.Request, *http.Client, error) {
	req, err := http.NewRequestWithContext(s.trace(ctx), http.MethodPost, b.base.String()+call.Path, bytes.NewReader(call.Body))
	if err != nil {
		return nil, nil, err
	}
	if _, ok := b.o.Transport.(inProcess); ok {
		req.Body = memoryBody{bytes.NewReader(call.Body), call.Body}
	}
	if len(call.Media) > 0 {
		s.media = newPayload(ctx, call)
		s.media.attach(req)
	}
	req.Header.Set("Content-Type", "application/json")
	for _, h := range call.Headers {
		req.Header.Set(h[0], h[1])
	}
	if call.Fresh {
		return req, b.fresh, nil
	}
	return req, b.client, nil
}

// sending records the progress of one attempt. The transport's goroutines set the fields.
type sending struct {
	hooks     httptrace.ClientTrace
	patience  time.Duration // timeout of the attempt
	late      string        // what to do about an answer that does not come in that time
	connected atomic.Bool   // a connection exists, with TLS if the URL asks for it
	media     *payload      // the body, if it has media
	wrote     atomic.Bool   // the request was sent completely
	answered  atomic.Bool   // the head of an HTTP answer arrived
}

// trace returns a context that makes the transport report its progress to s.
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

// exchange sends a request with a body, nil if it has none. It returns the body of a 200 answer, or an error that classify
// understands.
func (b *Backend) exchange(client *http.Client, req *http.Request, sent []byte, s *sending, read func(*http.Response) ([]byte, error)) ([]byte, error) {
	if req.Header.Get("Accept") == "" {
		req.Header.Set("Accept", "application/json")
	}
	req.Header.Set("X-Request-Id", b.requestID())
	if err := b.protocol.authenticate(b, req, sent); err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err == nil {
		defer resp.Body.Close()
	}
	if fault := s.media.fault(); fault != nil { // the server got a part of the request, whatever it answered
		return nil, fault
	}
	if err != nil {
		return nil, err
	}
	s.answered.Store(true)
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, maxRefusal)) // an incomplete body is enough
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

// requestID returns an id that no other request has, in this process or another.
func (b *Backend) requestID() string {
	return string(strconv.AppendInt(append(make([]byte, 0, 48), b.boot...), b.asked.Add(1), 36))
}

// mangled is an answer that cannot be read.
type mangled struct {
	how    string // in our words
	detail string // the server's words, for the record's error line only
}

// Error leaves out detail, which may quote the server.
func (e *mangled) Error() string { return "the answer " + e.how }
