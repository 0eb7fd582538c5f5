package cli

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/audit"
	"github.com/batholith/batholith/internal/authz"
	"github.com/batholith/batholith/internal/bedrock"
	"github.com/batholith/batholith/internal/certs"
	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/console"
	"github.com/batholith/batholith/internal/door"
	"github.com/batholith/batholith/internal/engine"
	"github.com/batholith/batholith/internal/events"
	"github.com/batholith/batholith/internal/failpoint"
	"github.com/batholith/batholith/internal/kms"
	"github.com/batholith/batholith/internal/managed"
	"github.com/batholith/batholith/internal/object"
	"github.com/batholith/batholith/internal/openai"
	"github.com/batholith/batholith/internal/runtime"
	"github.com/batholith/batholith/internal/s3serve"
	"github.com/batholith/batholith/internal/sigv4"
	"github.com/batholith/batholith/internal/store"
	"github.com/batholith/batholith/internal/sts"
	"github.com/batholith/batholith/internal/system"
	"github.com/batholith/batholith/internal/telemetry"
)

// serveOptions are the parameters of serve.
type serveOptions struct {
	Config *config.Config
	Log    *slog.Logger
	Doors  door.Limits     // of each of the two listeners; zero fields have defaults
	Stop   time.Duration   // that requests have to finish at a shutdown; 0: stopTime
	Ready  func(addresses) // called once jobs can be taken and run
	Again  *rereading      // how the settings are read again; nil: they stay as they are
	Notice func() string   // what every unfinished job and /readyz must say now; "": nothing. nil: never
}

// addresses are the URLs of the service for clients on this machine.
type addresses struct{ Bedrock, S3 string }

// service is one running service. Its members are set in the order of the start and do not change afterwards,
// except ready, now and reloads.
type service struct {
	o         serveOptions
	store     *store.Store
	s3        *s3serve.Server // nil with an external S3
	keys      *kms.Ring       // of the embedded S3
	places    *engine.Places
	policy    *authz.Policies
	audit     *audit.Log           // nil: there is none
	callers   *keys                // that may call
	cert      *certs.Keeper        // of the API; nil: plain HTTP
	s3cert    *certs.Keeper        // of the embedded S3
	models    *engine.Models       // of a worker
	metrics   *telemetry.Telemetry // nil: none
	traces    *telemetry.Traces    // nil: nothing is traced
	engine    *engine.Engine
	receivers []events.Receiver // of events
	calls     http.Handler      // the API; nil in a process without it
	console   *console.Console  // nil: there are no web pages
	clock     engine.Clock      // of the database
	ready     atomic.Bool       // jobs can be taken and run

	servers  *managed.Servers              // that a worker starts
	base     object.Config                 // how the service itself reaches the S3
	dataKeys *kms.Ring                     // of a worker's journal
	now      atomic.Pointer[config.Config] // settings in use; nil until the first reload: o.Config
	reloads  reloads
}

// settings are those in use now. They are never changed, only replaced.
func (s *service) settings() *config.Config { return cmp.Or(s.now.Load(), s.o.Config) }

// defaultBucket exists on the embedded S3 from the first start, so that submit and the examples need no bucket of
// their own.
const defaultBucket = "batholith"

// serve runs the process until ctx ends. The parts start from the bottom up: listener, certificates, database,
// audit log, policies, S3, engine, API. They end in the reverse order: the API accepts nothing more, records in
// flight are finished or released within the drain time, finished records are committed, and the embedded S3,
// which holds the output, ends last. The port is taken first, so a server whose port is in use does not open
// the database. A process without the role api has no audit log, policies and callers: it answers no request but
// those for its health.
func serve(ctx context.Context, o serveOptions) error {
	api, err := listen(ctx, o.Config.Listen, "--listen")
	if err != nil {
		return err
	}
	defer api.Close()
	s := &service{o: o}
	if err := s.openCertificates(); err != nil {
		return err
	}
	api = secured(api, s.cert)
	scrapes, err := s.openMetrics(ctx)
	if err != nil {
		return err
	}
	if scrapes != nil {
		defer scrapes.Close()
	}
	closeTraces, err := s.openTraces(ctx)
	if err != nil {
		return err
	}
	defer closeTraces()
	profiles, err := openProfiles(ctx, o.Config.Debug.Listen)
	if err != nil {
		return err
	}
	if profiles != nil {
		defer profiles.Close()
	}
	if s.store, err = openStore(ctx, o.Config); err != nil {
		return err
	}
	defer s.store.Close()
	s.observe()
	if err := s.join(ctx); err != nil {
		return err
	}
	if o.Config.API() {
		if err := s.openCallers(ctx); err != nil {
			return err
		}
		defer s.audit.Close()
	}

	// The embedded S3 must outlive ctx: records in flight are published through it while the engine drains.
	below, stopBelow := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBelow()
	var base errgroup.Group
	at := addresses{Bedrock: address(api, s.cert)}
	if at.S3, err = s.startS3(ctx, below, &base); err != nil {
		return err
	}
	err = s.work(ctx, api, scrapes, profiles, at)
	stopBelow()
	return errors.Join(err, base.Wait())
}

