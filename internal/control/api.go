package control

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/bedrock"
)

// Store keeps jobs. Its refusals are the root package's: ErrNotFound, ErrTokenReused, ErrNameInUse, ErrTooManyActive and
// ErrTooManyTags; a refused call changes nothing.
type Store interface {
	// CreateJob stores a job with its token, name and tags in one step. A token that came before with the same hash answers
	// the job of that time; this is decided before the name and the quota are looked at. maxActive 0 is no limit.
	CreateJob(ctx context.Context, j batholith.Job, requestHash string, maxActive int) (batholith.Job, error)
	// JobOfToken is the job that an equal request made under the token; batholith.ErrNotFound or batholith.ErrTokenReused.
	JobOfToken(ctx context.Context, account, token, requestHash string) (batholith.Job, error)
	Job(ctx context.Context, account, id string) (batholith.Job, error)
	// Jobs returns a page and the cursor of the next one, 0 when there is none.
	Jobs(ctx context.Context, q batholith.ListQuery) ([]batholith.Job, int64, error)
	Tags(ctx context.Context, account, id string) ([]batholith.Tag, error)
	PutTags(ctx context.Context, account, id string, tags []batholith.Tag, limit int) error
	DeleteTags(ctx context.Context, account, id string, keys []string) error
	// PublishKept and DiscardKept say what is to become of a job's kept results; batholith.ErrNothingKept where there are none.
	PublishKept(ctx context.Context, account, id string) error
	DiscardKept(ctx context.Context, account, id string) error
}

// Models is the catalogue.
type Models interface {
	// Lookup finds a model by any of its names: an id, an alias, an ARN.
	Lookup(idOrARN string) (batholith.Model, bool)
	Models() []batholith.Model
}

// Stopper ends jobs early.
type Stopper interface {
	// Stop makes a job Stopping. Its errors are batholith.ErrNotFound, and [*batholith.MoveError] for a job that is over.
	Stop(ctx context.Context, account, id string) error
}

// Forecaster knows what is expected of the jobs that this process runs.
type Forecaster interface {
	// Forecast is not ok for a job that it does not know.
	Forecast(job string) (batholith.Forecast, bool)
}

// Roles knows which roles a job may run as.
type Roles interface {
	Known(arn string) bool
}

// Network knows what a vpcConfig may name.
type Network interface {
	Subnet(id string) bool
	SecurityGroup(id string) bool
}

// Options are what an API stands on. All but Network and the functions are needed.
type Options struct {
	Store   Store
	Models  Models
	Stopper Stopper
	Roles   Roles
	Network Network // nil: nothing is known
	// Forecaster tells when a job will begin and end. nil: nothing is told.
	Forecaster Forecaster
	Limits     batholith.Limits
	Profile    bedrock.Profile
	Region     string
	// Encrypts tells whether the S3 encrypts with the keys that s3EncryptionKeyId names. Where it does not, such jobs are refused.
	Encrypts bool

	Now   func() time.Time // nil: the clock
	NewID func() string    // nil: random
}

// API answers the operations. It is safe for concurrent use.
type API struct {
	Options
}

var _ bedrock.Service = (*API)(nil)

// New makes an API.
func New(o Options) *API {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.NewID == nil {
		o.NewID = newID
	}
	if o.Network == nil {
		o.Network = nowhere{}
	}
	return &API{Options: o}
}

// nowhere is a network without a subnet.
type nowhere struct{}

func (nowhere) Subnet(string) bool        { return false }
func (nowhere) SecurityGroup(string) bool { return false }

// newID makes a random job id: 62 bits, each letter and digit as likely as any other.
func newID() string {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789"
	id := make([]byte, 0, batholith.JobIDLength)
	for b := make([]byte, 32); ; {
		_, _ = rand.Read(b) // never fails
		for _, c := range b {
			if int(c) >= 256/len(letters)*len(letters) {
				continue // else the first letters would be likelier
			}
			if id = append(id, letters[int(c)%len(letters)]); len(id) == cap(id) {
				return string(id)
			}
		}
	}
}
