package batholith

import "time"

// Listener receives events of this process for metrics and traces. It cannot change what happens.
//
// Each func may be nil; then the event is not computed. Any goroutine may call a func, several may do so at
// once, and the caller may hold locks. So a func must return quickly, must not keep a pointer that it received,
// and must not call back into the part that called it. Events contain no byte of a prompt or answer, with one
// exception: the Message of a [Failure] may quote the server and belongs only into the record's own error line.
// See [Failure.Reason].
//
// An event is sent after its effect, at most once per process. It is not sent again after a crash or if the
// database's answer was lost. Counters in the database are the exact ones.
type Listener struct {
	// Sent starts an attempt; exactly one of Answered, Refused and Failed ends it. An attempt that is
	// cancelled, because the job was halted or the lease was lost, ends as Failed with a nil Failure.
	Sent     func(Attempt)
	Answered func(Attempt, Tokens)
	Refused  func(Attempt, *Failure) // the backend has no room; the attempt is not counted
	Failed   func(Attempt, *Failure)

	Committed func(Committed) // outcomes were stored in the database
	Merged    func(Merged)    // segments were merged into one run
	Published func(Published) // output objects are visible in S3

	Moved  func(Moved)  // a job's status changed
	Paused func(Paused) // a class of requests waits, because a backend fails on it

	Claimed func(Claimed) // chunks of a job were claimed

	Capped  func(Capped)  // a job is paused, because a cap is reached
	Sampled func(Sampled) // a job's sample was sent
	Posted  func(Posted)  // an event was posted to a receiver, or given up
}

// Attempt is one request for one record.
type Attempt struct {
	Job      string // job id
	Model    string // catalogue id
	Backend  string // the backend's host and port; contains no secret
	Path     string // of the request, below the backend's base URL: /chat/completions, /embeddings …
	Protocol string // of the backend
	Record   RecordKey
	Number   int           // from 1; an attempt that is not counted has the same number as the next one
	Took     time.Duration // since it was sent; 0 in Sent
}

// Committed is one segment whose outcomes were stored.
type Committed struct {
	Job     string
	Model   string // catalogue id
	Segment Segment
	Counts  Counts        // what this segment adds to the job's counts
	Tokens  Tokens        // what this segment adds
	Ledger  Ledger        // what this segment adds
	Took    time.Duration // since the first attempt to upload the segment
}

// Merged is one run that replaced several segments.
type Merged struct {
	Job      string
	Segments int   // number of segments that were merged
	Records  int64 // outcomes in the run
	Bytes    int64 // bytes of the segments that were read
	Took     time.Duration
}

// Published is one publication of a job's output.
type Published struct {
	Job   string
	Model string // catalogue id
	Trace string // of the job (Request.Trace)
	Epoch int64  // of the publication; a higher epoch replaces a lower one
	Final bool   // true: all output of the job; its small manifest follows when its end is decided. False: partial output while the job runs
	Files int    // number of output objects
	Bytes int64  // total size of the output objects
	Took  time.Duration
}

// Moved is one change of a job's status.
type Moved struct {
	Job       string
	Model     string // catalogue id
	Trace     string // of the job (Request.Trace)
	From, To  Status
	Submitted time.Time // when the job was created
	At        time.Time
}

// Paused is a class of requests (path, features, size) that a backend fails on. Its records wait until the backend answers
// such a request again.
type Paused struct {
	Model   string // catalogue id
	Backend string
	Class   string // in words
	Kind    FailureKind
}

// Claimed is a claim of chunks for this worker.
type Claimed struct {
	Job     string
	Model   string // catalogue id
	Trace   string // of the job (Request.Trace)
	Chunks  int
	Records int64         // of these chunks, with those that have an outcome
	Took    time.Duration // since the claim began, with its retries
	Sample  bool          // they are claimed for the sample
}

// Capped is a job that reached a cap.
type Capped struct {
	Job   string
	Model string // catalogue id
	Cap   Cap
}

// Sampled is the end of a job's sample.
type Sampled struct {
	Job     string
	Model   string // catalogue id
	Records int    // of the sample
	Passed  bool   // false: all records failed in the same way, and the job is paused
}

// Posted is one request to a receiver of events, or the end of the attempts for an event.
type Posted struct {
	Receiver string // host, or the name in the settings
	Outcome  PostOutcome
}

// PostOutcome is how a request to a receiver of events ended.
type PostOutcome string

// The outcomes.
const (
	PostDelivered PostOutcome = "delivered"
	PostFailed    PostOutcome = "failed"   // it is sent again, or given up
	PostGivenUp   PostOutcome = "given_up" // it is not sent again; follows a PostFailed
)