// openCallers opens what decides about requests: the audit log, the policies, and the keys of callers.
func (s *service) openCallers(ctx context.Context) (err error) {
	if s.policy, err = authz.Open(s.o.Config.Policy, s.o.Log); err != nil {
		return err
	}
	if s.callers, err = s.openKeys(ctx); err != nil {
		return err
	}
	s.audit, err = openAudit(s.o)
	return err
}

// work connects the parts and runs the engine, the policies, the certificates and the API until ctx ends or one of
// them fails. Recover reads the journal before the API accepts a request.
func (s *service) work(ctx context.Context, api, scrapes, profiles net.Listener, at addresses) (err error) {
	s.base = s.reach(at)
	if s.places, err = placesOf(s.o.Config, s.base); err != nil {
		return err
	}
	if s.s3 != nil {
		s.places.Near = s.s3.Near
	}
	o, err := s.engineOptions()
	if err != nil {
		return err
	}
	if s.engine, err = engine.New(o); err != nil {
		return err
	}
	s.watch()
	if err := s.engine.Recover(ctx); err != nil {
		return err
	}
	// From here on, jobs of earlier processes continue. After a crash the next start recovers from the same
	// journal again.
	failpoint.Here("cli.recovered")
	if s.o.Config.API() {
		s.calls = s.api()
		if s.console, err = s.openConsole(); err != nil {
			return err
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.engine.Run(ctx) })
	if s.console != nil {
		g.Go(func() error { return s.console.Run(ctx) })
	}
	if s.calls != nil {
		g.Go(func() error { return s.openAIJanitor().Run(ctx) })
	}
	if s.policy != nil {
		g.Go(func() error { return s.policy.Run(ctx) })
	}
	s.followCertificates(ctx, g)
	s.serveMetrics(ctx, g, scrapes)
	s.serveProfiles(ctx, g, profiles)
	if s.o.Again != nil {
		g.Go(func() error { return s.followSettings(ctx) })
	}
	g.Go(func() error { return serveHTTP(ctx, api, s.handler(), s.o.Doors, cmp.Or(s.o.Stop, stopTime), s.o.Log) })
	// The engine and the API run: addresses may be announced, and /readyz may answer 200.
	s.ready.Store(true)
	if s.o.Ready != nil {
		s.o.Ready(at)
	}
	err = g.Wait()
	if m := s.engine.Meter(); m != nil { // a handler may have ended after the engine
		m.Flush(ctx)
	}
	return err
}

// engineOptions connects the engine with the parts that are open. Functions among the options follow the present settings.
func (s *service) engineOptions() (engine.Options, error) {
	s.servers = managed.New(managed.Options{})
	o, ring, err := engineOptionsWith(s.o.Config, s.servers)
	if err != nil {
		return o, err
	}
	s.dataKeys = ring
	if s.keys != nil {
		o.Keys = s.keys
	}
	if s.o.Config.Worker() { // which starts model servers
		s.models = o.Models
	}
	if s.metrics != nil {
		s.places.Watch = s.metrics.Bucket
	}
	o.Listener = s.listener()
	if s.traces != nil {
		o.Tracer, o.Trace = s.traces, s.traces.Of
	}
	o.API, o.Worker, o.Log, o.Store, o.Dir = s.o.Config.API(), s.o.Config.Worker(), s.o.Log, s.store, s.o.Config.Data
	o.Shared, o.Clock = s.o.Config.Postgres(), &s.clock
	o.Subnets, o.SecurityGroups = within(s.o.Config.Network)
	if o.Receivers, err = receivers(s.o.Config); err != nil {
		return o, err
	}
	s.receivers = o.Receivers
	o.Account = s.o.Config.Account
	o.Sample = func(j batholith.Job) int { return s.settings().Sample(j) }
	o.Price = func(names ...string) batholith.Price { return s.settings().Price(names...) }
	o.Caps = func(j batholith.Job) []batholith.Cap { return s.settings().Caps(j) }
	o.Retention = func() (time.Duration, int) { r := s.settings().Retention; return r.JobsAfter, r.JobsKeep }
	o.EventsAge = func() time.Duration { return s.settings().Retention.EventsAfter }
	o.Place, o.Access, o.Roles, o.Media = s.places.Open, s.places.Access, s.places, s.callMedia
	s.places.Networks = o.Networks
	if !s.o.Config.Postgres() { // else jobs go on at other workers while this machine's disk is full
		o.Notice = s.o.Notice
	}
	if s.policy != nil {
		o.Authorizer = onTrail{narrowing{s.policy, s.settings}}
	}
	return o, nil
}

