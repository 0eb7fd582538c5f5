package batholith

import (
	"fmt"
	"time"
)

// Status is where a job stands. The values are Bedrock's ModelInvocationJobStatus.
type Status string

// The ten statuses, in the order of Bedrock's service model.
const (
	StatusSubmitted          Status = "Submitted"          // queued for validation
	StatusInProgress         Status = "InProgress"         // records are being sent
	StatusCompleted          Status = "Completed"          // every record was attempted, whatever came of it
	StatusFailed             Status = "Failed"             // validation failed, or the output cannot be written
	StatusStopping           Status = "Stopping"           // a stop was asked for; finished records are being kept
	StatusStopped            Status = "Stopped"            // stopped; what was finished is in the output
	StatusPartiallyCompleted Status = "PartiallyCompleted" // the timeout passed while records were being sent
	StatusExpired            Status = "Expired"            // the timeout passed before the first record was sent
	StatusValidating         Status = "Validating"         // role, access, format and quotas are being checked
	StatusScheduled          Status = "Scheduled"          // validated; waits for its turn at the model
)

// Statuses lists the ten statuses in Bedrock's order.
func Statuses() []Status {
	return []Status{StatusSubmitted, StatusInProgress, StatusCompleted, StatusFailed, StatusStopping, StatusStopped,
		StatusPartiallyCompleted, StatusExpired, StatusValidating, StatusScheduled}
}

// Event is what can happen to a job.
type Event string

// The events that move a job.
const (
	EventValidate Event = "validate" // validation begins
	EventAccept   Event = "accept"   // validation found nothing wrong
	EventBegin    Event = "begin"    // the job's turn came: its first record is about to be sent
	EventFinish   Event = "finish"   // every record has an outcome, and the output is published
	EventFail     Event = "fail"     // the job cannot be validated, or cannot go on
	EventStop     Event = "stop"     // the client asked to stop
	EventHalt     Event = "halt"     // nothing is in flight any more, and what was finished is published
	EventExpire   Event = "expire"   // jobExpirationTime passed
)

// Events lists every event.
func Events() []Event {
	return []Event{EventValidate, EventAccept, EventBegin, EventFinish, EventFail, EventStop, EventHalt, EventExpire}
}

// moves is the whole life of a job; what it does not name is refused.
// A status has no way back to an earlier one, and a terminal status has no way on.
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
		EventStop: StatusStopping, // asking twice is no error
		EventHalt: StatusStopped,
		EventFail: StatusFailed,
	},
}

// HasMessage tells whether a job in status s has Bedrock's message, which says why it failed or expired. Clients in use take any message
// for a failure, whatever the status.
func (s Status) HasMessage() bool { return s == StatusFailed || s == StatusExpired }

// A MoveError says that an event is not possible in a status.
type MoveError struct {
	Status Status
	Event  Event
}

func (e *MoveError) Error() string {
	return fmt.Sprintf("a job that is %s cannot %s", e.Status, e.Event)
}

// Next is the status of a job in status s after event e, or a [*MoveError].
func (s Status) Next(e Event) (Status, error) {
	next, ok := moves[s][e]
	if !ok {
		return s, &MoveError{Status: s, Event: e}
	}
	return next, nil
}

// Terminal tells whether nothing can happen to a job in this status any more.
func (s Status) Terminal() bool {
	return len(moves[s]) == 0
}

// Change is one step of a job's status, the first being its creation. Changes are kept for as long as the job.
type Change struct {
	Seq     int64 // rises with every change of any job
	Job     string
	Status  Status
	Message string // what the change said; empty when it said nothing
	At      time.Time
}
