package dispatch

import (
	"testing"
	"time"

	"github.com/batholith/batholith"
)

// The table, row by row: what is known of the record and of its class, and what becomes of it.
func TestTheTableOfVerdicts(t *testing.T) {
	const (
		pressure = batholith.FailureBackPressure
		ill      = batholith.FailureRetry
		bad      = batholith.FailureBadRecord
		setting  = batholith.FailureMisconfigured
		away     = batholith.FailureUnreachable
	)
	type row struct {
		name    string
		attempt attempt
		kind    batholith.FailureKind
		sent    bool
		asked   time.Duration // Retry-After
		e       evidence
		want    verdict
	}
	failed := func(name string, kind batholith.FailureKind, a attempt, e evidence, want verdict) row {
		a.needed = 4
		return row{name: name, attempt: a, kind: kind, e: e, want: want}
	}
	due := func(name string, kind batholith.FailureKind, a attempt, e evidence, want verdict) row {
		r := failed(name, kind, a, e, want)
		r.attempt.waited = true
		return r
	}
	healthy := evidence{since: true, known: true, canary: true}
	silent := evidence{known: true, canary: true, idle: true}
	with := func(e evidence, change func(*evidence)) evidence { change(&e); return e }
	rows := []row{
		failed("called off", ill, attempt{calledOff: true}, healthy, verdict{act: drop}),
		failed("called off, though it was refused", bad, attempt{calledOff: true}, healthy, verdict{act: drop}),
		failed("nothing was sent", away, attempt{failures: 9}, healthy, verdict{act: back, out: true}),

		failed("the first failure", ill, attempt{}, healthy, verdict{act: retry, after: firstRetry}),
		failed("the third failure", ill, attempt{failures: 2}, healthy, verdict{act: retry, after: 4 * firstRetry}),
		failed("the last that it may have still waits for evidence", ill, attempt{failures: 3}, healthy, verdict{act: retry, after: 8 * firstRetry}),
		failed("fifteen in a row", ill, attempt{}, with(silent, func(e *evidence) { e.row = 15 }), verdict{act: retry, after: firstRetry}),
		failed("sixteen in a row", ill, attempt{}, with(silent, func(e *evidence) { e.row = 16 }), verdict{act: pause}),
		failed("sixteen in a row after a canary was answered", ill, attempt{}, with(silent, func(e *evidence) { e.row, e.vouched = 16, 1 }), verdict{act: retry, after: firstRetry}),
		failed("thirty-two after it", ill, attempt{}, with(silent, func(e *evidence) { e.row, e.vouched = 32, 1 }), verdict{act: pause}),
		failed("256 after many", ill, attempt{}, with(silent, func(e *evidence) { e.row, e.vouched = 256, 40 }), verdict{act: pause}),
		failed("in a paused class", ill, attempt{failures: 3}, with(silent, func(e *evidence) { e.paused, e.row = true, 99 }), verdict{act: retry, after: pausedFor}),
		failed("in a condemned class", ill, attempt{}, with(silent, func(e *evidence) { e.condemned = true }), verdict{act: retry, after: firstRetry}),

		failed("a wrong setting, of a class that was answered", setting, attempt{}, healthy, verdict{act: retry, after: firstRetry}),
		failed("a wrong setting, of one that never was", setting, attempt{}, evidence{canary: true}, verdict{act: pause}),
		failed("a wrong setting, though a canary was answered", setting, attempt{}, evidence{canary: true, vouched: 1}, verdict{act: retry, after: firstRetry}),

		failed("refused for good", bad, attempt{}, healthy, verdict{act: finish, own: true}),
		failed("nineteen refused alike", bad, attempt{}, with(silent, func(e *evidence) { e.alike = 19 }), verdict{act: finish, own: true}),
		failed("twenty refused alike", bad, attempt{}, with(silent, func(e *evidence) { e.alike = 20 }), verdict{act: pause}),
		failed("twenty refused alike, and a canary was answered", bad, attempt{}, with(silent, func(e *evidence) { e.alike, e.vouched = 20, 1 }), verdict{act: finish, own: true}),
		failed("twenty refused alike, and there is no canary", bad, attempt{}, evidence{alike: 20}, verdict{act: finish, own: true}),
		failed("refused in a paused class", bad, attempt{}, with(silent, func(e *evidence) { e.paused = true }), verdict{act: retry, after: pausedFor}),

		failed("no room", pressure, attempt{}, healthy, verdict{act: retry}),
		failed("no room, for anybody", pressure, attempt{}, with(silent, func(e *evidence) { e.row = 16 }), verdict{act: pause}),
		failed("no room, while others are worked on", pressure, attempt{}, with(silent, func(e *evidence) { e.row, e.idle = 16, false }), verdict{act: retry}),
		failed("no room, in a condemned class", pressure, attempt{}, with(silent, func(e *evidence) { e.condemned = true }), verdict{act: retry}),

		due("called off while it waited", ill, attempt{calledOff: true}, healthy, verdict{act: drop}),
		due("others were answered since", ill, attempt{}, healthy, verdict{act: ask, own: true}),
		due("others were answered since, as often as needed", ill, attempt{failures: 3}, healthy, verdict{act: finish, own: true}),
		due("one less", ill, attempt{failures: 2}, healthy, verdict{act: ask, own: true}),
		due("others are on their way", ill, attempt{failures: 3}, with(silent, func(e *evidence) { e.begun = true }), verdict{act: retry, after: lookAgain}),
		due("nobody can tell", ill, attempt{failures: 3}, silent, verdict{act: inquire, after: lookAgain}),
		due("nobody can tell, and there is no canary", ill, attempt{failures: 3}, evidence{known: true, idle: true}, verdict{act: pause}),
		due("in a paused class", ill, attempt{failures: 3}, with(silent, func(e *evidence) { e.paused = true }), verdict{act: retry, after: pausedFor}),
		due("in a class that is paused elsewhere", ill, attempt{failures: 3, lost: true}, with(silent, func(e *evidence) { e.paused = true }), verdict{act: ask}),
		due("in a condemned class, and the lane answers others", ill, attempt{}, with(silent, func(e *evidence) { e.condemned, e.lives = true, true }), verdict{act: finish, own: true}),
		due("in a condemned class, and the lane may be dead", ill, attempt{failures: 3}, with(silent, func(e *evidence) { e.condemned = true }), verdict{act: inquire, after: lookAgain}),
		due("the lane answers others, which says nothing of this class", ill, attempt{failures: 3}, with(silent, func(e *evidence) { e.lives = true }), verdict{act: inquire, after: lookAgain}),
		due("refused in a pause that a canary ended", bad, attempt{}, healthy, verdict{act: finish, own: true}),
		due("refused in a pause, and nobody can tell", bad, attempt{}, silent, verdict{act: inquire, after: lookAgain}),

		due("it failed in an outage", ill, attempt{failures: 3}, with(healthy, func(e *evidence) { e.excused = true }), verdict{act: ask}),
		due("it was refused in an outage", bad, attempt{failures: 3}, with(healthy, func(e *evidence) { e.excused = true }), verdict{act: ask}),
		due("no room, and others were answered", pressure, attempt{}, healthy, verdict{act: ask, own: true}),
		due("no room, and nobody was", pressure, attempt{failures: 3}, silent, verdict{act: inquire, after: lookAgain}),
		due("no room, and others are worked on", pressure, attempt{failures: 3}, with(silent, func(e *evidence) { e.idle = false }), verdict{act: ask}),
		due("no room, as often as needed", pressure, attempt{failures: 3}, healthy, verdict{act: ask, own: true, alone: true}),
		due("no room, with nothing beside it", pressure, attempt{failures: 3, alone: true}, healthy, verdict{act: finish, own: true}),
		due("no room, with nothing beside it, too early", pressure, attempt{failures: 2, alone: true}, healthy, verdict{act: ask, own: true}),

		due("a shared crash is nobody's own", ill, attempt{failures: 3, shared: true, crashes: 1}, healthy, verdict{act: ask}),
		due("after the second it is sent alone", ill, attempt{failures: 3, shared: true, crashes: 2}, healthy, verdict{act: ask, alone: true}),
		due("a crash alone is its own", ill, attempt{alone: true, crashes: 3}, healthy, verdict{act: ask, own: true, alone: true}),
		due("the last one alone", ill, attempt{alone: true, crashes: 6, failures: 3}, healthy, verdict{act: finish, own: true}),
	}
	once := failed("tools of the server, and it was sent", ill, attempt{once: true}, healthy, verdict{act: finish, own: true})
	once.sent = true
	asked := failed("it asks for more time", ill, attempt{}, healthy, verdict{act: retry, after: 7 * time.Second})
	asked.asked = 7 * time.Second
	long := failed("it asks for an hour", ill, attempt{}, healthy, verdict{act: retry, after: longestAsk})
	long.asked = time.Hour
	told := failed("no room for a while", pressure, attempt{}, healthy, verdict{act: retry, after: 7 * time.Second})
	told.asked = 7 * time.Second
	rows = append(rows, once, asked, long, told,
		failed("tools of the server, and it was not sent in full", ill, attempt{once: true}, healthy, verdict{act: retry, after: firstRetry}))
	for _, r := range rows {
		f := &batholith.Failure{Kind: r.kind, Sent: r.sent, RetryAfter: r.asked}
		if got := judge(r.attempt, f, r.e); got != r.want {
			t.Errorf("%s (%v, waited %v): %+v, want %+v", r.name, r.kind, r.attempt.waited, got, r.want)
		}
	}
}

