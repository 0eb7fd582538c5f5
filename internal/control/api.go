package control

import (
	"context"
	"crypto/rand"
	"log/slog"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/bedrock"
)

// Store keeps jobs. It returns the root package's errors ErrNotFound, ErrTokenReused,
// ErrNameInUse, ErrTooManyActive and ErrTooManyTags. A call that fails with one of them changes
// nothing.
type Store interface {
	// CreateJob stores a job with its token, name and tags in one transaction. If the token was
	// used before with the same hash, it returns the job of that time; this is checked before
	// the name and the quota. maxActive 0 means no limit.
	CreateJob(ctx context.Context, j batholith.Job, requestHash string, maxActive int) (batholith.Job, error)
	// JobOfToken returns the job that was created with the token and the same hash; otherwise
	// batholith.ErrNotFound or batholith.ErrTokenReused.
	JobOfToken(ctx context.Context, account, token, requestHash string) (batholith.Job, error)
	// Job returns one job of an account, or batholith.ErrNotFound.
	Job(ctx context.Context, account, id string) (batholith.Job, error)
	// Jobs returns one page and the cursor of the next page; 0: there is none.
	Jobs(ctx context.Context, q batholith.ListQuery) ([]batholith.Job, int64, error)
	// History returns the changes of a job's status, oldest first.
	History(ctx context.Context, id string) ([]batholith.Change, error)
	// Tags returns a job's tags, sorted by key.
	Tags(ctx context.Context, account, id string) ([]batholith.Tag, error)
	// PutTags adds and replaces tags. It fails with batholith.ErrTooManyTags if the job would
	// have more than limit.
	PutTags(ctx context.Context, account, id string, tags []batholith.Tag, limit int) error
	// DeleteTags removes tags. Missing keys are not an error.
	DeleteTags(ctx context.Context, account, id string, keys []string) error
	// PauseJob and ResumeJob fail with batholith.ErrMoved if the job has ended or is ending.
	PauseJob(ctx context.Context, account, id, reason string) error
	ResumeJob(ctx context.Context, account, id string) error
	// Spent adds up what records took, in groups.
	Spent(ctx context.Context, q batholith.SpentQuery) ([]batholith.Spent, error)
	// ForgetJob requests that a job is erased, with its output if output is true. It fails with batholith.ErrMoved if the job has not ended, or
	// its results are kept.
	ForgetJob(ctx context.Context, account, id string, output bool) error
	// PublishKept and DiscardKept request what is to be done with a job's kept results. They
	// fail with batholith.ErrNothingKept if there are none.
	PublishKept(ctx context.Context, account, id string) error
	DiscardKept(ctx context.Context, account, id string) error
}

// Models is the model catalogue.
type Models interface {
	// Lookup finds a model by id, alias or ARN.
	Lookup(idOrARN string) (batholith.Model, bool)
	// Takes returns nil if jobs of this type can run on the model, or an error that names the cause and the remedy.
	Takes(idOrARN string, t batholith.InvocationType) error
	// Models returns all models.
	Models() []batholith.Model
}

// Stopper stops jobs.
type Stopper interface {
	// Stop moves a job to Stopping. It returns batholith.ErrNotFound, or [*batholith.MoveError]
	// if the job has ended.
	Stop(ctx context.Context, account, id string) error
}

// Forecaster estimates when jobs start and end.
type Forecaster interface {
	// Forecasts returns the forecasts of jobs by id; none for a job that it does not know.
	Forecasts(ctx context.Context, jobs []string) map[string]batholith.Forecast
}

// Roles knows the configured roles.
type Roles interface {
	// Known reports whether a job may name this role.
	Known(arn string) bool
}

// Network knows the configured subnets and security groups.
type Network interface {
	// Subnet and SecurityGroup report whether a job's vpcConfig may name this id.
	Subnet(id string) bool
	SecurityGroup(id string) bool
	// Refuses returns why a job with this vpcConfig and model could never run: no egress rule allows the
	// address of the S3, or of any of the model's servers. "" means that it may run. The ids are known.
	Refuses(vpc batholith.VPC, model string) string
}

// Options are the dependencies of an API. Those that may be nil say so; the others are required.
type Options struct {
	Store  Store
	Models Models
	// Backends are the model servers. nil: none are known.
	Backends Backends
	// Account is that of the service, to which the model servers belong. "": that of any caller.
	Account string
	Stopper Stopper
	Roles   Roles
	// Authorizer decides who may do what. nil: every caller may do everything in its account.
	Authorizer Authorizer
	Network    Network // nil: vpcConfig may name nothing
	// Notice is what every unfinished job must say now, in place of its own note; "": nothing.
	// nil: never.
	Notice func() string
	// Unreached says why no worker runs an unfinished job; "": one does. nil: this process runs them.
	Unreached func(batholith.Job) string
	// Ignoring names a worker of a version that ignores what jobs need (see [batholith.Feature]) and pauses; "": there is none. nil: the same.
	Ignoring func() string
	// Processes is the number of API processes, which share the rates of callers equally. nil: 1.
	Processes func() int
	// Forecaster estimates start and end of jobs. nil: no estimates.
	Forecaster Forecaster
	// Calls sums the tokens of the interactive calls that a principal made today (UTC). nil: there are none.
	Calls  func(ctx context.Context, account, principal string) (int64, error)
	Limits batholith.Limits
	// LimitsNow replaces Limits in a server whose settings may change. nil: Limits.
	LimitsNow func() batholith.Limits
	Profile   bedrock.Profile
	Region    string
	// Keys are those that s3EncryptionKeyId may name. nil: an external S3 has them, and finds out
	// by itself.
	Keys Keys

	Log *slog.Logger // nil: nothing is logged
	// Trace returns the trace context of a request, which is stored with the job that it creates; "": it is not traced. nil: no request is.
	Trace func(ctx context.Context) string

	Now   func() time.Time // this process's clock, in which the store takes times; nil: time.Now
	Clock func() time.Time // the clock of stored times; nil: Now
	NewID func() string    // nil: a random id
}

// API implements [bedrock.Service]. It is safe for concurrent use.
type API struct {
	Options
	rates bedrock.Rates // of Create
}

var _ bedrock.Service = (*API)(nil)

// New returns an API.
func New(o Options) *API {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Clock == nil {
		o.Clock = o.Now
	}
	if o.NewID == nil {
		o.NewID = newID
	}
	if o.Network == nil {
		o.Network = nowhere{}
	}
	if o.LimitsNow == nil {
		o.LimitsNow = func() batholith.Limits { return o.Limits }
	}
	return &API{Options: o, rates: bedrock.Rates{Processes: o.Processes}}
}

// nowhere is a Network without subnets and security groups.
type nowhere struct{}

func (nowhere) Subnet(string) bool        { return false }
func (nowhere) SecurityGroup(string) bool { return false }

func (nowhere) Refuses(batholith.VPC, string) string { return "" }

// newID returns a random job id with 62 bits of entropy (12 × log2 36). All characters are
// equally likely.
func newID() string {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789"
	id := make([]byte, 0, batholith.JobIDLength)
	for b := make([]byte, 32); ; {
		_, _ = rand.Read(b) // never fails
		for _, c := range b {
			if int(c) >= 256/len(letters)*len(letters) {
				continue // rejection sampling: 256 is not a multiple of 36
			}
			if id = append(id, letters[int(c)%len(letters)]); len(id) == cap(id) {
				return string(id)
			}
		}
	}
}
