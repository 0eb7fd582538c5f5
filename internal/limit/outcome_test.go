package limit

import (
	"testing"
	"time"

	"github.com/batholith/batholith"
)

// clocked is a limiter with a clock that the test sets.
func clocked(configured int) (*Limiter, *time.Time) {
	now := start
	return NewAt(configured, func() time.Time { return now }), &now
}

// one sends a request and ends it after a time.
func one(t *testing.T, l *Limiter, now *time.Time, took time.Duration, end func(Flight)) {
	t.Helper()
	if _, ok := l.TryAcquire(); !ok {
		t.Fatal("no slot is free")
	}
	f := l.Begin()
	*now = now.Add(took)
	l.Land(&f)
	end(f)
	l.Release()
}

// rest = T/8 × (1 + 12 × max(p - 0.1, 0)), within 1 ms and 1 s, and twice as long, up to 2 s, for each round of refusals.
func TestASlotRestsForAFractionOfAnAnswer(t *testing.T) {
	for _, c := range []struct {
		mean, share float64 // T in seconds; 0: nothing was answered
		row         int     // refusals since the last answer, at a limit of 10
		want        time.Duration
	}{
		{0, 0, 0, 250 * time.Millisecond}, {0, 0, 10, 500 * time.Millisecond}, {0, 0, 40, 2 * time.Second},
		{1.6, 0, 0, 200 * time.Millisecond}, {1.6, 0.1, 0, 200 * time.Millisecond}, {1.6, 0.35, 0, 800 * time.Millisecond},
		{0.001, 0, 0, time.Millisecond}, {80, 0, 0, time.Second}, {1.6, 0, 9, 200 * time.Millisecond},
		{1.6, 0, 10, 400 * time.Millisecond}, {1.6, 0, 20, 800 * time.Millisecond}, {0.001, 0, 999, 1024 * time.Millisecond}, {1.6, 0, 999, 2 * time.Second},
	} {
		l, now := clocked(10)
		if c.mean > 0 {
			l.took = recent{c.mean, true}
		}
		l.gate.row, l.ceiling.share, l.ceiling.looked = c.row, c.share, *now
		if got := l.rest(*now); got.Round(time.Microsecond) != c.want {
			t.Errorf("%+v: rests for %s", c, got)
		}
	}
	l, now := clocked(10)
	l.took = recent{1.6, true}
	fill(&l.ceiling.sends, start, time.Second, 100, 35)
	*now = after(time.Second)
	if got := l.rest(*now); got.Round(time.Microsecond) != 800*time.Millisecond {
		t.Errorf("with 35 %% refused in the last second it rests for %s", got)
	}
}

func TestTimesOfTheLimiterAreWithinTheirBounds(t *testing.T) {
	l, _ := clocked(0)
	for mean, want := range map[float64]time.Duration{0: 200 * time.Millisecond, 0.3: 300 * time.Millisecond, 9: 2 * time.Second} {
		if l.took.mean = mean; l.settle() != want {
			t.Errorf("answers of %.1f s: settles in %s", mean, l.settle())
		}
	}
	for mean, want := range map[float64]time.Duration{0: 50 * time.Millisecond, 0.1: 300 * time.Millisecond, 9: time.Second} {
		if l.ceiling.sends.took.mean = mean; l.grace().Round(time.Microsecond) != want {
			t.Errorf("refusals of %.1f s: a probe is accepted after %s", mean, l.grace())
		}
	}
	for mean, want := range map[float64]bool{1: false, 1.01: true} {
		if l.ceiling.sends.took.mean = mean; l.late() != want {
			t.Errorf("refusals of %.2f s are late: %v", mean, !want)
		}
	}
	least, most := time.Hour, time.Duration(0)
	for range 2000 {
		d := l.jitter(time.Second)
		least, most = min(least, d), max(most, d)
	}
	if least < 0 || least > 10*time.Millisecond || most > 250*time.Millisecond || most < 240*time.Millisecond || l.jitter(0) != 0 {
		t.Errorf("the jitter of a second is %s to %s", least, most)
	}
}

