package s3serve

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"time"

	"github.com/gofiber/fiber/v3"
	"github.com/versity/versitygw/s3api"
	"github.com/versity/versitygw/s3api/middlewares"
	"github.com/versity/versitygw/s3api/utils"

	"github.com/batholith/batholith/internal/door"
)

// Options say what to serve to whom.
type Options struct {
	Dir      string       // holds everything; made if missing
	Region   string       // that requests must be signed for
	Owner    string       // account that owns every bucket: what clients may expect as bucket owner
	Accounts []Account    // who may sign requests
	Log      *slog.Logger // of faults; nil discards them
	Door     door.Limits  // of the public listener; zero fields have defaults
	// MetaFiles keeps metadata in files also where the file system has extended attributes, for a directory that is copied
	// by tools that drop them. It must not change over the life of a directory.
	MetaFiles bool
}

// Server is an S3 over a directory. Only one may use a directory at a time.
type Server struct {
	app      *fiber.App
	store    *store
	accounts *accounts
	root     Account
	log      *slog.Logger
	limits   door.Limits
	private  *door.Private
}

// hostStyle is the domain below which host names may begin with a bucket, as SDKs write them unless they are told not to:
// http://bucket.localhost:4601/key. Many systems resolve such names by themselves.
const hostStyle = "localhost"

const (
	// The door bounds connections, and with them requests: the gateway's own bounds, which know no difference between strangers, key
	// holders and this process, are never reached.
	maxConnections = 1 << 20
	maxRequests    = 1 << 20
	idleTimeout    = 3 * time.Minute // longer than clients keep connections, so that none is closed under a request
	stallTimeout   = 3 * time.Minute // for the next bytes of a request, or of an answer to be taken
	stopTimeout    = 10 * time.Second
)

// New opens the directory, makes what is missing and mends what a crash left behind. Nothing is served before Serve.
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
	store, err := openStore(buckets, filepath.Join(dir, "meta"), o.MetaFiles, accounts, log, realDisk())
	if err != nil {
		return nil, err
	}
	store.region = o.Region
	app, err := gateway(store, root, o.Region, accounts)
	if err != nil {
		store.close()
		return nil, err
	}
	app.Server().ConnState = follow
	return &Server{app: app, store: store, accounts: accounts, root: root, log: log, limits: o.Door, private: door.NewPrivate()}, nil
}

// gateway builds the HTTP side. The gateway can only listen by itself, on addresses; its application, which could serve any
// listener, is a field that it does not export. It is taken out by name, and a version without it is refused here.
func gateway(store *store, root Account, region string, accounts *accounts) (*fiber.App, error) {
	utils.SetBucketNameValidationStrict(true)
	srv, err := s3api.New(store, middlewares.RootUserConfig{Access: root.AccessKeyID, Secret: root.Secret}, region, accounts,
		nil, nil, nil, nil, s3api.WithQuiet(), s3api.WithKeepAlive(), s3api.WithMpMaxParts(10_000),
		s3api.WithConcurrencyLimiter(maxConnections, maxRequests),
		s3api.WithMiddleware("/", origin), s3api.WithMiddleware("/", oneID), s3api.WithMiddleware("/", answers{store.log}.handle), s3api.WithMiddleware("/", locate),
		s3api.WithMiddleware("/", noEncryption), s3api.WithMiddleware("/", knownClass), s3api.WithMiddleware("/", presigned{accounts, region}.handle), s3api.WithMiddleware("/", bodies),
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
	server.SecureErrorLogMessage = true // without the head of a request, which may hold a signature
	server.Handler, server.ErrorHandler = coded(server.Handler), unreadable
	server.DisablePreParseMultipartForm = true // which would take in a form, and write it to temporary files, before anybody asks who sends it
	return app, nil
}

// Key is a key pair that may do everything. It is made anew at each start, for the process that embeds the server.
func (s *Server) Key() (accessKeyID, secret string) { return s.root.AccessKeyID, s.root.Secret }

// SetAccounts replaces the accounts, also while the server runs.
func (s *Server) SetAccounts(list []Account) { s.accounts.set(list) }

// EnsureBucket makes a bucket unless it exists.
func (s *Server) EnsureBucket(name string) error {
	if !utils.IsValidBucketName(name) {
		return fmt.Errorf("make bucket %q: not a valid bucket name", name)
	}
	return s.store.ensureBucket(context.Background(), name)
}

// Dial connects to the server from within the process, over a connection in memory that no other client can use up.
func (s *Server) Dial(ctx context.Context) (net.Conn, error) { return s.private.Dial(ctx) }

// Serve answers requests on ln, and those of Dial, until ctx ends; then it takes no more, lets those in flight finish for at most
// ten seconds, and returns nil. It closes ln and, whatever it returns, the server.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	defer s.store.close()
	s.app.Handler() // prepares the routes
	entrance := door.Listen(ln, s.limits, s.log)
	doors := []*impatient{{Listener: entrance}, {Listener: s.private}}
	served := make(chan error, len(doors))
	for _, d := range doors {
		go func() { served <- s.app.Server().Serve(d) }() // each has connections of its own
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
		d.Close() // also when the shutdown came before the listening
	}
	for range wait {
		_ = <-served // that it was shut down
	}
	return err
}

// Close releases what New opened, for a server that is never served.
func (s *Server) Close() error {
	s.store.close()
	return nil
}

// quiet sends what the HTTP server says of single connections to the debug log.
type quiet struct{ log *slog.Logger }

func (q quiet) Printf(format string, args ...any) {
	q.log.Debug("embedded S3: " + fmt.Sprintf(format, args...))
}

var _ io.Closer = (*Server)(nil)