// startS3 starts the embedded S3 and returns its URL, or returns the URL of the external one. The S3 runs until
// below ends, which is after the engine.
func (s *service) startS3(ctx, below context.Context, g *errgroup.Group) (string, error) {
	c := s.o.Config
	if !c.EmbeddedS3() {
		return c.S3.Endpoint, nil
	}
	ln, err := listen(ctx, c.S3.Listen, "--s3-listen")
	if err != nil {
		return "", err
	}
	if s.keys, err = c.Ring(); err != nil {
		return "", errors.Join(err, ln.Close())
	}
	addOwnRoles(c)
	giveRolesKeys(c)
	s.s3, err = s3serve.New(s3serve.Options{Dir: filepath.Join(c.Data, objectsName), Region: c.S3.Region, Owner: c.Account, Accounts: s3Accounts(c), Keys: s.keys, Authorizer: onTrail{s.policy}, Audit: s.audit,
		Sessions: s3Sessions{s.callers.Sessions, s.settings}, Tokens: s.tokenService(c.S3.Region), Log: s.o.Log, Door: s.o.Doors})
	if err != nil {
		return "", errors.Join(err, ln.Close())
	}
	if err := s.s3.EnsureBucket(defaultBucket); err != nil {
		return "", errors.Join(err, s.s3.Close(), ln.Close())
	}
	failpoint.Here("cli.s3-opened")
	g.Go(func() error { return s.s3.Serve(below, secured(ln, s.s3cert)) })
	return address(ln, s.s3cert), nil
}

// reachable returns the URL of a listener for clients on this machine. For 0.0.0.0 and :: it is the loopback
// address.
func reachable(ln net.Listener) string {
	addr, ok := ln.Addr().(*net.TCPAddr)
	if ok && addr.IP.IsUnspecified() {
		return fmt.Sprintf("http://127.0.0.1:%d", addr.Port)
	}
	return "http://" + ln.Addr().String()
}

// addOwnRoles gives each account that has a caller the role arn:aws:iam::ACCOUNT:role/batholith, unless the
// settings define that role.
func addOwnRoles(c *config.Config) {
	named := map[string]bool{c.DefaultRole(): true}
	for _, r := range c.Roles {
		named[r.ARN] = true
	}
	add := func(account string) {
		if arn := config.OwnRole(account); !named[arn] {
			named[arn] = true
			c.Roles = append(c.Roles, config.Role{ARN: arn})
		}
	}
	for _, k := range c.Credentials {
		add(k.Account)
	}
	for _, k := range c.APIKeys {
		add(k.Account)
	}
}

// ownKey begins the id of a key that giveRolesKeys has made.
const ownKey = "batholith-role-"

// giveRolesKeys creates keys for roles that have none, so that the embedded S3 can limit each role to its buckets.
// The keys exist only in this process and are new at each start.
func giveRolesKeys(c *config.Config) {
	for i := range c.Roles {
		if r := &c.Roles[i]; r.AccessKeyID == "" {
			r.AccessKeyID, r.SecretAccessKey = ownKey+rand.Text()[:12], rand.Text()
		}
	}
}

// s3Accounts returns the keys that the embedded S3 accepts: those of callers, and those of roles, which are
// limited to the roles' buckets. Each key reaches only buckets of its account.
func s3Accounts(c *config.Config) []s3serve.Account {
	var accounts []s3serve.Account
	for _, k := range c.Credentials {
		accounts = append(accounts, s3serve.Account{AccessKeyID: k.AccessKeyID, Secret: k.SecretAccessKey,
			Identity: sigv4.Identity{Account: k.Account, Principal: k.Principal, Groups: k.Groups}})
	}
	for _, r := range c.Roles {
		who := sigv4.Identity{Principal: r.ARN}
		if arn, err := batholith.ParseARN(r.ARN); err == nil {
			who.Account = arn.Account
		}
		accounts = append(accounts, s3serve.Account{AccessKeyID: r.AccessKeyID, Secret: r.SecretAccessKey, Identity: who, Role: true, Buckets: r.Buckets})
	}
	return accounts
}