func TestAGoodRecordIsBlamedOnceInAMillion(t *testing.T) {
	for _, tt := range []struct {
		configured int
		share      float64
		want       int
	}{{4, 0, 4}, {4, 0.01, 4}, {1, 0.01, 3}, {4, 0.05, 5}, {4, 0.1, 6}, {4, 0.2, 9}, {4, 0.5, 20}, {4, 0.9, 20}, {30, 0.5, 30}} {
		if got := attemptsNeeded(tt.configured, tt.share); got != tt.want {
			t.Errorf("configured %d, share %v: %d attempts, want %d", tt.configured, tt.share, got, tt.want)
		}
	}
}

func TestTheShareOfFailuresIsThatOfGoodRecords(t *testing.T) {
	var s failing
	if got := s.share(); got != 0.5/shy {
		t.Errorf("of a new class: %v", got)
	}
	for range 3000 {
		s.answer(0)
		s.answer(1)
	}
	if got := s.share(); got < 0.32 || got > 0.34 { // one attempt of three fails
		t.Errorf("one of three attempts fails: %v", got)
	}
	for range 10 * fading {
		s.answer(0)
	}
	if got := s.share(); got > 0.001 {
		t.Errorf("long after: %v", got)
	}
}

func TestClassesAreFew(t *testing.T) {
	var c classes
	a := c.of(class{path: "/chat/completions"})
	if b := c.of(class{path: "/chat/completions", id: 7}); a != b {
		t.Error("the same class twice")
	}
	if b := c.of(class{path: "/embeddings"}); a == b || c.plain(b) != b || c.plain(a) != a {
		t.Error("two paths are one class")
	}
	for size, want := range map[int]int{0: 0, smallRecord - 1: 0, smallRecord: 1, 8*smallRecord - 1: 1, 8 * smallRecord: 2, 64 * smallRecord: 3} {
		if got := bandOf(size); got != want {
			t.Errorf("%d bytes are of band %d, want %d", size, got, want)
		}
	}
}
