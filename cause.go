package batholith

import "errors"

// Why sending was called off. They travel as causes of contexts (context.Cause), so that the end of a job, of the process
// and of a lease are told apart without flags. Outcomes that were finished before are kept in each case but the last.
var (
	ErrStopped   = errors.New("the job was stopped")
	ErrExpired   = errors.New("the job's time ran out")
	ErrFailed    = errors.New("the job failed")
	ErrShutdown  = errors.New("the process is shutting down")
	ErrLeaseLost = errors.New("the lease was lost to another worker")
)
