package s3serve

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"time"

	"github.com/gofiber/fiber/v3"
	"github.com/versity/versitygw/s3api"
	"github.com/versity/versitygw/s3api/middlewares"
	"github.com/versity/versitygw/s3api/utils"

	"github.com/batholith/batholith/internal/audit"
	"github.com/batholith/batholith/internal/door"
	"github.com/batholith/batholith/internal/kms"
)

// Options configure the server.
type Options struct {
	Dir      string    // directory of all data; created if missing
	Region   string    // region that requests must be signed for
	Owner    string    // account of keys without one, and of the buckets that the server makes itself
	Accounts []Account // key pairs that may sign requests
	// Authorizer narrows what callers may do in their account; nil: everything is allowed there.
	Authorizer Authorizer
	Audit      *audit.Log   // nil: none
	Sessions   Sessions     // temporary keys; nil: there are none
	Tokens     http.Handler // answers forms posted to the path /, which are requests to a token service (STS); nil: none
	Log        *slog.Logger // for faults; nil: discarded
	Door       door.Limits  // limits of the public listener; zero fields have defaults
	// MetaFiles stores metadata in files even if the file system has extended attributes. Use
	// it if the directory is copied by tools that drop them. It must not change during the life
	// of a directory.
	MetaFiles bool
	Keys      *kms.Ring // encrypt objects for clients that ask for it; nil or empty: they are refused
}

// Server is an S3 server over a directory. Only one Server may use a directory at a time.
type Server struct {
	app      *fiber.App
	store    *store
	accounts *accounts
	root     Account
	log      *slog.Logger
	limits   door.Limits
	private  *door.Private
}

// hostStyle is the domain of host names that begin with a bucket, as SDKs use them by default:
// http://bucket.localhost:4601/key. Many systems resolve such names without DNS.
const hostStyle = "localhost"

const (
	// The door limits connections and thereby requests. The gateway's own limits do not
	// distinguish strangers, key holders and this process, so they are set to values that are
	// never reached.
	maxConnections = 1 << 20
	maxRequests    = 1 << 20
	idleTimeout    = 3 * time.Minute  // longer than clients keep connections, so none is closed during a request
	stallTimeout   = 3 * time.Minute  // for the next bytes of a request, or for the client to accept bytes of an answer
	stopTimeout    = 10 * time.Second // for requests in flight at shutdown
)

// New opens the directory, creates what is missing and repairs what a crash left. Requests are
// served only by Serve.
func New(o Options) (*Server, error) {
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("find the S3 directory: %w", err)
	}
	buckets := filepath.Join(dir, "buckets")
	if err := os.MkdirAll(buckets, 0o700); err != nil {
		return nil, fmt.Errorf("make the S3 directory: %w", err)
	}
	root := Account{AccessKeyID: "batholith-internal", Secret: rand.Text()}
	accounts := newAccounts(o.Owner, root, o.Accounts)
	accounts.sessions = o.Sessions
	store, err := openStore(buckets, filepath.Join(dir, "meta"), o.MetaFiles, accounts, log, realDisk())
	if err != nil {
		return nil, err
	}
	store.region, store.authorizer = o.Region, o.Authorizer
	if o.Keys != nil && len(o.Keys.List()) > 0 {
		store.keys = o.Keys
	}
	app, err := gateway(store, root, o.Region, accounts)
	if err != nil {
		store.close()
		return nil, err
	}
	app.Server().ConnState = follow
	if o.Tokens != nil {
		app.Server().Handler = withTokens(o.Tokens, app.Server().Handler)
	}
	app.Server().Handler = audited(o.Audit, app.Server().Handler)
	return &Server{app: app, store: store, accounts: accounts, root: root, log: log, limits: o.Door, private: door.NewPrivate()}, nil
}

