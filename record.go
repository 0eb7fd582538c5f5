package batholith

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// RecordKey identifies a record within a job: the index of its file and its index in that file, both from 0.
type RecordKey struct {
	File   int
	Record int64
}

// Compare orders keys as in the output: by file, then by record. The result is negative, 0 or positive.
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

// Outcome is the result of one record: its output line, and the numbers for the ledger.
type Outcome struct {
	Job   string
	Key   RecordKey
	Chunk int   // chunk number within the job
	First int64 // first record of that chunk; the outcome's bit in Chunk.Done is Key.Record - First
	Epoch int64 // epoch of the lease under which it was made; a commit is rejected if the chunk has another
	// Line is the whole output line including its newline:
	// {"recordId":…,"modelInput":…,"modelOutput":…} or {"recordId":…,"modelInput":…,"error":{…}}.
	Line     []byte
	Errored  bool // Line is an error line
	Kind     OutcomeKind
	Tokens   Tokens  // tokens of the answer
	Wasted   Tokens  // tokens of earlier answers that could not be used
	Attempts int     // counted requests for this record
	Canaries int     // canaries sent for records like this one since the last such record ended
	Source   *Source // origin of the answer; nil: unknown, or an error line

	// Settled, if not nil, is called once when the outcome no longer needs Line in memory: it was committed,
	// rejected or given up.
	Settled func()
}

// RecordError is the error member of an output line (Bedrock: error{errorCode, errorMessage}). It is data, not
// a Go error to handle: a job with error lines still ends Completed.
type RecordError struct {
	Code    int    `json:"errorCode"` // the HTTP status that InvokeModel or Converse would answer
	Message string `json:"errorMessage"`
}

// Error returns code and message, so that a RecordError can be returned as an error.
func (e *RecordError) Error() string { return fmt.Sprintf("%d %s", e.Code, e.Message) }

// Call is one request to a backend, in the backend's protocol.
type Call struct {
	Path string // appended to the backend's base URL: /chat/completions, /completions, /embeddings
	Body []byte
	Room Room // memory for the answer; nil: unlimited
	// Fresh requests a new connection, which is closed after the answer. A kept connection may be broken, and a
	// load balancer sends all requests of one connection to the same replica.
	Fresh bool
	// ServerTools means that the server may run tools for this request, for example a web search. Tools may
	// have side effects, so a request that was sent completely should not be repeated.
	ServerTools bool
	Took        time.Duration // duration of the request; set once an answer has come
	// Changes lists the members of modelInput that Body leaves out or contains in another form.
	Changes Changes
	Spare   Spare // members of Body that may be left out
	// Media are objects whose Base64 is sent in the place of their marks in Body.
	Media   []Medium
	Headers [][2]string // names and values of headers that the request has beside those of every request
}

// Spare is a set of optional request members: the record works without them, or with another form of them.
// Package dialect defines the bits. If a server rejects one, the request is sent again without it, or with the
// other form.
type Spare uint32

// Room accounts for the memory of one answer. One goroutine uses it, during one call.
type Room interface {
	// Grow blocks until n more bytes are available. It fails only if ctx is cancelled, and then returns the
	// context's cause.
	Grow(ctx context.Context, n int) error
	// Alone blocks until no other large value is being copied, for a value of n bytes. The caller must call
	// leave afterwards.
	Alone(n int) (leave func())
}

// Answer is a backend's answer, translated into the record's body family.
type Answer struct {
	Output []byte // modelOutput: one JSON value on a single line
	Tokens Tokens
	Model  string  // model name in the answer; "" if it has none
	Source *Source // where the answer came from; set by the caller of the dialect, which leaves it nil
}

// FailureKind classifies a failed attempt. The HTTP status alone cannot tell a bad record from a bad server.
// The kind is only a first guess; the answers to other records show which of the two is at fault.
type FailureKind int

// The five kinds of failure.
const (
	// FailureBackPressure: the backend is overloaded (429, 503, 529, model loading). The record waits, for
	// Retry-After if given. The attempt is not counted.
	FailureBackPressure FailureKind = iota + 1
	// FailureRetry: the attempt failed (408, 500, 502, 504, connection reset, timeout, incomplete or unreadable
	// answer). The cause may be the server or the record.
	FailureRetry
	// FailureBadRecord: the server rejected this record (400, 413, 422, 451).
	FailureBadRecord
	// FailureMisconfigured: the answer suggests a wrong setting (401, 402, 403, 404, 405, a redirect, an
	// unknown model). If a firewall or router answered instead of the server, it may still concern this record
	// only.
	FailureMisconfigured
	// FailureUnreachable: no connection could be made (DNS, connection refused, no route, TLS), so nothing was
	// sent. It says nothing about the record.
	FailureUnreachable
)

// String returns the name of the kind, for messages.
func (k FailureKind) String() string {
	return [...]string{"unknown", "back-pressure", "retry", "bad record", "backend misconfigured", "backend unreachable"}[k]
}

// Failure is a failed attempt and its classification.
type Failure struct {
	Kind       FailureKind
	Status     int           // HTTP status; 0: no answer came
	Message    string        // only for this record's own error line: it may quote the server, which may quote the request
	Public     string        // for everyone else: cause, host and remedy in our words, without a byte from the server. See [Failure.Reason]
	Remedy     string        // what an operator can do; "": not known. Public ends with it, after "; "
	RetryAfter time.Duration // from the Retry-After header; 0: none
	Crash      bool          // the connection broke during a FailureRetry: the server may have crashed, because of this record or another
	TimedOut   bool          // the answer did not come within the backend's timeout
	Sent       bool          // the request was sent completely, or an answer came: the server may have processed it
}

// Reason explains the failure to people who may not read the record: owners of other jobs, readers of the log,
// the operator. It returns Public, or the status and kind if Public is empty.
func (f *Failure) Reason() string {
	switch {
	case f.Public != "":
		return f.Public
	case f.Status == 0:
		return f.Kind.String()
	}
	return fmt.Sprintf("HTTP %d, %s", f.Status, f.Kind)
}

// Cause is Reason without the remedy.
func (f *Failure) Cause() string {
	if f.Remedy == "" {
		return f.Reason()
	}
	return strings.TrimSuffix(f.Reason(), "; "+f.Remedy)
}

// Error returns a text without Message, safe for logs.
func (f *Failure) Error() string {
	switch {
	case f.Public == "":
		return f.Reason()
	case f.Status == 0:
		return fmt.Sprintf("%s: %s", f.Kind, f.Public)
	}
	return fmt.Sprintf("%s: HTTP %d: %s", f.Kind, f.Status, f.Public)
}
