package console

import (
	"cmp"
	"context"
	"html/template"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"golang.org/x/sync/semaphore"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/sigv4"
)

// Path is the path below which the console answers.
const Path = "/console/"

// Options are what the console is built over. Members that may be nil say so.
type Options struct {
	// API is the handler of the Bedrock API.
	API http.Handler
	// Verify returns whose key a request carries in its header Authorization, or the refusal.
	Verify func(r *http.Request) (sigv4.Identity, error)
	// Region is the one that requests to the API are signed for.
	Region string
	// Jobs tells what the API does not answer.
	Jobs Jobs
	// Buckets gives access to the embedded S3. nil: the S3 is an external one, and Far is set.
	Buckets Buckets
	// Far reaches an external S3 with the roles of jobs.
	Far Far
	// Endpoint is the URL of the S3, for messages.
	Endpoint string
	// Validate checks a file of records as the command validate does. model is an id or an alias.
	Validate func(ctx context.Context, path, name, model string, typ batholith.InvocationType) (Validation, error)
	// Records writes a record for each row of a table.  The errors are for people.
	Records func(ctx context.Context, path, name string, recipe Recipe, model string, typ batholith.InvocationType, to io.Writer) error
	// Table reports whether a file's name is that of a table.
	Table func(name string) bool
	// Role returns the ARN of the role that jobs of an account have by default.
	Role func(account string) string
	// Bucket is the one that is offered for the files of new jobs.
	Bucket string
	// Dir is a folder for files between their upload and their use. It is emptied by New and Run.
	Dir string
	// Secure: browsers reach the console by TLS only, so that cookies are sent over nothing else.
	Secure  bool
	Version string           // shown at the foot of pages
	Log     *slog.Logger     // nil: none
	Now     func() time.Time // nil: time.Now
	// Every is the time between two looks of a live page at its job, and between two samples; 0: 2 s.
	Every time.Duration
}

// Recipe says how records are made of the rows of a table.
type Recipe struct {
	Template    string   // of the prompt
	System      string   // system prompt; "": none
	ID          string   // column with the recordIds; "": the rows are numbered
	MaxTokens   *int64   // limit of output tokens; nil: the default; 0: the model's own
	Temperature *float64 // nil: the model's own
}

// Jobs reads what the database and the dispatcher know of jobs.
type Jobs interface {
	// History returns the changes of a job's status, oldest first.
	History(ctx context.Context, job string) ([]batholith.Change, error)
	// Changes returns the latest changes of the jobs of an account with numbers below before, newest first; before 0: the latest.
	Changes(ctx context.Context, account string, before int64, limit int) ([]batholith.Change, error)
	// Running returns jobs in progress, at most limit.
	Running(ctx context.Context, limit int) ([]batholith.Job, error)
	// PutPoints stores points of jobs, and Points returns the stored ones of a job, oldest first. Points that are too close are dropped.
	PutPoints(ctx context.Context, all []batholith.Point) error
	Points(ctx context.Context, job string) ([]batholith.Point, error)
	// InFlight returns the number of requests in flight by model.
	InFlight() map[string]int64
	// Receivers returns the receivers of events, without secrets.
	Receivers(ctx context.Context) ([]Receiver, error)
}

// Receiver is a receiver of events (webhook).
type Receiver struct {
	Name, URL string
	Pending   int64 // events that it has not got; at most PendingMost are counted
}

// PendingMost is the number of waiting events up to which they are counted.
const PendingMost = 1000

// Buckets gives access to the embedded S3 as a caller.
type Buckets interface {
	// As returns a client with the rights of a caller. r is the browser's request, for the audit log. done must be called after the last use.
	As(who sigv4.Identity, r *http.Request) (client *s3.Client, done func())
}

// Validation is the result of a check of records.
type Validation struct {
	OK                        bool
	Model                     string
	Type                      batholith.InvocationType
	Records, Bytes            int64
	Errors, Warnings          int64
	ErrorList, WarningList    []Problem // the first ones
	Refusal                   string    // why a job would be refused although its lines are records; "": it would not
	Refused                   int64     // bodies that would end as error lines
	Reasons                   []Reason
	Missing, Repeated         int64 // recordIds
	InputTokens, OutputTokens string
	Cost                      string
	Hint                      string
}

// Problem is a line that is no record, or one with a warning.
type Problem struct {
	Line   int64
	Column int
	Reason string
}

// Reason is why bodies would be refused, and how many.
type Reason struct {
	Text  string
	Count int64
}

// Console answers the pages. It is safe for concurrent use. Run must run while it answers.
type Console struct {
	o        Options
	sessions *sessions
	failures *failures
	samples  *samples
	spool    *spool
	streams  *streams
	readings *readings
	heavy    *semaphore.Weighted // reads of outputs
	pages    map[string]*template.Template
	handler  http.Handler
}

