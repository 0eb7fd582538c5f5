package batholith

import (
	"fmt"
	"time"
)

// Status is the state of a job. The values are Bedrock's ModelInvocationJobStatus.
type Status string

// The ten statuses, in the order of Bedrock's service model.
const (
	StatusSubmitted          Status = "Submitted"          // queued for validation
	StatusInProgress         Status = "InProgress"         // records are being sent
	StatusCompleted          Status = "Completed"          // every record was attempted, whether it succeeded or not
	StatusFailed             Status = "Failed"             // validation failed, or the output could not be written
	StatusStopping           Status = "Stopping"           // a stop was requested; finished records are being saved
	StatusStopped            Status = "Stopped"            // stopped; finished records are in the output
	StatusPartiallyCompleted Status = "PartiallyCompleted" // the timeout passed while records were being sent
	StatusExpired            Status = "Expired"            // the timeout passed before the first record was sent
	StatusValidating         Status = "Validating"         // role, access, format and quotas are being checked
	StatusScheduled          Status = "Scheduled"          // validated; waits for its turn at the model
)

// Statuses returns the ten statuses in Bedrock's order.
func Statuses() []Status {
	return []Status{StatusSubmitted, StatusInProgress, StatusCompleted, StatusFailed, StatusStopping, StatusStopped,
		StatusPartiallyCompleted, StatusExpired, StatusValidating, StatusScheduled}
}

// Event is something that can happen to a job and change its status.
type Event string

// The events that move a job.
const (
	EventValidate Event = "validate" // validation begins
	EventAccept   Event = "accept"   // validation found no error
	EventBegin    Event = "begin"    // the job is next in the queue: its first record is about to be sent
	EventFinish   Event = "finish"   // every record has an outcome, and the output is published
	EventFail     Event = "fail"     // validation failed, or the job cannot continue
	EventStop     Event = "stop"     // the client requested a stop
	EventHalt     Event = "halt"     // no request is in flight any more, and finished records are published
	EventExpire   Event = "expire"   // jobExpirationTime passed
)

// Events returns all events.
func Events() []Event {
	return []Event{EventValidate, EventAccept, EventBegin, EventFinish, EventFail, EventStop, EventHalt, EventExpire}
}

// moves defines the whole life of a job; an event that it does not list for a status is rejected. No path leads
// back to an earlier status, and a terminal status has no events.
var moves = map[Status]map[Event]Status{
	StatusSubmitted: {
		EventValidate: StatusValidating,
		EventFail:     StatusFailed,
		EventStop:     StatusStopping,
		EventExpire:   StatusExpired,
	},
	StatusValidating: {
		EventAccept: StatusScheduled,
		EventFail:   StatusFailed,
		EventStop:   StatusStopping,
		EventExpire: StatusExpired,
	},
	StatusScheduled: {
		EventBegin:  StatusInProgress,
		EventFail:   StatusFailed,
		EventStop:   StatusStopping,
		EventExpire: StatusExpired,
	},
	StatusInProgress: {
		EventFinish: StatusCompleted,
		EventFail:   StatusFailed,
		EventStop:   StatusStopping,
		EventExpire: StatusPartiallyCompleted,
	},
	StatusStopping: {
		EventStop: StatusStopping, // a second stop request is not an error
		EventHalt: StatusStopped,
		EventFail: StatusFailed,
	},
}

// HasMessage reports whether a job in status s has Bedrock's message, the reason why it failed or expired.
// Other statuses have none, because existing clients treat any message as a failure.
func (s Status) HasMessage() bool { return s == StatusFailed || s == StatusExpired }

// A MoveError says that an event cannot happen in a status.
type MoveError struct {
	Status Status
	Event  Event
}

// Error names the status and the event.
func (e *MoveError) Error() string {
	return fmt.Sprintf("a job that is %s cannot %s", e.Status, e.Event)
}

// Next returns the status that follows s after event e. It returns s and a [*MoveError] if e cannot happen in
// s.
func (s Status) Next(e Event) (Status, error) {
	next, ok := moves[s][e]
	if !ok {
		return s, &MoveError{Status: s, Event: e}
	}
	return next, nil
}

// Terminal reports whether s is final: no event can happen any more.
func (s Status) Terminal() bool {
	return len(moves[s]) == 0
}

// Change is one entry of a job's status history. The first is its creation. The history is kept as long as the
// job.
type Change struct {
	Seq     int64 // position among the changes of all jobs, in the order in which they became visible; 0 in the history of one job
	Job     string
	Status  Status
	Message string // message of the change; empty if it has none
	At      time.Time
}

// Point is what a job had at a moment, for plots.
type Point struct {
	Job      string
	At       time.Time
	Records  int64 // with an outcome
	Tokens   int64 // in and out
	InFlight int64 // requests to the servers of the job's model, of all jobs
}