// reach returns how the service itself reaches the S3. The embedded one is reached inside the process, so clients
// that exhaust the public port cannot stop running jobs.
func (s *service) reach(at addresses) object.Config {
	o := reachS3(s.o.Config, at.S3)
	if s.s3 != nil {
		o.AccessKeyID, o.SecretAccessKey = s.s3.Key()
		o.PathStyle, o.UploadsByPrefix = true, true
		o.Unsigned = true // the bytes do not leave the process
		o.Endpoint = "http://" + strings.TrimPrefix(strings.TrimPrefix(at.S3, "https://"), "http://")
		o.HTTPClient = object.NewHTTPClientOver(s.s3.Dial) // strangers who use up the public port cannot stop the process's own work
	}
	return o
}

// reachS3 returns how to reach the S3 at endpoint with the keys of the settings.
func reachS3(c *config.Config, endpoint string) object.Config {
	o := object.Config{Endpoint: endpoint, Region: c.S3.Region, PathStyle: c.S3.PathStyle,
		AccessKeyID: c.S3.AccessKeyID, SecretAccessKey: c.S3.SecretAccessKey, Profile: c.S3.AWSProfile, CABundle: c.S3.CABundle}
	if c.S3.Endpoint == "aws" {
		o.Endpoint = ""
	}
	return o
}

// handler returns the handler of --listen: /healthz, /readyz and /metrics, and for everything else the API. It uses no http.ServeMux,
// which would change paths that hold ARNs.
func (s *service) handler() http.Handler {
	var calls http.Handler = http.HandlerFunc(noAPI)
	if s.calls != nil {
		calls = s.calls
	}
	scrape := s.scraped()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/healthz":
			fmt.Fprintln(w, "ok")
		case "/readyz":
			s.readyz(w, r)
		case metricsPath:
			if s.o.Config.Metrics.Listen == "" {
				scrape.ServeHTTP(w, r)
			} else {
				http.NotFound(w, r)
			}
		default:
			switch {
			case s.console != nil && console.Is(r):
				s.console.ServeHTTP(w, r)
			case s.console != nil && console.Leads(r):
				http.Redirect(w, r, console.Path, http.StatusFound)
			default:
				calls.ServeHTTP(w, r)
			}
		}
	})
}

// noAPI answers every request to the API in a process without it.
func noAPI(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, "this process is a worker, which answers only /healthz, /readyz and /metrics; send the request to a process with the role api", http.StatusNotFound)
}

// api returns the handler of the Bedrock API, the runtime API and the token service.
func (s *service) api() http.Handler {
	c := s.o.Config
	verifier := s.verifier()
	tokens := s.tokenService(c.Region)
	known := func(ctx context.Context, operation string, who bedrock.Caller) {
		trail := audit.Of(ctx)
		trail.Sender(who.Account, who.Principal)
		trail.Asked("bedrock:" + operation)
		if s.traces != nil {
			s.traces.Known(ctx, operation)
		}
	}
	wire := bedrock.NewHandler(s.engine.Service(), bedrock.Options{Profile: profile(c), LimitsNow: s.engine.Limits, Log: s.o.Log,
		Admit: admit(verifier), Authenticate: authenticate(verifier), Known: known, Observe: s.answered})
	models := runtime.NewHandler(runtime.Options{Models: s.engine.Models(), Lanes: s.engine.Calls(), Processes: s.engine.Processes, Region: c.Region, Profile: profile(c), LimitsNow: s.engine.Limits,
		Authorizer: onTrail{narrowing{s.policy, s.settings}}, Log: s.o.Log, Admit: admitLong(verifier), Authenticate: authenticate(verifier), Known: known,
		Spent: s.spent, Used: s.used, Observe: s.called})
	batches := s.openAI(verifier, known)
	calls := audited(s.audit, rememberTokens(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case sts.Is(r):
			tokens.ServeHTTP(w, r)
		case openai.Is(r):
			batches.ServeHTTP(w, r)
		case runtime.Is(r):
			models.ServeHTTP(w, r)
		default:
			wire.ServeHTTP(w, r)
		}
	})))
	if s.traces != nil {
		calls = s.traces.Handler(calls)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { calls.ServeHTTP(w, runtime.WithKey(r)) })
}

