package batholith

import "time"

// Listener is told what happens in this process, as it happens: for metrics and traces. It decides nothing.
//
// Every func may be nil, and then nothing is computed for it. A func may be called by any goroutine, by several at once, and while the
// caller holds locks: it returns at once, keeps no pointer that it got, and calls nothing of the part that called it. No event holds a
// byte of a prompt or of an answer except the Message of a [Failure], which is for the record's own error line only; see
// [Failure.Reason].
//
// An event is told after its effect and at most once by a process. After a crash, or an answer of the database that was lost, it is not
// told again: the counters in the database are what is right.
type Listener struct {
	// An attempt at a record begins, and ends in one of the three other ways. An attempt that is called off, because the job was halted
	// or the lease was lost, is told as Failed with a nil Failure.
	Sent     func(Attempt)
	Answered func(Attempt, Tokens)
	Refused  func(Attempt, *Failure) // the backend has no room: the attempt does not count
	Failed   func(Attempt, *Failure)

	Committed func(Committed) // outcomes count from now on
	Merged    func(Merged)    // segments have become one run
	Published func(Published) // output is visible

	Moved func(Moved) // a job has another status
}

// Attempt is one request for a record.
type Attempt struct {
	Job     string // id
	Model   string // the catalogue's id
	Backend string // as it names itself; holds no secret
	Record  RecordKey
	Number  int           // from 1; an attempt that is not counted has the number of the next one too
	Took    time.Duration // since it was sent; 0 in Sent
}

// Committed is one segment of a job that counts.
type Committed struct {
	Job     string
	Segment Segment
	Counts  Counts // what the segment adds
	Tokens  Tokens
	Took    time.Duration // since the first attempt to store the segment
}

// Merged is one run that has taken the place of segments.
type Merged struct {
	Job      string
	Segments int   // that it was merged from
	Records  int64 // outcomes in it
	Bytes    int64 // of the segments that were read
	Took     time.Duration
}

// Published is one publication of a job's output.
type Published struct {
	Job   string
	Epoch int64
	Final bool  // all that the job will have; a small manifest follows when its end is decided. Otherwise partial output, while it runs
	Files int   // output objects
	Bytes int64 // in them
	Took  time.Duration
}

// Moved is one change of a job's status.
type Moved struct {
	Job      string
	From, To Status
	At       time.Time
}
