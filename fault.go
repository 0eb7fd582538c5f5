package batholith

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
)

// The reasons why a worker stops sending a job's records. They are the causes of cancelled contexts
// (context.Cause), so code can tell the end of a job, of the process and of a lease apart. Finished outcomes
// are kept in every case except ErrLeaseLost.
var (
	ErrStopped   = errors.New("the job was stopped")
	ErrExpired   = errors.New("the job's time ran out")
	ErrFailed    = errors.New("the job failed")
	ErrPaused    = errors.New("the job is paused")
	ErrShutdown  = errors.New("the process is shutting down")
	ErrLeaseLost = errors.New("the lease was lost to another worker")
)

// Errors of an object store for which a retry is useless. Adapters wrap them with %w. Any other error of an
// adapter may be temporary, and the caller retries.
var (
	ErrNoObject      = errors.New("no such object")
	ErrNoBucket      = errors.New("no such bucket")
	ErrAccessDenied  = errors.New("access denied")
	ErrRefused       = errors.New("the object store does not take this request")
	ErrObjectChanged = errors.New("the object changed since it was validated")
	// ErrRoleDenied is the ErrAccessDenied of a whole role: the token service does not let it be assumed.
	ErrRoleDenied = fmt.Errorf("%w: the role may not be assumed", ErrAccessDenied)
	// ErrOutcomesLost means that somebody else deleted or overwrote an object that Batholith wrote.
	ErrOutcomesLost = errors.New("finished records are lost")
)

// Errors of the store for a change that it rejects. A rejected change has no effect at all.
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

// StaleError rejects a [Commit]: the listed chunks now have another owner or epoch, or one of the records
// already has an outcome.
type StaleError struct {
	Chunks []int // chunk numbers within the job
}

// Error does not list the chunks: callers that need them read e.Chunks.
func (e *StaleError) Error() string {
	return "the lease of a chunk was lost, or a record has an outcome already"
}

// Broken is a panic in code that processed the bytes of one record, answer or file. The input exposed a bug in
// this program. The panic ends the work on that input but not the process, because a restarted process would
// read the same bytes and panic again.
type Broken struct {
	Doing string // the operation, as a verb and a noun: "translate an answer"
	What  string // the message of a Go runtime error, or the type of the panic value. The value itself may quote the input and is dropped
	Stack string // functions, files and lines, innermost first, without arguments: those may contain bytes of the input
}

// Error returns a text without user data, for logs and for a job's message.
func (e *Broken) Error() string { return fmt.Sprintf("internal error: %s: %s", e.Doing, e.What) }

// Guard calls do and returns its error, or a [*Broken] if do panics. After a panic, locks that do holds stay
// locked and data that it was changing stays half changed. So do must only touch data of its own. If an
// invariant of shared state is broken, do not use Guard: the process should crash.
func Guard(doing string, do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &Broken{Doing: doing, What: panicText(p), Stack: stackOf()}
		}
	}()
	return do()
}

// panicText describes a panic without its value. The texts of Go runtime errors contain only numbers and type
// names, so they are kept.
func panicText(p any) string {
	if e, ok := p.(runtime.Error); ok {
		return e.Error()
	}
	return fmt.Sprintf("panic with a value of type %T", p)
}

// stackOf returns the stack of the panic that Guard is recovering from, at most 64 frames.
func stackOf() string {
	const depth = 64
	pcs := make([]uintptr, depth)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)]) // 3: without Callers, stackOf and the deferred function
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

// ErrBusy refuses an interactive call: too many calls wait for a slot of the model's servers, or it has waited too long.
var ErrBusy = errors.New("the model's servers are busy")

// NotReadyError refuses an interactive call: no server of the model can be used now. A later call may be answered.
type NotReadyError struct {
	Why string // names the server and the cause; holds no text of the server
}

// Error returns the cause.
func (e *NotReadyError) Error() string { return "no model server can be used: " + e.Why }

// ElsewhereError means that finished outcomes are on the disk of another worker, which alone can read them.
type ElsewhereError struct {
	Worker  string // id
	Segment string
}

// Error names the worker.
func (e *ElsewhereError) Error() string {
	return "the segment " + e.Segment + " is on the disk of the worker " + e.Worker + ": publish the job there"
}