// A record waits for at least the server's Retry-After, at most 30 s, and for the rest of its slot, plus up to a quarter.
func TestARefusedRecordWaitsAtLeastAsLongAsAskedFor(t *testing.T) {
	for asked, want := range map[time.Duration]time.Duration{0: 250 * time.Millisecond, time.Second: time.Second, time.Hour: 30 * time.Second} {
		l, now := clocked(10)
		one(t, l, now, time.Millisecond, func(f Flight) {
			if got := l.Refused(f, asked); got < want || got > want+want/4 {
				t.Errorf("%s asked for: waits %s, want %s and up to a quarter more", asked, got, want)
			}
		})
		if l.rests.n != 1 || !l.rests.ends[0].Equal(now.Add(250*time.Millisecond)) {
			t.Errorf("%d slots rest until %v", l.rests.n, l.rests.ends)
		}
	}
}

// Requests without an answer took a slot: their time counts in goodput.
func TestRequestsWithoutAnAnswerCountInGoodput(t *testing.T) {
	for name, end := range map[string]func(*Limiter, Flight){
		"failed":  func(l *Limiter, f Flight) { l.Failed(f) },
		"refused": func(l *Limiter, f Flight) { l.Refused(f, 0) },
	} {
		l, now := clocked(0)
		l.climb.w = period{limit: 32, sent: start, from: start, last: start}
		one(t, l, now, 2*time.Second, func(f Flight) { end(l, f) })
		if l.climb.w.lost != 2 {
			t.Errorf("%s: %.1f s count, want 2", name, l.climb.w.lost)
		}
		if l.climb.w.held < 1.99 || l.climb.w.flying < 1.99 {
			t.Errorf("%s: %.1f slot-seconds, %.1f request-seconds", name, l.climb.w.held, l.climb.w.flying)
		}
	}
}

// An answer ends an outage and a row of refusals, and moves the mean time of an answer if it counts as work.
func TestAnAnswerTellsThatTheServerWorks(t *testing.T) {
	for _, work := range []float64{0, 5} {
		l, now := clocked(0)
		l.trial, l.gate.row, l.credit = true, 2, 10
		one(t, l, now, 2*time.Second, func(f Flight) { l.Succeeded(f, work) })
		if l.trial || l.gate.row != 0 || l.credit != 12 || l.answer != *now || l.took.any != (work > 0) || len(l.climb.first) != min(int(work), 1) {
			t.Errorf("work %.0f: on trial %v, row %d, credit %d, time %v, %d in the climb", work, l.trial, l.gate.row, l.credit, l.took, len(l.climb.first))
		}
		one(t, l, now, 18*time.Second, func(f Flight) { l.Succeeded(f, work) })
		if work > 0 && l.took.mean != 3 {
			t.Errorf("2 s and then 18 s: %.2f s in the mean, want 2 + 16/16", l.took.mean)
		}
	}
	l, now := clocked(0)
	l.trial, l.gate.row = true, 2
	one(t, l, now, time.Second, func(f Flight) { l.Failed(f) })
	if !l.trial || l.gate.row != 0 || l.credit != 3 || l.answer != *now || l.took.any {
		t.Errorf("a failure: on trial %v, row %d, credit %d", l.trial, l.gate.row, l.credit)
	}
}

func TestGoodputIsNotMeasuredWhileRefusalsAreJudged(t *testing.T) {
	for name, x := range map[string]struct {
		change func(*Limiter)
		want   int
	}{
		"nothing refused": {func(l *Limiter) {}, 1},
		"a trial":         {func(l *Limiter) { l.ceiling.trial = trial{on: true, to: 9} }, 0},
		"more than usual": {func(l *Limiter) { l.ceiling.press, l.ceiling.looked = true, after(time.Second) }, 0},
		"gauges":          {func(l *Limiter) { l.source = fromGauges }, 0},
		"configured":      {func(l *Limiter) { l.source, l.fixed = fromOperator, 9 }, 0},
	} {
		l, now := clocked(0)
		x.change(l)
		one(t, l, now, time.Second, func(f Flight) { l.Succeeded(f, 5) })
		if len(l.climb.first) != x.want {
			t.Errorf("%s: %d answers measured", name, len(l.climb.first))
		}
	}
	l, now := clocked(0)
	l.climb.grown, l.ceiling.next = true, after(time.Hour)
	one(t, l, now, time.Second, func(f Flight) { l.Succeeded(f, 5) })
	if l.climb.grown || l.ceiling.next != *now {
		t.Error("more goodput did not end the quiet time of the bound")
	}
}

