package dispatch

import (
	"fmt"

	"github.com/batholith/batholith"
)

// opening counts a job's first outcomes. If the first ten all fail with the same error, the job's note says so, so that the user can stop
// the job.
type opening struct {
	seen  int
	first *batholith.RecordError // the job's first error
	mixed bool                   // an answer, or another error, was seen among the first outcomes
}

// openingRecords is how many first outcomes must fail with the same error.
const openingRecords = 10

// opening counts one outcome, and returns the note for the job, or "".
func (f *feed) opening(e *batholith.RecordError) string {
	f.queue.mu.Lock()
	defer f.queue.mu.Unlock()
	o := &f.start
	if e != nil && o.first == nil {
		o.first = e
	}
	if o.seen++; o.seen > openingRecords {
		return ""
	}
	o.mixed = o.mixed || e == nil || *e != *o.first
	if o.seen < openingRecords || o.mixed {
		return ""
	}
	return fmt.Sprintf("The first %d records all ended with the same error. If the others would fail as well, stop the job and fix the cause: %s", o.seen, f.noted(o.first))
}

// noted is an error line as the job's note may have it. The note is stored in the database, which is not encrypted, and a server's words may
// quote the prompt. So the note of a job that encrypts its prompts has only the code.
func (f *feed) noted(e *batholith.RecordError) *batholith.RecordError {
	if e == nil || !f.d.o.Discreet && f.job.KMSKeyID == "" {
		return e
	}
	return &batholith.RecordError{Code: e.Code, Message: "(the reason is in the error line of the output: an encryption key is set, and notes are not encrypted)"}
}

// FirstError returns the first error line that the job got in this process, as its note may have it. It is nil if there was none, or if the job is not queued here.
func (d *Dispatcher) FirstError(job string) *batholith.RecordError {
	d.mu.Lock()
	f := d.feeds[job]
	d.mu.Unlock()
	if f == nil {
		return nil
	}
	f.queue.mu.Lock()
	defer f.queue.mu.Unlock()
	return f.noted(f.start.first)
}
