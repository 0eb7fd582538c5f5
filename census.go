package batholith

import "time"

// Census is what a whole service has to do, as its database says: the same for all of its processes.
type Census struct {
	Jobs   []JobGroup // jobs that are not terminal
	Kept   int        // terminal jobs whose output could not be written, and whose results are kept
	Living int        // workers
	Lost   int        // workers that ended within the last hour without giving up their lease
	Events []Backlog  // events that receivers have not got
}

// MaxBacklog bounds how many waiting events of a receiver are counted.
const MaxBacklog = 10_000

// Backlog is the events of one status that a receiver has not got: among the first MaxBacklog after its last one, of all statuses.
type Backlog struct {
	Receiver string // name in the settings; the database also keeps receivers that the settings had earlier
	Status   Status
	Waiting  int
	Oldest   time.Time
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
