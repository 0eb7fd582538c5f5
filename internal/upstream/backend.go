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
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/certs"
	"github.com/batholith/batholith/internal/dialect"
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
	APIKey   string // never appears in a message
	// APIKeyFile is a file with the API key, which is read again when it changes; "": APIKey.
	APIKeyFile string
	// APIKeyHeader is the header that carries the key as it is; "": that of the protocol.
	APIKeyHeader string
	Headers      []Header // further headers of each request
	// ExtraBody is a JSON object that is merged into the body of each request, as a JSON Merge
	// Patch (RFC 7396); "": none.
	ExtraBody string
	Paths     Paths
	// Proxy is the URL of a proxy: http, https or socks5; ProxyOff: none; "": that of the process's
	// environment.
	Proxy string
	AWS   AWS // keys and region for the protocol bedrock, if it has no APIKey
	// MaxInFlight is the configured maximum of parallel requests; 0: Batholith finds it. As
	// many idle connections are kept open.
	MaxInFlight int
	// CAFile is a PEM file with the server's certificate authorities; "": the system's.
	CAFile string
	// Priority is the place of batch requests in the server's queue: a number as the server takes
	// it, PriorityLowest, or "" to send none. See [Backend.Priority].
	Priority string
	// NoMixing keeps records in prompt order alone. See [Backend.NoMixing].
	NoMixing bool
	// NoCanary forbids Batholith to send test requests of its own to the server.
	NoCanary  bool
	Weight    int               // share of the requests of its model, see dispatch; 0: not set
	Standby   bool              // it is used only while no other backend of the model can be
	Timeout   time.Duration     // of one attempt; 0: DefaultTimeout
	Transport http.RoundTripper // nil: the backend creates its own
	// Process runs the server; nil: something else does. The host in URL is then only a name.
	Process Process
	// Sole allows another name than Model: if the server lists one model only, Probe takes its name. It is for a server that was started for
	// this model, under a name that the settings do not repeat.
	Sole bool
	// Made is the command that starts the server, which decides what answers under its name; "": none is known.
	Made string
}

// ProxyOff is the value of Options.Proxy for a direct connection.
const ProxyOff = "off"

// Header is a header that each request to a backend carries. Its value is Value, or the content of
// File, which is read again when it changes.
type Header struct {
	Name  string
	Value string
	File  string
	// Secret means that the value never appears in a message. That of a file never does.
	Secret bool
}

// Backend is one model server. It is safe for concurrent use. Its only state is idle
// connections, and what the server has said about its model.
type Backend struct {
	o        Options
	protocol *protocol
	base     *url.URL
	prefix   string // base without its query
	key      *credential
	headers  []header
	extra    patch
	contexts *contexts
	joiner   *joiner
	host     string // host and port, for messages
	client   *http.Client
	fresh    *http.Client // opens a new connection for each request
	boot     string       // random prefix of request ids, unique to this process

	server   string // see Server
	network  string // key of the network through which the server is reached; "": the process's own
	networks networks

	signing *signing     // of the protocol bedrock
	skew    atomic.Int64 // likewise: the server's clock minus ours, in nanoseconds

	asked atomic.Int64                        // number of requests so far, for request ids
	sole  atomic.Pointer[string]              // name of the only model that the server lists; nil: see Options.Sole
	page  atomic.Int32                        // index in pages, plus 1, of the page that the server has; 0: not known
	can   atomic.Pointer[batholith.Abilities] // latest answer to Abilities; nil: none
}

