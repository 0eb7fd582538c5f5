package batholith

import (
	"context"
	"fmt"
	"time"
)

// RecordKey names a record inside a job: which file, and which record of it, both from 0.
type RecordKey struct {
	File   int
	Record int64
}

// Compare orders keys as the output has them: by file, then by record.
func (k RecordKey) Compare(l RecordKey) int {
	switch {
	case k.File != l.File:
		return k.File - l.File
	case k.Record < l.Record:
		return -1
	case k.Record > l.Record:
		return 1
	}
	return 0
}

// Outcome is what became of one record: the line that the output will have for it, and what the ledger needs.
type Outcome struct {
	Job   string
	Key   RecordKey
	Chunk int   // number of the chunk within the job
	First int64 // first record of that chunk: Key.Record-First is the outcome's bit in Chunk.Done
	Epoch int64 // of the lease under which it was made; a commit compares it
	// Line is the whole output line with its newline:
	// {"recordId":…,"modelInput":…,"modelOutput":…} or {"recordId":…,"modelInput":…,"error":{…}}.
	Line     []byte
	Errored  bool // Line has an error
	Kind     OutcomeKind
	Tokens   Tokens  // of the answer
	Wasted   Tokens  // of answers before it that could not be used
	Attempts int     // requests that were counted for this record
	Canaries int     // requests of our own that were sent about records like this one since the last that ended
	Source   *Source // of an answer; nil: it is not known, or there is none

	// Settled, when set, is called once when Line is in memory no longer on the outcome's account: it was committed, refused or given up.
	Settled func()
}

// RecordError is the error member of an output line (Bedrock: error{errorCode, errorMessage}). It is data, never a fault:
// a job with such lines still ends Completed.
type RecordError struct {
	Code    int    `json:"errorCode"` // follows the HTTP status that the runtime API would give
	Message string `json:"errorMessage"`
}

func (e *RecordError) Error() string { return fmt.Sprintf("%d %s", e.Code, e.Message) }

// Call is one request to a backend, in the backend's own protocol.
type Call struct {
	Path string // appended to the backend's URL: /chat/completions, /completions, /embeddings
	Body []byte
	Room Room // for the answer; nil: there is room for any
	// Fresh asks for a new connection that is closed afterwards. A kept connection may be broken, and a balancer sends all
	// requests of one connection to the same replica.
	Fresh bool
	// ServerTools says that the server may run tools for this request, such as a web search. They may have effects outside the
	// server, so that a request that was sent in full should not be repeated.
	ServerTools bool
	Took        time.Duration // how long the answer took; known when there is one
	// Changes are what of the record is not in Body as it was given.
	Changes Changes
	Spare   Spare
}

// Spare is a set of request members that the record can do without, or that can be written in another form. Package dialect says which. If a server
// refuses one, the request is sent again without it, or with the other form.
type Spare uint32

// Room is what an answer takes in memory. It is used by one goroutine, in the time of one call.
type Room interface {
	// Grow waits until there is room for n bytes more. An error is the cause of ctx.
	Grow(ctx context.Context, n int) error
	// Alone waits until no other large thing is copied; n is how many bytes this one has.
	Alone(n int) (leave func())
}

// Answer is what a backend's answer became in the words of the record's body family.
type Answer struct {
	Output []byte // modelOutput: one JSON value without line breaks
	Tokens Tokens
	Model  string  // the name that the answer gives itself; "" when it gives none
	Source *Source // where it came from; a dialect leaves it nil
}

// FailureKind says what a failed attempt looks like. The status of an answer alone cannot tell a bad record from a bad server, so the kind
// is a first guess; answers to other records decide whose fault it is.
type FailureKind int

// The five kinds of failure.
const (
	// FailureBackPressure: the backend has no room now (429, 503, 529, loading). The record waits as told; no attempt is counted.
	FailureBackPressure FailureKind = iota + 1
	// FailureRetry: the attempt is lost (408, 500, 502, 504, reset, timeout, torn or nonsense answer). It may be the server's fault or the
	// record's.
	FailureRetry
	// FailureBadRecord: the server refuses the record as such (400, 413, 422, 451).
	FailureBadRecord
	// FailureMisconfigured: the server answered in a way that looks like a wrong setting (401, 402, 403, 404, 405, a redirect, a model
	// that it does not know). It may be about this record only, when a firewall or a router answers in the server's place.
	FailureMisconfigured
	// FailureUnreachable: no connection could be made (DNS, refused, no route, TLS), so nothing was sent. It says nothing about the record.
	FailureUnreachable
)

// String names the kind for messages.
func (k FailureKind) String() string {
	return [...]string{"unknown", "back-pressure", "retry", "bad record", "backend misconfigured", "backend unreachable"}[k]
}

// Failure is a failed attempt, classified.
type Failure struct {
	Kind       FailureKind
	Status     int           // HTTP status, 0 when there was no answer
	Message    string        // for the error line of this record only: it may quote the server, and a server may quote the request
	Public     string        // for everybody else: our own words, host and remedy, and no byte that a server sent; see [Failure.Reason]
	RetryAfter time.Duration // as the backend told; 0 when it did not
	Crash      bool          // a retry whose connection broke: the server may have crashed, over this record or another
	Sent       bool          // the request was written in full, or an answer came: the server may have worked on it
}

// Reason says why the attempt failed, to those who may not read the record: the jobs of others, the log, the operator. It is Public,
// or kind and status where Public is empty.
func (f *Failure) Reason() string {
	switch {
	case f.Public != "":
		return f.Public
	case f.Status == 0:
		return f.Kind.String()
	}
	return fmt.Sprintf("HTTP %d, %s", f.Status, f.Kind)
}

// Error is fit for a log: it does not hold Message.
func (f *Failure) Error() string {
	switch {
	case f.Public == "":
		return f.Reason()
	case f.Status == 0:
		return fmt.Sprintf("%s: %s", f.Kind, f.Public)
	}
	return fmt.Sprintf("%s: HTTP %d: %s", f.Kind, f.Status, f.Public)
}
