package dispatch

import (
	"math"
	"time"

	"github.com/batholith/batholith"
)

// act is what becomes of a record whose last attempt failed.
type act int

const (
	drop    act = iota // its job was halted, or the lease was lost: nothing is done for it any more
	back               // it goes back to where it was: the attempt never reached the server
	retry              // it waits, and is judged again when it is due
	inquire            // nobody can tell whose fault the failure was: a canary is asked, and the record waits
	pause              // its class is paused on the lane, and it waits
	ask                // it is sent again now
	finish             // it ends with an error line
)

func (a act) String() string {
	return [...]string{"drop", "back", "retry", "inquire", "pause", "ask", "finish"}[a]
}

// verdict is what the table says.
type verdict struct {
	act   act
	after time.Duration // of a retry: how long it waits at least
	own   bool          // the failure was the record's own: others of its class were answered after it
	alone bool          // of ask: nothing else may be in flight beside it
	out   bool          // the lane cannot be used at all until it is probed
}

// attempt is what the table is told of a record.
type attempt struct {
	calledOff bool
	waited    bool // since its last failure: it is due. Otherwise it has failed just now
	failures  int  // its own ones before this one
	needed    int  // how many of its own end it
	alone     bool // nothing of ours was in flight beside it when it failed
	shared    bool // its connection broke together with those of other requests
	crashes   int  // breaks that were shared, or while it was alone; this one included
	once      bool // it must not be sent again once the server has it: the server runs its tools
	lost      bool // it has failed on a lane that others of its class may not use now, and this is another
}

// evidence is what is known of a record's class on the lane where it failed, as of now.
type evidence struct {
	since     bool // a request of the class that began after the failure was answered
	excused   bool // the failure was in a time when nothing of the class was answered, not even a canary
	begun     bool // such a request is in flight
	known     bool // the class was answered before
	paused    bool
	condemned bool // the class had its ten minutes of trials while the lane answered others, and nothing of it was answered
	row       int  // failures of the class in a row, with no answer between
	alike     int  // different records of the class that were refused alike in a row, with no answer between
	idle      bool // nothing of the class is in flight
	vouched   int  // times that a canary was answered since a record was
	canary    bool // there is a canary for the class
}

// When a class is paused.
const (
	failuresInRow = 16 // without an answer; doubled each time that a canary was answered meanwhile,
	mostDoubled   = 4  // at most so many times
	refusedAlike  = 20 // different records, as errors of their own (400, 413, 422), without an answer
)

// Waiting between looks at the evidence, and for a record that was refused.
const (
	lookAgain = 250 * time.Millisecond
	pausedFor = 10 * time.Second // or until the pause is over
)

// judge is the table: what a failure means for the record. A status alone cannot tell a bad record from a bad server; answers to others can.
// So a failure counts against a record only when a request of its class that began later was answered, and until then the record waits.
// The order of the rows matters: the first that applies decides.
func judge(a attempt, f *batholith.Failure, e evidence) verdict {
	if a.calledOff {
		return verdict{act: drop}
	}
	if a.waited {
		return rejudge(a, f, e)
	}
	switch f.Kind {
	case batholith.FailureUnreachable: // nothing was sent, so it says nothing of the record
		return verdict{act: back, out: true}
	case batholith.FailureBackPressure:
		if e.row >= failuresInRow && e.idle && !e.paused { // everything is refused, and there is nothing to wait for
			return verdict{act: pause}
		}
		return verdict{act: retry, after: f.RetryAfter}
	}
	switch {
	case a.once && f.Sent:
		return verdict{act: finish, own: true}
	case e.condemned:
		return verdict{act: finish, own: true}
	case e.paused: // this was a trial, or it was in flight when the class was paused
		return verdict{act: retry, after: pausedFor}
	case f.Kind == batholith.FailureBadRecord:
		if e.alike >= refusedAlike && e.vouched == 0 && e.canary {
			return verdict{act: pause}
		}
		return verdict{act: finish, own: true}
	case f.Kind == batholith.FailureMisconfigured && !e.known && e.vouched == 0:
		return verdict{act: pause}
	case e.row >= failuresInRow<<min(e.vouched, mostDoubled):
		return verdict{act: pause}
	}
	return verdict{act: retry, after: pace(a.failures+1, f.RetryAfter)}
}

// rejudge is the part of the table for a record that has waited after a failure.
func rejudge(a attempt, f *batholith.Failure, e evidence) verdict {
	pressed := f.Kind == batholith.FailureBackPressure
	own := (e.since && !e.excused || e.condemned) && !a.shared
	failures := a.failures
	if own {
		failures++
	}
	suspect := a.crashes >= suspectAfter
	if f.Kind == batholith.FailureBadRecord { // the status says so as well
		a.needed = 1
	}
	switch {
	case own && failures >= a.needed && (!pressed || a.alone):
		return verdict{act: finish, own: true}
	case own && failures >= a.needed: // refused as often as it may be: once more with nothing beside it
		return verdict{act: ask, own: true, alone: true}
	case a.lost:
		return verdict{act: ask, alone: suspect}
	case e.since || e.condemned:
		return verdict{act: ask, own: own, alone: suspect}
	case e.paused:
		return verdict{act: retry, after: pausedFor}
	case pressed && !e.idle: // waiting is all that back-pressure asks for
		return verdict{act: ask, alone: suspect}
	case e.begun:
		return verdict{act: retry, after: lookAgain}
	case e.canary:
		return verdict{act: inquire, after: lookAgain}
	}
	return verdict{act: pause}
}

// A record that crashes the server takes others down with it, and no record is blamed for a crash that it shared: one whose connection
// broke together with others' so many times is sent with nothing beside it, and only a crash then is its own.
const suspectAfter = 2

// Waiting between the attempts of a record: doubling, with jitter.
const (
	firstRetry = 200 * time.Millisecond
	lastRetry  = 10 * time.Second
	longestAsk = time.Minute // that a server is left alone when it asks for it
)

// pace is how long a record waits after so many failures, at least what the server asked for. The dispatcher adds jitter.
func pace(failures int, asked time.Duration) time.Duration {
	return max(min(firstRetry<<min(failures-1, 10), lastRetry), min(asked, longestAsk))
}

// Bounds of the share of attempts that fail on good records.
const (
	leastShare = 0.01
	mostShare  = 0.5
	falseBlame = 1e-6 // probability with which a good record may end with an error line
)

// attemptsNeeded is how many failures of its own end a record, at least so many as are configured. With p the share of attempts that fail
// on records of the class that are answered in the end, a good record fails n times in a row with probability pⁿ, so
//
//	n = ⌈ln 10⁻⁶ / ln p⌉, p between 0.01 and 0.5
func attemptsNeeded(configured int, p float64) int {
	p = min(max(p, leastShare), mostShare)
	return max(configured, int(math.Ceil(math.Log(falseBlame)/math.Log(p))))
}

// failing is the share of attempts that failed on records that were answered in the end. What always fails is not in it.
type failing struct{ failed, answered float64 }

// fading is about how many answers are remembered; shy is for how many answers without a failure a new class is taken.
const (
	fading = 1000
	shy    = 20
)

// answer takes in a record that was answered after so many failures of its own.
func (s *failing) answer(failures int) {
	const fade = 1 - 1.0/fading
	s.failed, s.answered = s.failed*fade+float64(failures), s.answered*fade+1
}

// share is the estimate: (f + ½) / (f + n + 20).
func (s *failing) share() float64 {
	return (s.failed + 0.5) / (s.failed + s.answered + shy)
}
