package dispatch

import (
	"math"
	"time"

	"github.com/batholith/batholith"
)

// act is what happens next to a record whose last attempt failed.
type act int

const (
	drop    act = iota // drop the record: its job was halted, or the lease was lost
	back               // put it back into its place: the attempt never reached the server
	retry              // wait, then judge it again
	inquire            // send a canary, because no other request shows whose fault the failure was; the record waits
	pause              // pause its class on the lane; the record waits
	ask                // send it again now
	finish             // end it with an error line
)

func (a act) String() string {
	return [...]string{"drop", "back", "retry", "inquire", "pause", "ask", "finish"}[a]
}

// verdict is the table's decision.
type verdict struct {
	act   act
	after time.Duration // of retry and inquire: the wait before the record is judged again, without jitter
	own   bool          // the failure counts against the record
	alone bool          // of ask: the record is sent only when nothing else is in flight on the lane
	out   bool          // the lane sends nothing until a probe reaches the backend
}

// attempt is the table's input about the record and its failed attempt.
type attempt struct {
	calledOff bool
	waited    bool // the record has waited since the failure and is due; false: the attempt has failed just now
	failures  int  // failures that count against the record, without this one
	needed    int  // as many failures that count against it end the record
	alone     bool // during the whole attempt no other request was in flight on the lane
	shared    bool // other connections broke together with the one of this attempt
	crashes   int  // connections of this record that broke together with others, or while it was alone; this one included
	once      bool // the request must not be repeated when the server has received it: the server runs the tools that it names
	lost      bool // the record failed on another lane, and its class is paused there
}

// evidence is the table's input about the record's class, on the lane where the record failed, at the time of judging.
type evidence struct {
	since     bool // the server has answered a request of the class that was sent after the failure
	excused   bool // the failure is older than the end of a pause in which nothing of the class was answered, canaries included
	begun     bool // records of the class are in flight, and the latest was sent after the failure
	known     bool // the class was answered at least once since the process started
	paused    bool
	condemned bool // the class stayed unanswered through all its trials while the lane answered other classes (see history)
	lives     bool // the server has answered a request of any class that was sent after the failure
	row       int  // failures of the class in a row: no answer came between them
	alike     int  // records of the class that the server called bad (400, 413, 422, 451) with the same status in a row, and answered none between
	idle      bool // no record of the class is in flight
	vouched   int  // pauses that a canary ended of late; an answered record lowers it by one, at most once a minute
	canary    bool // there is a canary for the class
}

// A class is paused after
//
//	16 × 2^min(vouched, 4) failures in a row, or
//	20 different records that were refused alike (400, 413, 422, 451), when there is a canary and vouched = 0
const (
	failuresInRow = 16
	mostDoubled   = 4
	refusedAlike  = 20
)

// How long a record waits before it is judged again.
const (
	lookAgain = 250 * time.Millisecond // while an answer of its class or of a canary may come
	pausedFor = 10 * time.Second       // while its class is paused; less if the pause ends earlier
)