// New returns a console. It empties Options.Dir.
func New(o Options) (*Console, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Every = cmp.Or(o.Every, 2*time.Second)
	spool, err := newSpool(o.Dir, o.Now)
	if err != nil {
		return nil, err
	}
	c := &Console{o: o, sessions: newSessions(o.Now), failures: newFailures(o.Now), samples: newSamples(), spool: spool, streams: newStreams(), readings: newReadings(o.Every),
		heavy: semaphore.NewWeighted(heavyReads)}
	if c.pages, err = c.parse(); err != nil {
		return nil, err
	}
	c.handler = c.routes()
	return c, nil
}

// heavyReads is how many pages may read outputs at once. Each holds up to readBytes.
const heavyReads = 4

// Run takes samples of running jobs and removes what is too old, until ctx ends. Then it ends all streams, so that they do not hold up the
// shutdown of their listener.
func (c *Console) Run(ctx context.Context) error {
	defer os.RemoveAll(c.o.Dir)
	defer c.streams.close()
	tick := time.NewTicker(c.o.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		c.sample(ctx)
		c.sessions.tidy()
		c.spool.tidy(c.sessions.lives)
		c.readings.tidy()
	}
}

// ServeHTTP answers a request below Path.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) { c.handler.ServeHTTP(w, r) }

// Leads reports whether a request to / is a browser's, which is led to the console. Clients of the API do not ask for HTML.
func Leads(r *http.Request) bool {
	return r.URL.Path == "/" && (r.Method == http.MethodGet || r.Method == http.MethodHead) && strings.Contains(r.Header.Get("Accept"), "text/html")
}

// Is reports whether a request is for the console.
func Is(r *http.Request) bool {
	return strings.HasPrefix(r.URL.Path, Path) || r.URL.Path == strings.TrimSuffix(Path, "/")
}

// routes returns the handler of all pages.
func (c *Console) routes() http.Handler {
	mux := http.NewServeMux()
	page := func(pattern string, f func(*visit) error) { mux.Handle(pattern, c.signed(f)) }
	mux.Handle("GET "+Path+"static/", static())
	mux.HandleFunc("GET "+Path+"sign-in", c.signInPage)
	mux.HandleFunc("POST "+Path+"sign-in", c.signIn)
	mux.HandleFunc("GET "+Path+"session", c.sessionState)
	page("POST "+Path+"sign-out", c.signOut)
	page("GET "+Path+"{$}", c.jobsPage)
	page("GET "+Path+"live", c.jobsLive)
	page("GET "+Path+"jobs/{job}", c.jobPage)
	page("GET "+Path+"jobs/{job}/live", c.jobLive)
	page("GET "+Path+"jobs/{job}/points", c.jobPoints)
	page("GET "+Path+"jobs/{job}/records", c.recordsPage)
	page("GET "+Path+"jobs/{job}/errors", c.errorsPage)
	page("GET "+Path+"jobs/{job}/files", c.filesPage)
	page("GET "+Path+"jobs/{job}/download", c.jobDownload)
	page("POST "+Path+"jobs/{job}/{verb}", c.jobAct)
	page("GET "+Path+"models", c.modelsPage)
	page("GET "+Path+"models/live", c.modelsLive)
	page("POST "+Path+"backends/{verb}", c.backendAct)
	page("GET "+Path+"events", c.eventsPage)
	page("GET "+Path+"submit", c.submitPage)
	page("POST "+Path+"submit", c.submitUpload)
	page("GET "+Path+"submit/{draft}", c.draftPage)
	page("POST "+Path+"submit/{draft}/{verb}", c.draftAct)
	page("GET "+Path+"buckets", c.bucketsPage)
	page("GET "+Path+"buckets/{bucket}", c.bucketPage)
	page("POST "+Path+"buckets/{bucket}/upload", c.bucketUpload)
	page("POST "+Path+"buckets/{bucket}/delete", c.bucketDelete)
	page("GET "+Path+"buckets/{bucket}/download", c.download)
	mux.HandleFunc("GET "+strings.TrimSuffix(Path, "/"), func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, Path, http.StatusFound) })
	page("GET "+Path, func(v *visit) error { return notFound("There is no page at %s.", v.r.URL.Path) })
	guard := http.NewCrossOriginProtection()
	guard.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.fail(w, r, nil, &fault{http.StatusForbidden, "The request came from another site", "A page of another site, or of another address of this server, sent this form. Open the console and send the form from there."})
	}))
	return headed(guard.Handler(mux))
}

// headed sets the headers of every answer. Pages use files of this server only, and no script or style in the page itself.
func headed(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, value := range map[string]string{
			"Content-Security-Policy":    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
			"X-Content-Type-Options":     "nosniff",
			"X-Frame-Options":            "DENY",
			"Referrer-Policy":            "same-origin",
			"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
			"Permissions-Policy": "camera=(), geolocation=(), microphone=()",
			"Cache-Control":      "no-store",
		} {
			w.Header().Set(name, value)
		}
		h.ServeHTTP(w, r)
	})
}