// New checks the options. It does not contact the server; see [Backend.Probe].
func New(o Options) (*Backend, error) {
	o.Protocol = cmp.Or(o.Protocol, "openai")
	p, err := protocolOf(o.Protocol)
	if err != nil {
		return nil, err
	}
	if o.URL == "" && o.Protocol == dialect.ProtocolBedrock && o.AWS.Region != "" {
		o.URL = runtimeURL(o.AWS.Region)
	}
	base, err := url.Parse(strings.TrimRight(o.URL, "/"))
	if err != nil {
		return nil, fmt.Errorf("read backend url: %w", withoutURL(err))
	}
	if base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return nil, fmt.Errorf("backend url %q should begin with http:// or https:// and a host", base.Redacted())
	}
	o.Timeout = cmp.Or(o.Timeout, DefaultTimeout)
	b := &Backend{server: o.identity(base), protocol: p, base: base, prefix: prefixOf(base), contexts: &contexts{}, host: base.Host}
	if b.extra, err = newPatch(o.ExtraBody); err != nil {
		return nil, fmt.Errorf("backend %s: %w", base.Host, err)
	}
	if err := b.secrets(o); err != nil {
		return nil, fmt.Errorf("backend %s: %w", base.Host, err)
	}
	if o.Protocol == dialect.ProtocolBedrock && o.APIKey == "" && o.APIKeyFile == "" {
		if b.signing, err = newSigning(o, base.Hostname()); err != nil {
			return nil, err
		}
	}
	if o.Transport == nil {
		if o.Transport, err = o.transport(); err != nil {
			return nil, fmt.Errorf("backend %s: %w", base.Host, err)
		}
		if t, ok := o.Transport.(*http.Transport); ok && o.Process != nil {
			through(t, o.Process)
		}
	}
	return b.with(o), nil
}

// identity is a text that is equal for equal options. It contains no secret: they are hashed.
func (o Options) identity(base *url.URL) string {
	transport := ""
	if o.Transport != nil {
		transport = fmt.Sprintf("%p", o.Transport)
	}
	hidden := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %v %q %q %q", o.APIKey, o.APIKeyFile, o.APIKeyHeader, o.Headers, o.ExtraBody, o.Paths, o.Proxy))
	authorities := ""
	if o.CAFile != "" { // a new file under the same name makes another backend
		text, _ := os.ReadFile(o.CAFile) // transport tells the error
		authorities = fmt.Sprintf("%x", sha256.Sum256(text))
	}
	return fmt.Sprintf("%q %q %q %x %d %d %t %t %t %v %s%s%s%s%s", base, o.Protocol, o.Model, hidden, o.MaxInFlight, o.Weight, o.NoMixing, o.NoCanary, o.Standby, o.Timeout, transport, o.CAFile, authorities, o.Priority, o.AWS)
}

// transport is the backend's own transport.
func (o Options) transport() (*http.Transport, error) {
	t := transport(o.MaxInFlight)
	if o.CAFile != "" {
		roots, err := certs.Pool(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read the certificate authorities: %w", err)
		}
		t.TLSClientConfig = &tls.Config{RootCAs: roots}
	}
	switch o.Proxy {
	case "":
	case ProxyOff:
		t.Proxy = nil
	default:
		u, err := url.Parse(o.Proxy)
		if err != nil {
			return nil, fmt.Errorf("read the url of the proxy: %w", withoutURL(err))
		}
		t.Proxy = http.ProxyURL(u)
	}
	return t, nil
}

