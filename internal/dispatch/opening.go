package dispatch

import (
	"fmt"

	"github.com/batholith/batholith"
)

// opening watches a job's first outcomes: when they all fail alike, the user wants to know before the rest do.
type opening struct {
	seen  int
	first *batholith.RecordError // the job's first error
	mixed bool                   // an answer, or another error, was seen among the first outcomes
}

// openingRecords is how many outcomes must fail alike.
const openingRecords = 10

// opening takes one outcome into account and returns what to note on the job, if anything.
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
	return fmt.Sprintf("The first %d records all ended with the same error: %s", o.seen, o.first)
}

// FirstError is the first error line that a job got in this process, nil when there was none or the job is not here.
func (d *Dispatcher) FirstError(job string) *batholith.RecordError {
	d.mu.Lock()
	f := d.feeds[job]
	d.mu.Unlock()
	if f == nil {
		return nil
	}
	f.queue.mu.Lock()
	defer f.queue.mu.Unlock()
	return f.start.first
}
