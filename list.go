package batholith

import "time"

// ListQuery asks for one page of an account's jobs, in the order in which they were submitted.
type ListQuery struct {
	Account      string
	After        time.Time // submitted later than this; zero: no bound
	Before       time.Time // submitted earlier than this; zero: no bound
	Status       Status    // empty: any
	NameContains string    // part of the name, letter for letter; empty: any
	Ascending    bool      // oldest first; otherwise newest first
	Limit        int       // jobs on the page, at least 1
	Cursor       int64     // what the page before returned; 0: the first page
}

// Change is one step of a job's status, the first being its creation. Changes are kept for as long as the job.
type Change struct {
	Seq     int64 // rises with every change of any job
	Job     string
	Status  Status
	Message string // what the change said; empty when it said nothing
	At      time.Time
}
