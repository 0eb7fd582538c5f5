package batholith

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
)

// Why sending was called off. They travel as causes of contexts (context.Cause), so that the end of a job, of the process
// and of a lease are told apart without flags. Outcomes that were finished before are kept in each case but the last.
var (
	ErrStopped   = errors.New("the job was stopped")
	ErrExpired   = errors.New("the job's time ran out")
	ErrFailed    = errors.New("the job failed")
	ErrShutdown  = errors.New("the process is shutting down")
	ErrLeaseLost = errors.New("the lease was lost to another worker")
)

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

// Broken is a panic in code that worked on the bytes of one record, answer or file. It is a fault of this program that this input
// brought to light, so it ends what the input belongs to and not the process: a process that is started again would meet the same bytes
// again.
type Broken struct {
	Doing string // what was being done: "translate an answer"
	What  string // the runtime's words, or the type of the panic's value. The value itself may quote the input, and is not kept
	Stack string // functions, files and lines, the innermost first. It has no arguments, which may hold bytes of the input
}

// Error is fit for a log and for a job's message.
func (e *Broken) Error() string { return fmt.Sprintf("internal error: %s: %s", e.Doing, e.What) }

// Guard calls do and returns its error, or a [*Broken] when it panics. What do works on must be its own: locks that it holds stay held,
// and what it was changing is left as it is. Broken invariants of shared state are not for Guard; a crash is right for them.
func Guard(doing string, do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &Broken{Doing: doing, What: panicText(p), Stack: stackOf()}
		}
	}()
	return do()
}

// panicText names a panic without its value. Errors of the Go runtime hold numbers and names of types only.
func panicText(p any) string {
	if e, ok := p.(runtime.Error); ok {
		return e.Error()
	}
	return fmt.Sprintf("panic with a value of type %T", p)
}

// stackOf is the stack of the panic that is being recovered.
func stackOf() string {
	const depth = 64
	pcs := make([]uintptr, depth)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)])
	var b strings.Builder
	for {
		f, more := frames.Next()
		if f.Function != "" && f.Function != "runtime.gopanic" {
			fmt.Fprintf(&b, "%s %s:%d\n", f.Function, f.File, f.Line)
		}
		if !more {
			return b.String()
		}
	}
}
