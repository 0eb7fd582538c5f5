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
	"github.com/batholith/batholith/internal/results"
	"github.com/batholith/batholith/internal/upstream"
)

// Severity is the importance of a finding.
type Severity string

// The severities.
const (
	Sound   Severity = "ok"      // checked and in order
	Note    Severity = "note"    // information
	Problem Severity = "problem" // something does not work, or will not
	Mended  Severity = "mended"  // a problem that --fix has solved
)

// Finding is the result of one check. Its texts contain no key, also not within URLs.
type Finding struct {
	Severity Severity `json:"severity"`
	Check    string   `json:"check"` // settings, store, data, server, model, objects, jobs, s3
	What     string   `json:"what"`
	Why      string   `json:"why,omitempty"`
	Remedy   string   `json:"remedy,omitempty"`
}

// Options say what to examine.
type Options struct {
	DataDir string
	Serve   string // command that starts the server
	Server  string // URL of the server; "": unknown
	Models  []Model

	// Jobs gives access to the server's jobs. It is called only if the server is ready. nil: the server has no API.
	Jobs func(context.Context) (Jobs, error)
	// S3 returns how jobs reach their buckets; nil if unknown. S3 itself may be nil. An error
	// means that the configuration is unusable.
	S3     func() (*S3, error)
	Bucket string // s3://BUCKET/PREFIX at which the roles are tested; "": at the places of recent jobs
	Fix    bool   // delete leftovers of finished jobs

	Certificate     func(*tls.CertificateRequestInfo) (*tls.Certificate, error) // for servers that ask for a client certificate; nil: none
	NameCertificate bool                                                        // the server asks clients for a certificate
	Authorities     *x509.CertPool                                              // trusted certificate authorities for a server with TLS; nil: the system's

	Now func() time.Time // nil: time.Now

	// Explain returns cause and remedy for an error of Jobs.
	Explain func(error) (why, remedy string)
}

// Model is a configured model with its servers.
type Model struct {
	batholith.Model
	Backends []upstream.Options
}

// Jobs gives access to the jobs of a server.
type Jobs interface {
	// List yields jobs, newest first. An error ends the list. Only id, role, places, KMS key,
	// status, message and times of a job are set.
	List(ctx context.Context) iter.Seq2[batholith.Job, error]
	// Kept returns the state of a job's kept results.
	Kept(ctx context.Context, j batholith.Job) (Kept, error)
	// Knows reports whether there is a job with this id.
	Knows(ctx context.Context, id string) (bool, error)
	// Took reports whether records of a job with this id have been counted by the server: it was a job of this service, also if the server does not
	// know it any more.
	Took(ctx context.Context, id string) (bool, error)
	// Objects returns an S3 client for the buckets of the outputs; nil if they cannot be
	// reached.
	Objects() *s3.Client
}

// Kept is the state of a job's kept results.
type Kept struct {
	State   batholith.Kept
	Records int64
	Reason  string // why they are not in the output
}

// S3 describes how the service reaches its buckets.
type S3 struct {
	Name     string // name for messages
	Embedded bool   // the embedded S3: available only while the server runs
	Base     object.Config
	Roles    []string                         // roles with known keys
	Client   func(role string) *object.Client // for each of them
}

// doctor runs the checks one after the other.
type doctor struct {
	o        Options
	recent   []batholith.Job       // newest first; set by jobs
	alive    bool                  // a process has locked the data directory; set by Examine
	aside    []results.JournalFile // whose jobs the server is to be asked about; set by data
	closed   bool                  // the data directory is another user's, and nothing in it can be seen
	now      func() time.Time
	ports    []usualPort
	http     *http.Client
	findings []Finding
}

func prepared(o Options) *doctor {
	d := &doctor{o: o, now: o.Now, ports: usualPorts, http: &http.Client{Transport: &http.Transport{Proxy: nil, TLSClientConfig: &tls.Config{RootCAs: o.Authorities, GetClientCertificate: o.Certificate}}}}
	if d.now == nil {
		d.now = time.Now
	}
	return d
}

// Examine runs all checks, from the inside out: disk, server, model servers, jobs, buckets.
func Examine(ctx context.Context, o Options) []Finding {
	d := prepared(o)
	defer d.http.CloseIdleConnections()
	d.alive = d.data(o.DataDir)
	ready := d.server(ctx, d.alive)
	d.models(ctx)
	d.neighbours(ctx)
	if ready && d.o.Jobs != nil {
		d.jobs(ctx)
	}
	for _, f := range d.aside { // nobody says whether its jobs are over
		d.find(foreignJournal(f.Path))
	}
	d.buckets(ctx, ready)
	return d.findings
}

// find adds a finding, with keys in URLs hidden.
func (d *doctor) find(f Finding) {
	d.findings = append(d.findings, f.Redacted())
}

// Redacted returns the finding with keys in URLs hidden.
func (f Finding) Redacted() Finding {
	f.What, f.Why, f.Remedy = plain.Redact(f.What), plain.Redact(f.Why), plain.Redact(f.Remedy)
	return f
}
