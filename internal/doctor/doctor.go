package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"iter"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/object"
	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/upstream"
)

// Severity says how much a finding matters.
type Severity string

// The severities.
const (
	Sound   Severity = "ok"      // looked at, and well
	Note    Severity = "note"    // worth knowing
	Problem Severity = "problem" // something does not work, or will not
	Mended  Severity = "mended"  // it was a problem
)

// Finding is one thing that was looked at. Its texts hold no key, also where a URL has one.
type Finding struct {
	Severity Severity `json:"severity"`
	Check    string   `json:"check"` // settings, data, server, model, objects, jobs, s3
	What     string   `json:"what"`
	Why      string   `json:"why,omitempty"`
	Remedy   string   `json:"remedy,omitempty"`
}

// Options say what is looked at.
type Options struct {
	DataDir string
	Serve   string // the command that starts the server
	Server  string // its URL; "" when none has said where it listens
	Models  []Model

	// Jobs reaches the server's jobs; it is called when the server is ready.
	Jobs func(context.Context) (Jobs, error)
	// S3 is what jobs reach their buckets by; it may be nil, and may return nil, when that is not known. An error says that it cannot be
	// used as it is configured.
	S3     func() (*S3, error)
	Bucket string // s3://BUCKET/PREFIX, where the roles are tried; "": at the places of recent jobs
	Fix    bool   // leftovers of jobs that are over are deleted

	Authorities *x509.CertPool // whose certificates a server behind TLS may have; nil: the system's

	Now func() time.Time // nil: the clock

	// Explain says of an error of Jobs what went wrong, and what to do about it.
	Explain func(error) (why, remedy string)
}

// Model is a model of the settings, with its servers.
type Model struct {
	batholith.Model
	Backends []upstream.Options
}

// Jobs are the jobs of a server.
type Jobs interface {
	// List yields jobs, the newest first. After an error it ends. Of a job it tells the ID, the role, the places, the KMS key, the status,
	// the message and the times.
	List(ctx context.Context) iter.Seq2[batholith.Job, error]
	// Kept is what the server keeps of a job's results.
	Kept(ctx context.Context, j batholith.Job) (Kept, error)
	// Objects reaches the buckets that their output is in; nil when these cannot be reached.
	Objects() *s3.Client
}

// Kept is what a server says of a job's kept results.
type Kept struct {
	State   batholith.Kept
	Records int64
	Reason  string // why they are not in the output
}

// S3 is how the service reaches its buckets.
type S3 struct {
	Name     string // for people
	Embedded bool   // it ends with the server
	Base     object.Config
	Roles    []string                         // whose keys are known
	Client   func(role string) *object.Client // of each of them
}

// doctor looks at everything in turn.
type doctor struct {
	o        Options
	recent   []batholith.Job // the newest first; found by jobs
	now      func() time.Time
	ports    []usualPort
	http     *http.Client
	findings []Finding
}

// Examine does all checks. They go from the inside out: disk, process, neighbours, jobs, their buckets.
func Examine(ctx context.Context, o Options) []Finding {
	d := &doctor{o: o, now: o.Now, ports: usualPorts, http: &http.Client{Transport: &http.Transport{Proxy: nil, TLSClientConfig: &tls.Config{RootCAs: o.Authorities}}}}
	if d.now == nil {
		d.now = time.Now
	}
	defer d.http.CloseIdleConnections()
	alive := d.data(o.DataDir)
	ready := d.server(ctx, alive)
	d.models(ctx)
	d.neighbours(ctx)
	if ready {
		d.jobs(ctx)
	}
	d.buckets(ctx, ready)
	return d.findings
}

// find notes a finding. Keys in URLs are hidden, from wherever a text has them.
func (d *doctor) find(f Finding) {
	d.findings = append(d.findings, f.Redacted())
}

// Redacted is the finding without keys in URLs.
func (f Finding) Redacted() Finding {
	f.What, f.Why, f.Remedy = plain.Redact(f.What), plain.Redact(f.Why), plain.Redact(f.Remedy)
	return f
}