// spent returns the tokens that a caller has used today.
func (s *service) spent(ctx context.Context, who bedrock.Caller) (int64, error) {
	return s.engine.Meter().Spent(ctx, who.Account, who.Principal)
}

// used counts what a call took, and adds it to the call's line of the audit log.
func (s *service) used(ctx context.Context, u runtime.Use) {
	s.engine.Meter().Add(u.Who.Account, u.Who.Principal, u.Model, u.Tokens, u.Failed != "")
	if s.metrics != nil {
		s.metrics.Used(u.Model, u.Tokens)
	}
	usage := audit.Usage{Model: u.Model, InputTokens: u.Tokens.Input, OutputTokens: u.Tokens.Output}
	if trail := audit.Of(ctx); u.Stream {
		trail.Streamed(usage, u.Failed)
	} else {
		trail.Used(usage)
	}
}

// answered and called count a request to the API and to the runtime.
func (s *service) answered(o bedrock.Observation) {
	if s.metrics != nil {
		s.metrics.Answered(o)
	}
}

func (s *service) called(o runtime.Observation) {
	if s.metrics != nil {
		s.metrics.Called(o)
	}
}

// readyz answers 200 if jobs can be accepted and run, otherwise 503 with the reason. Further lines name troubles
// that do not stop the service, such as a full disk or a policy file with errors. Anyone may read it, so it names
// no secret.
func (s *service) readyz(w http.ResponseWriter, r *http.Request) {
	switch err := s.store.Check(r.Context()); {
	case err != nil:
		s.o.Log.Warn("not ready: the database does not answer", "err", err)
		http.Error(w, "not ready: the database does not answer; the server's log says why", http.StatusServiceUnavailable)
		return
	case !s.ready.Load():
		http.Error(w, "not ready: the server is starting", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ready")
	for _, note := range s.notes() {
		fmt.Fprintln(w, note)
	}
}

// notes returns the troubles that do not stop the service, each once.
func (s *service) notes() []string {
	all := []string{s.audit.Note(), s.cert.Note(), s.reloads.note()}
	if s.policy != nil {
		all = append(all, s.policy.Note())
	}
	if s.s3cert != s.cert {
		all = append(all, s.s3cert.Note())
	}
	if s.o.Notice != nil {
		all = append(all, s.o.Notice())
	}
	all = append(all, s.models.Notes()...)
	return slices.DeleteFunc(all, func(note string) bool { return note == "" })
}

// keyRing returns the keys of the settings, both access keys and bearer keys. Each access key also has a bearer
// form, as env prints it.
func keyRing(c *config.Config) *sigv4.Ring {
	var access []sigv4.AccessKey
	var bearer []sigv4.APIKey
	for _, k := range c.Credentials {
		who := sigv4.Identity{Account: k.Account, Principal: k.Principal, Groups: k.Groups}
		access = append(access, sigv4.AccessKey{ID: k.AccessKeyID, Secret: k.SecretAccessKey, Identity: who})
		bearer = append(bearer, sigv4.APIKey{Key: sigv4.BearerOf(k.AccessKeyID, k.SecretAccessKey), Identity: who})
	}
	for _, k := range c.APIKeys {
		bearer = append(bearer, sigv4.APIKey{Key: k.Key, Identity: sigv4.Identity{Account: k.Account, Principal: k.Principal, Groups: k.Groups}})
	}
	return sigv4.NewRing(access, bearer)
}

// listen opens a TCP listener. Its errors name the flag that changes the address, and how.
func listen(ctx context.Context, address, flag string) (net.Listener, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", address)
	switch {
	// The three causes have different remedies, so each has its own message.
	case system.Is(err, syscall.EADDRNOTAVAIL):
		return nil, hint(fmt.Errorf("listen on %s: it is not an address of this machine", address), "name one that is with %s: 127.0.0.1 for this machine alone, 0.0.0.0 for all of its networks", flag)
	case system.Is(err, syscall.EACCES):
		return nil, hint(fmt.Errorf("listen on %s: this user may not open the port", address), "name a port from 1024 on with %s", flag)
	case err != nil:
		return nil, hint(fmt.Errorf("listen on %s: %w", address, errors.Unwrap(err)), "is another server there? Name another address with %s, or port 0 for a free one", flag)
	}
	return ln, nil
}