// gateway builds the HTTP side. The gateway's API can only listen on addresses by itself. Its
// application, which can serve any listener, is an unexported field and is read by reflection.
// New fails if a version of the gateway has no such field.
func gateway(store *store, root Account, region string, accounts *accounts) (*fiber.App, error) {
	utils.SetBucketNameValidationStrict(true)
	srv, err := s3api.New(store, middlewares.RootUserConfig{Access: root.AccessKeyID, Secret: root.Secret}, region, accounts,
		nil, nil, nil, nil, s3api.WithQuiet(), s3api.WithKeepAlive(), s3api.WithMpMaxParts(10_000),
		s3api.WithConcurrencyLimiter(maxConnections, maxRequests),
		s3api.WithMiddleware("/", origin), s3api.WithMiddleware("/", oneID), s3api.WithMiddleware("/", answers{store.log}.handle), s3api.WithMiddleware("/", locate),
		s3api.WithMiddleware("/", store.encryption), s3api.WithMiddleware("/", knownClass), s3api.WithMiddleware("/", presigned{accounts, region}.handle), s3api.WithMiddleware("/", bodies),
		s3api.WithMiddleware("/", chunked{accounts}.handle), s3api.WithMiddleware("/", forms{accounts, region}.handle))
	if err != nil {
		return nil, fmt.Errorf("build the embedded S3: %w", err)
	}
	field := reflect.ValueOf(srv).Elem().FieldByName("app")
	if !field.IsValid() || field.Type() != reflect.TypeFor[*fiber.App]() {
		return nil, errors.New("build the embedded S3: this version of versitygw has no fiber application")
	}
	if !streamOf.found {
		return nil, errors.New("build the embedded S3: this version of fasthttp keeps the bodies of requests in another way")
	}
	app := (*fiber.App)(field.UnsafePointer())
	server := app.Server()
	server.IdleTimeout = idleTimeout
	server.Logger = quiet{store.log}
	server.SecureErrorLogMessage = true // keeps request headers, which may contain a signature, out of the log
	server.Handler, server.ErrorHandler = coded(store.withDefaults(server.Handler)), unreadable
	server.DisablePreParseMultipartForm = true // otherwise forms would be read, and written to temporary files, before the sender is authenticated
	return app, nil
}

// Key returns a key pair with all rights of the account Options.Owner, for the process that embeds the server. It is new at each start.
func (s *Server) Key() (accessKeyID, secret string) { return s.root.AccessKeyID, s.root.Secret }

// SetAccounts replaces the accounts. The server may be running.
func (s *Server) SetAccounts(list []Account) { s.accounts.set(list) }

// EnsureBucket creates a bucket unless it exists.
func (s *Server) EnsureBucket(name string) error {
	if !utils.IsValidBucketName(name) {
		return fmt.Errorf("make bucket %q: not a valid bucket name", name)
	}
	return s.store.ensureBucket(context.Background(), name)
}

// Dial connects to the server from within this process, over an in-memory connection that other
// clients cannot exhaust.
func (s *Server) Dial(ctx context.Context) (net.Conn, error) { return s.private.Dial(ctx) }

// Serve answers requests on ln and those of Dial until ctx ends. Then it accepts no more, waits
// up to stopTimeout for requests in flight, and returns nil. It always closes ln and the
// server.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	defer s.store.close()
	s.app.Handler() // builds the routes
	entrance := door.Listen(ln, s.limits, s.log)
	doors := []*impatient{{Listener: entrance}, {Listener: s.private}}
	served := make(chan error, len(doors))
	for _, d := range doors {
		go func() { served <- s.app.Server().Serve(d) }() // each listener has its own connections
	}
	wait := len(doors)
	var err error
	select {
	case err = <-served:
		err = fmt.Errorf("serve S3 on %s: %w", ln.Addr(), err)
		wait--
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	entrance.Dismiss()
	for _, d := range doors {
		d.hangUp()
	}
	if err := s.app.ShutdownWithContext(stop); err != nil {
		s.log.Warn("embedded S3: requests were cut off", "error", err)
	}
	for _, d := range doors {
		d.Close() // also if the shutdown came before Serve listened
	}
	for range wait {
		_ = <-served // the error says only that the server was shut down
	}
	return err
}

// Close releases what New opened. It is for a server that is never served.
func (s *Server) Close() error {
	s.store.close()
	return nil
}

// quiet writes the HTTP server's messages about single connections to the debug log.
type quiet struct{ log *slog.Logger }

// Printf implements fasthttp.Logger.
func (q quiet) Printf(format string, args ...any) {
	q.log.Debug("embedded S3: " + fmt.Sprintf(format, args...))
}

var _ io.Closer = (*Server)(nil)