// The gate closes at the third refusal in a row if nothing is in flight and nothing was answered for the time of an answer, at most 1 s.
func TestAServerThatAnswersIsNotTakenForOneThatRefusesAll(t *testing.T) {
	begun := func(since time.Duration) (*Limiter, *time.Time, Flight) {
		l, now := clocked(0)
		l.took, l.gate.row, l.answer = recent{9, true}, 2, start
		l.ceiling.bound, l.ceiling.safe = bound{at: 9}, bound{at: 20}
		*now = after(since)
		l.TryAcquire()
		f := l.Begin()
		return l, now, f
	}
	l, now, f := begun(time.Second)
	l.Land(&f)
	l.Refused(f, 5*time.Second)
	if !l.gate.closed || l.ceiling.at != 20 || l.climb.w.after != now.Add(time.Hour) {
		t.Errorf("closed %v, bound %d, goodput measured after %s", l.gate.closed, l.ceiling.at, l.climb.w.after.Sub(start))
	}
	l.Release()
	if wait, ok := l.TryAcquire(); ok || wait < 5*time.Second || wait > 6250*time.Millisecond {
		t.Errorf("five seconds were asked for: waits %s, sends %v", wait, ok)
	}
	l, _, f = begun(999 * time.Millisecond)
	l.Land(&f)
	if l.Refused(f, 0); l.gate.closed {
		t.Error("closed less than a second after an answer")
	}
	l, _, f = begun(time.Second)
	l.TryAcquire()
	l.Begin()
	l.Land(&f)
	if l.Refused(f, 0); l.gate.closed {
		t.Error("closed while another request is in flight")
	}
	l, _, f = begun(time.Second)
	l.Land(&f)
	f.sent = start.Add(-time.Millisecond)
	if l.Refused(f, 0); l.gate.closed || l.gate.row != 2 {
		t.Error("the refusal of a request from before the last answer counts")
	}
}

// The probe of a closed gate is one request; its answer, a canary's, or a while without a refusal opens the gate, and the limit is
// approached step by step.
func TestAProbeOpensTheGate(t *testing.T) {
	closed := func() (*Limiter, *time.Time) {
		l, now := clocked(0)
		l.gate = gate{closed: true, since: start, until: start, row: 3, repeat: time.Second}
		l.ceiling.widest, l.pace.level = 500, 900
		l.climb.w.after = after(time.Hour)
		l.TryAcquire()
		return l, now
	}
	opened := func(name string, l *Limiter, now time.Time, level float64) {
		if l.gate.closed || l.gate.row != 0 || l.ceiling.widest > 32 || l.pace.level > level || l.climb.w.after != now.Add(l.settle()) || l.ceiling.clean.Before(now.Add(l.settle())) {
			t.Errorf("%s: closed %v, row %d, widest %d, level %.0f, measured from %s, judged from %s", name, l.gate.closed, l.gate.row, l.ceiling.widest, l.pace.level, l.climb.w.after.Sub(now), l.ceiling.clean.Sub(now))
		}
	}
	l, now := closed()
	if wait, ok := l.TryAcquire(); ok || wait != 0 || l.held != 1 {
		t.Errorf("a second probe: %v, after %s", ok, wait)
	}
	f := l.Begin()
	if !f.probe || l.gate.probe != probeSent || l.gate.sent != *now {
		t.Error("the request that passed a closed gate is no probe")
	}
	l.Land(&f)
	l.Succeeded(f, 1)
	opened("an answer", l, *now, 1+firstLevel)
	l, now = closed()
	f = l.Begin()
	if *now = after(50 * time.Millisecond); l.gate.closed {
		_, ok := l.TryAcquire()
		if opened("a while", l, *now, 1+firstLevel); !ok || l.gate.repeat != time.Second {
			t.Errorf("no refusal in 50 ms: sends %v, the next pause follows on %s", ok, l.gate.repeat)
		}
	}
	if g := l.Begin(); g.probe {
		t.Error("a request through an open gate is a probe")
	}
	l, now = closed()
	l.trial = true
	l.Works()
	if opened("a canary", l, *now, 1+firstLevel); l.gate.repeat != 0 || l.trial {
		t.Errorf("a canary was answered: the next pause follows on %s, on trial %v", l.gate.repeat, l.trial)
	}
	l, _ = closed()
	l.Release()
	if l.gate.probe != noProbe || l.held != 0 {
		t.Error("a slot that was released without a request is still the probe's")
	}
	l, _ = clocked(0)
	l.gate.row, l.pace.level = 2, 500
	if l.Works(); l.gate.row != 0 || l.pace.level != 500 {
		t.Error("a canary was answered: the row of refusals goes on, or an open gate was opened")
	}
}