// with returns a backend of the same server with other options.
func (b *Backend) with(o Options) *Backend {
	return &Backend{o: o, server: b.server, protocol: b.protocol, signing: b.signing, base: b.base, prefix: b.prefix, key: b.key, headers: b.headers, extra: b.extra, contexts: b.contexts, host: b.host,
		client: &http.Client{Transport: o.Transport, CheckRedirect: sameHost},
		fresh:  &http.Client{Transport: withoutKeeping(o.Transport), CheckRedirect: sameHost}, boot: rand.Text() + "-", joiner: &joiner{}}
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
	t.OnProxyConnectResponse = tunnelled
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
func (b *Backend) ModelName() string {
	if name := b.sole.Load(); name != nil {
		return *name
	}
	return b.o.Model
}

// Recipe is a text of the settings that decide what the server answers to a record: it is the same for every address. It may hold secrets,
// so it is only hashed.
func (b *Backend) Recipe() string {
	return fmt.Sprintf("%q %q %q %q", b.o.Protocol, b.o.Model, b.o.ExtraBody, b.o.Made)
}

// Protocol returns the name of the server's protocol.
func (b *Backend) Protocol() string { return b.o.Protocol }

// Weight is the backend's share of the requests of its model; 0: not set.
func (b *Backend) Weight() int { return b.o.Weight }

// Standby reports whether the server is used only while no other one of the model can be.
func (b *Backend) Standby() bool { return b.o.Standby }

// NoMixing reports whether records with long prompts and records with long answers must not be sent at the same time where prompt order
// brings them one after the other.
func (b *Backend) NoMixing() bool { return b.o.NoMixing }

// NoCanary reports whether test requests are forbidden. Without them it takes longer to tell a
// bad record from a bad server.
func (b *Backend) NoCanary() bool { return b.o.NoCanary }

// Key is equal for two backends with the same server, model and options that are reached through
// the same network. It contains no secret: the API key is hashed.
func (b *Backend) Key() string { return b.Server() + " " + b.network }

// Server is Key without the network: equal for the copies that Over makes of a backend.
func (b *Backend) Server() string { return b.server }

// Origin is equal for two backends that reach the same model on the same server, whatever their other options are.
func (b *Backend) Origin() string { return b.base.Redacted() + " " + b.o.Model }

// Address is the server's base URL without user and query, for messages and for the commands that name a server.
func (b *Backend) Address() string {
	u := *b.base
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}

// MaxInFlight returns the configured maximum of parallel requests; 0: Batholith finds it.
func (b *Backend) MaxInFlight() int { return b.o.MaxInFlight }

// errTimeout is the cause of the attempt's context when the attempt's timeout expires. It tells
// that apart from the caller's cancellation.
var errTimeout = errors.New("the attempt's time ran out")

// Do sends one call and returns the body of the 200 answer. Any other result is a
// [*batholith.Failure], or a [*batholith.MediaError]. If ctx was cancelled, Do returns its cause.
// In these two cases the attempt says nothing about the record or the backend.
func (b *Backend) Do(ctx context.Context, call batholith.Call) ([]byte, error) {
	if b.protocol.send != nil {
		return b.protocol.send(b, ctx, call)
	}
	attempt, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p := newPatience(b.o.Timeout, call.Room, cancel)
	defer p.timer.Stop()
	var room batholith.Room
	if call.Room != nil {
		room = p
	}
	s := b.newSending()
	sent, err := b.patched(attempt, call.Body)
	if err != nil {
		return nil, err
	}
	call.Body = sent
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
	req, err := http.NewRequestWithContext(s.trace(ctx), http.MethodPost, b.address(b.o.Paths.of(call.Path)), bytes.NewReader(call.Body))
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

// newSending returns the progress of a call, which may take as long as the backend's timeout.
func (b *Backend) newSending() *sending {
	return &sending{patience: b.o.Timeout, late: "if answers take longer, set a longer timeout for the backend"}
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
	body, err := b.try(client, req, sent, s, read)
	if r, ok := errors.AsType[*refusal](err); !ok || !r.again {
		return body, err
	}
	if req.GetBody != nil {
		if req.Body, err = req.GetBody(); err != nil {
			return nil, err
		}
	}
	return b.try(client, req, sent, s, read)
}

// try is exchange without the second request.
func (b *Backend) try(client *http.Client, req *http.Request, sent []byte, s *sending, read func(*http.Response) ([]byte, error)) ([]byte, error) {
	req.Header.Set("X-Request-Id", b.requestID())
	if err := b.sign(req, sent); err != nil {
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
		r := newRefusal(resp, body)
		r.again = b.protocol.again != nil && b.protocol.again(b, resp, r.said)
		return nil, r
	}
	if e := resp.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return nil, &mangled{how: "has a Content-Encoding, which was not asked for", detail: ": " + plain.Short(e, 40)}
	}
	body, err := read(resp)
	if err != nil {
		return nil, err
	}
	if b.protocol.read != nil {
		body = b.protocol.read(req, resp, body)
	}
	if e, ok := errorInside(body); ok {
		return nil, &refusal{status: e.status(), inside: true, said: e, retryAfter: retryAfter(resp.Header)}
	}
	return body, nil
}

// patched returns a body with what the protocol and the backend's settings add to it.
func (b *Backend) patched(ctx context.Context, body []byte) (_ []byte, err error) {
	if b.protocol.prepare != nil {
		if body, err = b.protocol.prepare(ctx, b, body); err != nil {
			return nil, err
		}
	}
	if len(b.extra) == 0 {
		return body, nil
	}
	return b.extra.apply(body), nil
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
