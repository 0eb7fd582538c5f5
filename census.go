package batholith

import "time"

// Census is what a whole service has to do, as its database says: the same for all of its processes.
type Census struct {
	Jobs   []JobGroup // jobs that are not terminal
	Kept   int        // terminal jobs whose output could not be written, and whose results are kept
	Living int        // workers
	Lost   int        // workers that ended within the last hour without giving up their lease
}

// JobGroup is the jobs of one model that are in one status.
type JobGroup struct {
	Model     string // catalogue id
	Status    Status
	Jobs      int
	Paused    int       // of these, jobs that are paused
	Oldest    time.Time // when the oldest was created
	Deadline  time.Time // earliest deadline
	Records   float64   // that validation has counted
	Processed float64   // records with an outcome
	Tokens    float64   // input and output, of the processed records
}