func TestThePhaseOfTheSearchDecidesHowRefusalsAreJudged(t *testing.T) {
	l, _ := clocked(0)
	for _, c := range []struct {
		source source
		phase  phase
		slots  int
		want   bool
	}{{fromGoodput, rising, 5, true}, {fromGoodput, searching, 0, false}, {fromGauges, holding, 0, true}, {fromGauges, rising, 5, false}, {fromSlots, rising, 0, false}} {
		if l.source, l.climb.phase, l.waiting.slots = c.source, c.phase, c.slots; l.growing() != c.want {
			t.Errorf("%+v: growing %v", c, l.growing())
		}
	}
}

// When the bound changes, goodput is measured anew, within it.
func TestANewBoundBeginsANewMeasurement(t *testing.T) {
	for name, x := range map[string]struct {
		change func(*Limiter)
		began  bool
	}{
		"searched":           {func(l *Limiter) {}, true},
		"nothing answered":   {func(l *Limiter) { l.took = recent{} }, false},
		"configured":         {func(l *Limiter) { l.source, l.fixed = fromOperator, 100 }, false},
		"the gate is closed": {func(l *Limiter) { l.gate.closed = true }, false},
	} {
		l, now := clocked(0)
		l.climb = newClimb(100, 4)
		l.climb.phase, l.climb.measures, l.took, l.ceiling.beside = holding, 3, recent{0.2, true}, recent{60, true}
		fill(&l.ceiling.sends, start, 2*time.Second, 1000, 600)
		*now = after(2 * time.Second)
		x.change(l)
		l.judge(*now)
		if l.ceiling.trial.on != x.began || x.began != (l.climb.measures == 0) || x.began != (l.climb.w.limit == 60) || x.began != (len(l.free) == 1) {
			t.Errorf("%s: trial %v, %d measurements, the next at %d", name, l.ceiling.trial.on, l.climb.measures, l.climb.w.limit)
		}
	}
	for measures, want := range map[int]int{0: 100, 1: 103} { // a bound rises once goodput was measured
		l, now := clocked(0)
		l.climb = newClimb(200, 4)
		l.climb.measures, l.took = measures, recent{0.2, true}
		l.ceiling.bound = bound{at: 100, good: 100, step: 3, next: start}
		l.held = 99
		l.rests.add(after(time.Minute))
		*now = after(time.Second)
		if l.judge(*now); l.ceiling.at != want {
			t.Errorf("%d measurements: bound %d, want %d", measures, l.ceiling.at, want)
		}
	}
}

// When refusals come late, three of four answered requests are replaced although the limit fell: three credits an answer, four a request.
func TestAServerWithLateRefusalsDoesNotRunEmpty(t *testing.T) {
	for took, want := range map[float64]int{2: 3, 0.5: 0} {
		l, _ := clocked(10)
		l.held, l.flying, l.ceiling.sends.took = 40, 40, recent{took, true}
		replaced := 0
		for range 4 {
			f := Flight{sent: start}
			l.Land(&f)
			l.Succeeded(f, 0)
			l.Release()
			if _, ok := l.TryAcquire(); ok {
				l.Begin()
				replaced++
			}
		}
		if replaced != want || l.held != 36+want {
			t.Errorf("refusals of %.1f s: %d of four were replaced, want %d", took, replaced, want)
		}
	}
}

// An idle backend that gets a request is told of once.
func TestTheFirstRequestOfAnIdleBackendIsTold(t *testing.T) {
	l, _ := clocked(4)
	begin := func() (Flight, bool) {
		l.TryAcquire()
		f := l.Begin()
		select {
		case <-l.Sending():
			return f, true
		default:
			return f, false
		}
	}
	a, first := begin()
	b, second := begin()
	if !first || second || l.InFlight() != 2 || !l.Busy() {
		t.Errorf("the first was told %v, the second %v", first, second)
	}
	l.Land(&a)
	l.Land(&a)
	if l.InFlight() != 1 || l.landed != 1 {
		t.Error("a request that landed twice counts twice")
	}
	l.Land(&b)
	if _, again := begin(); !again {
		t.Error("the first request after an idle time was not told")
	}
}