// judge is the table: it decides what a failure means for the record. A status alone cannot tell a bad record from a bad server, but answers
// to other records can. So a failure counts against the record only after the server has answered a request of the same class that was sent
// later. Until then the record waits. There are three exceptions, which end the record at once: a status that says that the record is bad, a
// request that must not be repeated, and a condemned class.
//
// The first row that applies decides.
func judge(a attempt, f *batholith.Failure, e evidence) verdict {
	if a.calledOff {
		return verdict{act: drop}
	}
	if a.waited {
		return rejudge(a, f, e)
	}
	switch f.Kind {
	case batholith.FailureUnreachable: // nothing was sent, so the failure says nothing about the record
		return verdict{act: back, out: true}
	case batholith.FailureBackPressure:
		if e.row >= failuresInRow && e.idle && !e.paused { // everything is refused, and no answer is on its way
			return verdict{act: pause}
		}
		return verdict{act: retry, after: f.RetryAfter}
	}
	switch {
	case a.once && f.Sent:
		return verdict{act: finish, own: true}
	case e.condemned: // the record ends when the lane has answered a later request of another class
		return verdict{act: retry, after: firstRetry}
	case e.paused: // the attempt was a trial, or it was in flight when the class was paused
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

// rejudge is the second half of the table: for a record that has waited since its failure.
func rejudge(a attempt, f *batholith.Failure, e evidence) verdict {
	pressed := f.Kind == batholith.FailureBackPressure
	condemned := e.condemned && e.lives
	own := (e.since || condemned) && !e.excused && !a.shared
	failures := a.failures
	if own {
		failures++
	}
	suspect := a.crashes >= suspectAfter
	if f.Kind == batholith.FailureBadRecord || condemned { // the status blames the record too, or all the trials do, so one failure is enough
		a.needed = 1
	}
	switch {
	case own && failures >= a.needed && (!pressed || a.alone):
		return verdict{act: finish, own: true}
	case own && failures >= a.needed: // back-pressure: before the record ends it is tried once with nothing else in flight
		return verdict{act: ask, own: true, alone: true}
	case a.lost:
		return verdict{act: ask, alone: suspect}
	case e.since || condemned:
		return verdict{act: ask, own: own, alone: suspect}
	case e.condemned:
		return verdict{act: inquire, after: lookAgain}
	case e.paused:
		return verdict{act: retry, after: pausedFor}
	case pressed && !e.idle: // back-pressure asks for a wait, and the record has waited
		return verdict{act: ask, alone: suspect}
	case e.begun:
		return verdict{act: retry, after: lookAgain}
	case e.canary:
		return verdict{act: inquire, after: lookAgain}
	}
	return verdict{act: pause}
}

// suspectAfter is after how many crashes a record is sent only when nothing else is in flight. A server that crashes breaks all its
// connections, so a break that several requests share counts against none of them. A break of a record that was sent alone counts.
const suspectAfter = 2

// Waits between the attempts of a record. They double from the first to the last.
const (
	firstRetry = 200 * time.Millisecond
	lastRetry  = 10 * time.Second
	longestAsk = time.Minute // the longest Retry-After that is obeyed for one record, except after 429 and 503
)

// pace is how long a record waits after its n-th failure, with asked for the server's Retry-After:
//
//	wait = max(min(0.2 s × 2^(n-1), 10 s), min(asked, 60 s))
//
// The caller adds jitter of up to a quarter in either direction.
func pace(failures int, asked time.Duration) time.Duration {
	return max(min(firstRetry<<min(failures-1, 10), lastRetry), min(asked, longestAsk))
}

// Bounds of p, the share of attempts that fail on good records (see attemptsNeeded).
const (
	leastShare = 0.01
	mostShare  = 0.5
	falseBlame = 1e-6 // accepted probability that a good record ends with an error line
)

// attemptsNeeded is how many failures that count against it end a record. p is the share of failed attempts at records of the class that
// were answered in the end. A good record fails n times in a row with probability pⁿ, so
//
//	n = max(configured, ⌈ln 10⁻⁶ / ln p⌉), with p held between 0.01 and 0.5
func attemptsNeeded(configured int, p float64) int {
	p = min(max(p, leastShare), mostShare)
	return max(configured, int(math.Ceil(math.Log(falseBlame)/math.Log(p))))
}

// failing estimates the share of attempts that fail on good records. It counts only records that were answered in the end, so records that
// always fail do not raise it.
type failing struct{ failed, answered float64 }

const (
	fading = 1000 // answers after which the weight of an older one has fallen to 1/e
	shy    = 20   // a new class begins as if so many records had been answered without a failure
)

// answer notes a record that was answered after so many failures that counted against it.
func (s *failing) answer(failures int) {
	const fade = 1 - 1.0/fading
	s.failed, s.answered = s.failed*fade+float64(failures), s.answered*fade+1
}

// share is the estimate, from f failures and n answers: (f + ½) / (f + n + 20).
func (s *failing) share() float64 {
	return (s.failed + 0.5) / (s.failed + s.answered + shy)
}
