package batholith

import "errors"

// What an object store says of a request that will not do better when it is repeated. Adapters wrap them; everything else an
// adapter returns is a fault that may pass.
var (
	ErrNoObject      = errors.New("no such object")
	ErrNoBucket      = errors.New("no such bucket")
	ErrAccessDenied  = errors.New("access denied")
	ErrRefused       = errors.New("the object store does not take this request")
	ErrObjectChanged = errors.New("the object changed since it was validated")
	// ErrOutcomesLost is about what this program wrote itself, and somebody else deleted or overwrote.
	ErrOutcomesLost = errors.New("finished records are lost")
)

// What the store says of a change that it refuses. Nothing of a refused change is applied.
var (
	ErrNotFound      = errors.New("no such job")
	ErrTokenReused   = errors.New("the client request token was used with other parameters")
	ErrNameInUse     = errors.New("the job name is in use")
	ErrTooManyActive = errors.New("too many active jobs for the model")
	ErrTooManyTags   = errors.New("too many tags")
	ErrMoved         = errors.New("the job's status has changed meanwhile")
	ErrSealed        = errors.New("the job takes no more outcomes")
	ErrNothingKept   = errors.New("no results of the job are kept")
	ErrHeld          = errors.New("another worker publishes the job's output")
)

// StaleError refuses a [Commit]: these chunks belong to another epoch or owner now, or have one of the records already.
type StaleError struct {
	Chunks []int
}

func (e *StaleError) Error() string {
	return "the lease of a chunk was lost, or a record has an outcome already"
}