// Gauges that were found wrong are ignored for 4 minutes, and twice as long each further time, up to 64. Goodput decides meanwhile.
func TestWrongGaugesAreIgnoredForAWhile(t *testing.T) {
	l, now := clocked(0)
	for _, minutes := range []time.Duration{4, 8, 16, 32, 64, 64} {
		l.source = fromGauges
		l.waiting = waiting{limit: 100, slots: 90, fall: fall{limit: 150}}
		l.audit.phase = auditRaised
		l.distrust(*now)
		if l.source != fromGoodput || l.climb.limit != 150 || l.climb.step != smallStep || l.climb.w.after != *now || l.waiting != (waiting{limit: 150}) || l.audit.phase != auditIdle {
			t.Errorf("limit %d, step %.2f, source %s, %+v", l.climb.limit, l.climb.step, l.source, l.waiting)
		}
		*now = now.Add(minutes*time.Minute - 1)
		if l.Gauge(gauges(9, 0)); l.source != fromGoodput {
			t.Errorf("believed before %d minutes", minutes)
		}
		*now = now.Add(1)
		if l.Gauge(gauges(9, 0)); l.source != fromGauges {
			t.Errorf("not believed after %d minutes", minutes)
		}
	}
	for limit, step := range map[int]float64{32: firstStep, 33: smallStep} {
		l.waiting = waiting{limit: limit}
		if l.distrust(*now); l.climb.step != step {
			t.Errorf("from %d the step is %.2f", limit, l.climb.step)
		}
	}
	l.waiting = waiting{limit: 100, slots: 80, published: true, fall: fall{limit: 150}}
	if l.distrust(*now); l.climb.limit != 100 || l.waiting != (waiting{limit: 100, slots: 80, published: true}) {
		t.Errorf("80 slots are published: limit %d, %+v", l.climb.limit, l.waiting)
	}
	l.source, l.waiting = fromGauges, waiting{limit: 70}
	if l.Blind(); l.source != fromGoodput || l.climb.limit != 70 || l.waiting != (waiting{limit: First}) {
		t.Errorf("without gauges: source %s, limit %d", l.source, l.climb.limit)
	}
	l.source, l.waiting = fromSlots, waiting{limit: 70, slots: 80, published: true, reads: true}
	if l.Blind(); l.source != fromSlots || l.waiting.limit != 100 {
		t.Errorf("without gauges of published slots: source %s, limit %d", l.source, l.waiting.limit)
	}
}

// Gauges are audited while the limit is reached, the slots are known, and refusals leave room for an eighth more.
func TestGaugesAreAuditedWhileTheLimitIsReached(t *testing.T) {
	for _, c := range []struct {
		held, slots, bound int
		want               auditPhase
	}{{100, 92, 0, auditBefore}, {99, 92, 0, auditIdle}, {100, 0, 0, auditIdle}, {100, 92, 112, auditIdle}, {100, 92, 113, auditBefore}} {
		l, _ := clocked(0)
		l.source, l.held, l.flying, l.waiting, l.ceiling.at = fromGauges, c.held, c.held, waiting{limit: 100, fine: 100, slots: c.slots, reads: true}, c.bound
		if l.Gauge(gauges(92, 8)); l.audit.phase != c.want {
			t.Errorf("%+v: phase %d", c, l.audit.phase)
		}
	}
}

// A server that runs its former queue too has more slots, and one that runs much less while much waits has fewer. The limit follows them at once,
// from the limit without the audit's requests, and the next audit is 15 s later.
func TestAnAuditGivesWayWhenTheServerHasOtherSlots(t *testing.T) {
	for _, c := range []struct {
		name                   string
		running, waiting, held int
		limit                  int
		ends                   bool
	}{
		{"all run", 112, 0, 112, 200, true},
		{"five more than before run", 97, 0, 112, 200, true},
		{"four more run", 96, 0, 112, 100, false},
		{"some wait", 106, 6, 112, 100, false},
		{"the limit is not reached", 111, 0, 111, 100, false},
		{"less than three quarters run", 68, 33, 112, 67, true},
		{"as many wait as the audit explains", 68, 32, 112, 100, false},
		{"three quarters run", 69, 43, 112, 100, false},
	} {
		l, now := clocked(0)
		l.source, l.held, l.flying = fromGauges, c.held, c.held
		l.waiting = waiting{limit: 100, fine: 100, slots: 92, sure: true, reads: true}
		l.audit = audit{phase: auditRaised, bonus: 12, every: time.Minute, from: now.Add(time.Second), until: now.Add(time.Hour)}
		was := l.audit
		if l.Gauge(gauges(c.running, c.waiting)); c.ends {
			was = audit{every: time.Minute, next: now.Add(firstAudit), from: was.from, until: was.until}
		}
		if l.audit != was || l.waiting.limit != c.limit {
			t.Errorf("%s: limit %d, want %d; %+v", c.name, l.waiting.limit, c.limit, l.audit)
		}
	}
	l, now := clocked(0) // nothing is raised yet, but would be from a limit that was just doubled
	l.source, l.held, l.flying, l.waiting = fromGauges, 100, 100, waiting{limit: 100, fine: 100, slots: 92, sure: true, reads: true}
	l.audit = audit{phase: auditBefore, from: *now, until: now.Add(time.Hour)}
	if l.Gauge(gauges(100, 0)); l.audit.phase != auditIdle || l.waiting.limit != 200 {
		t.Errorf("before anything is raised: limit %d, %+v", l.waiting.limit, l.audit)
	}
}

func TestTheLimitComesFromTheMostTrustedSource(t *testing.T) {
	l, now := clocked(0)
	l.climb.limit, l.waiting.limit, l.audit.bonus, l.waiting.slots = 50, 70, 5, 9
	for _, c := range []struct {
		source source
		bound  int
		trial  bool
		limit  int
		name   string
		found  bool
		often  time.Duration
	}{
		{fromGoodput, 0, false, 50, "goodput", false, readEvery}, {fromGauges, 0, false, 75, "gauges", true, readEvery}, {fromSlots, 0, false, 75, "slots", false, readEvery},
		{fromGoodput, 30, false, 30, "goodput", false, readEvery}, {fromGauges, 30, true, 1, "gauges", true, readEvery},
	} {
		l.source, l.ceiling.at, l.trial = c.source, c.bound, c.trial
		if s := l.Sample(); s.Limit != c.limit || s.Source != c.name || l.Size() != c.limit || l.Found() != c.found || l.Published() != (c.source == fromSlots) || l.ReadEvery() != c.often || s.At != *now {
			t.Errorf("%+v: %+v, found %v", c, s, l.Found())
		}
	}
	l.source, l.trial, l.waiting.slots = fromGauges, false, 0
	if l.ReadEvery() != readOften || l.Found() {
		t.Error("until the slots are known gauges are read every 50 ms, and the limit is not found")
	}
	l.source, l.climb.phase, l.climb.hold, l.waiting.last = fromGoodput, holding, lv(50, 77), gauges(1, 2)
	if s := l.Sample(); !l.Found() || s.Goodput != 77 || s.Gauges != (batholith.Gauges{}) {
		t.Errorf("found by goodput: %v, %+v", l.Found(), s)
	}
	l.source, l.gauged = fromGauges, *now
	if s := l.Sample(); s.Goodput != 0 || s.Gauges != gauges(1, 2) {
		t.Errorf("gauges: %+v", s)
	}
	if l.gauged = now.Add(-freshGauges - time.Nanosecond); l.Sample().Gauges != (batholith.Gauges{}) {
		t.Error("gauges of the last work are shown as those of now")
	}
	l.source, l.climb.limit, l.ceiling.at = fromGoodput, 9999, 0
	if l.Size() != Last {
		t.Errorf("limit %d, want at most 4096", l.Size())
	}
	if l.climb.limit = 0; l.Size() != 1 {
		t.Errorf("limit %d, want at least one", l.Size())
	}
	for stored, want := range map[int]int{100: 80, 1: 1, 0: 1, 9999: Last} {
		l, _ := clocked(0)
		l.Resume(stored)
		if l.Size() != want || l.waiting.limit != want || l.climb.step != smallStep {
			t.Errorf("%d stored: starts at %d", stored, l.Size())
		}
	}
}
