package limit

import (
	"math"
	"testing"
	"time"

	"github.com/batholith/batholith"
)

// start is any time.
var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func after(d time.Duration) time.Time { return start.Add(d) }

func TestPaceKeepsToItsFormula(t *testing.T) {
	var p pace
	p.begin(start, 0)
	for taken := range firstLevel {
		if w := p.wait(start, taken, 1000); w != 0 {
			t.Fatalf("request %d waits for %s", taken, w)
		}
	}
	if w := p.wait(start, firstLevel, 1000); w < 5*time.Millisecond || w > 6*time.Millisecond {
		t.Errorf("at 192 a second the next comes after %s", w)
	}
	if w := p.wait(after(100*time.Millisecond), firstLevel+19-1, 1000); w != 0 { // 8 + 19.2
		t.Errorf("after 0.1 s the request waits for %s", w)
	}
	if w := p.wait(after(100*time.Millisecond), firstLevel+20, 1000); w == 0 {
		t.Error("after 0.1 s more than 19 were added")
	}
	if p.level = 100; p.rate() != 500 {
		t.Errorf("100 in flight grow by %.0f a second", p.rate())
	}
	p.begin(start, 50)
	if w := p.wait(start, 57, 1000); w != 0 {
		t.Errorf("50 and eight more: waits for %s", w)
	}
	p.wait(after(time.Minute), 58, 60)
	if p.level > 60 {
		t.Errorf("the level is %.0f at a limit of 60", p.level)
	}
	p.gauges()
	if p.level != 60 {
		t.Errorf("gauges lowered the level to %.0f", p.level)
	}
	if p.begin(start, 0); p.level != firstLevel {
		t.Errorf("begins with %.0f", p.level)
	}
	if p.gauges(); p.level != First {
		t.Errorf("with gauges it begins with %.0f", p.level)
	}
}

func TestASlotRestsUntilItsEnd(t *testing.T) {
	var r rests
	if r.next(start) != 0 {
		t.Error("none rests, and one is waited for")
	}
	for i := 1; i <= 3; i++ {
		r.add(after(time.Duration(i) * time.Second))
	}
	for _, c := range []struct {
		at   time.Duration
		n    int
		next time.Duration
	}{{0, 3, time.Second}, {999 * time.Millisecond, 3, time.Millisecond}, {time.Second, 2, time.Second}, {2500 * time.Millisecond, 1, 500 * time.Millisecond}, {3 * time.Second, 0, 0}} {
		if n := r.now(after(c.at)); n != c.n || r.next(after(c.at)) != c.next {
			t.Errorf("after %s %d rest, the next until %s", c.at, n, r.next(after(c.at)))
		}
	}
}

func TestARefusalCountsWhereItsRequestWasSent(t *testing.T) {
	var s sends
	for i := range 20 {
		s.sent(after(time.Duration(i)*binWidth), 1)
	}
	s.refused(Flight{sent: after(3 * binWidth), took: time.Second})
	for _, c := range []struct{ from, to, sent, refused int }{{0, 20, 20, 1}, {0, 3, 3, 0}, {0, 4, 4, 1}, {3, 4, 1, 1}, {4, 20, 16, 0}, {5, 5, 0, 0}} {
		sent, refused, _ := s.count(after(time.Duration(c.from)*binWidth), after(time.Duration(c.to)*binWidth))
		if int(sent) != c.sent || int(refused) != c.refused {
			t.Errorf("bins %d to %d: %.0f sent, %.0f refused", c.from, c.to, sent, refused)
		}
	}
	if d := after(0).Sub(s.known(after(0))); d != 1500*time.Millisecond {
		t.Errorf("it is known after %s what became of a request that is refused in a second", d)
	}
	long := after(bins * binWidth)
	s.sent(long, 1) // in the place of the first
	if sent, _, _ := s.count(start, after(binWidth)); sent != 0 {
		t.Errorf("%.0f are left of a bin that was used again", sent)
	}
	s.refused(Flight{sent: start}) // of long ago
	if _, refused, _ := s.count(long, long.Add(binWidth)); refused != 0 {
		t.Error("an old refusal counts for a new bin")
	}
}

func TestHowLongARefusalTakesIsNearTheMedian(t *testing.T) {
	var s sends
	for i := range 1000 {
		took := 0.01
		if i%10 == 0 {
			took = 8
		}
		s.usual(took)
	}
	if s.took.mean > 0.02 {
		t.Errorf("one in ten comes late: %.3f s", s.took.mean)
	}
	for range 1000 {
		s.usual(5)
	}
	if s.took.mean != 5 {
		t.Errorf("all come late: %.3f s", s.took.mean)
	}
}

// none is no jitter.
func none(time.Duration) time.Duration { return 0 }

func TestTheGateClosesWhenAllIsRefusedAndOpensForWhatIsTaken(t *testing.T) {
	f := Flight{}
	var g gate
	if g.refused(start, f, 0, time.Second, false, true, none) || g.refused(start, f, 0, time.Second, false, true, none) {
		t.Fatal("closed before the third refusal")
	}
	if g.answered(f); g.row != 0 {
		t.Fatal("an answer did not end the row")
	}
	for range 5 {
		if g.refused(start, f, 0, time.Second, false, false, none) || g.refused(start, f, 0, time.Second, true, false, none) {
			t.Fatal("closed while something is in flight")
		}
	}
	if g.row != 5 {
		t.Fatalf("%d refusals in a row: those of requests sent before the last answer do not count", g.row)
	}
	if !g.refused(start, f, 0, 100*time.Millisecond, false, true, none) {
		t.Fatal("did not close")
	}
	want := 100 * time.Millisecond
	now := start
	for range 8 {
		if wait, ok := g.try(now, time.Second); ok || wait != want {
			t.Fatalf("waits for %s, want %s", wait, want)
		}
		now = now.Add(want)
		if _, ok := g.try(now, time.Second); !ok {
			t.Fatal("no probe after the pause")
		}
		if _, ok := g.try(now, time.Second); ok {
			t.Fatal("two probes at once")
		}
		g.probe, g.sent = probeSent, now
		g.refused(now, f, 0, 100*time.Millisecond, false, true, none) // of an older request
		if g.probe != probeSent {
			t.Fatal("the refusal of another request ended the probe")
		}
		g.refused(now, Flight{probe: true}, 0, 100*time.Millisecond, false, true, none)
		want = min(2*want, lastRepeat)
	}
	g.probe, g.sent = probeSent, now
	g.refused(now, Flight{probe: true}, time.Hour, time.Second, false, true, none)
	if wait, _ := g.try(now, time.Second); wait != maxPause {
		t.Errorf("an hour was asked for: waits for %s", wait)
	}
	now = now.Add(maxPause)
	g.try(now, time.Second)
	g.probe, g.sent = probeSent, now
	if wait, ok := g.try(now.Add(400*time.Millisecond), time.Second); ok || !g.closed || wait != 600*time.Millisecond {
		t.Errorf("after 0.4 s of a second: waits for %s, closed %v", wait, g.closed)
	}
	if g.try(now.Add(time.Second), time.Second); g.closed {
		t.Error("a probe that is not refused did not open the gate")
	}
	if g.repeat == 0 {
		t.Error("the pauses begin anew before anything was answered")
	}
	if g.answered(Flight{sent: now}); g.repeat != 0 {
		t.Error("the pauses go on after an answer")
	}
	g = gate{closed: true, probe: probeSent}
	if g.answered(f) || !g.closed {
		t.Error("the answer to an older request opened the gate")
	}
	if !g.answered(Flight{probe: true}) || g.closed {
		t.Error("the answer to the probe did not open the gate")
	}
}

func TestWaitingThatDoesNotFallWithTheLimitIsOfOtherClients(t *testing.T) {
	type reading struct{ flying, waiting int }
	for _, c := range []struct {
		name  string
		all   []reading
		alien bool
	}{
		{"more waits than is in flight", []reading{{20, 40}, {18, 40}}, true},
		{"once", []reading{{20, 40}, {30, 20}}, false},
		{"half is taken away for nothing", []reading{{40, 20}, {30, 20}, {21, 20}, {20, 20}}, true},
		{"the queue shrinks with it", []reading{{40, 20}, {30, 10}, {20, 2}}, false},
		{"the queue grows", []reading{{40, 20}, {30, 30}, {20, 24}}, false},
		{"too few to tell", []reading{{14, 8}, {7, 8}}, false},
	} {
		var f fall
		got := false
		for _, r := range c.all {
			got = got || f.inVain(batholith.Gauges{Waiting: r.waiting}, standing{limit: 50, flying: r.flying}, true)
		}
		if got != c.alien {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	f := fall{}
	f.inVain(batholith.Gauges{}, standing{limit: 100}, false)
	f.inVain(batholith.Gauges{}, standing{limit: 10}, true)
	if f.limit < 99 || f.limit >= 100 {
		t.Errorf("the highest limit of late is %.2f", f.limit)
	}
}

func TestAReadingThatStaysIsBelievedAfterAWhile(t *testing.T) {
	w := waiting{}
	g := batholith.Gauges{Running: 4, Waiting: 4}
	read := func(at time.Duration, g batholith.Gauges) bool {
		ok := w.renewed(g, standing{now: after(at), held: 8, flying: 8})
		w.last, w.reads = g, true
		return ok
	}
	if !read(0, g) || read(250*time.Millisecond, g) || read(999*time.Millisecond, g) || !read(time.Second, g) {
		t.Error("a reading is new at first and after a second")
	}
	g.Waiting = 5
	if !read(4*time.Second, g) || w.gap != 4*time.Second {
		t.Errorf("it changed after %s", w.gap)
	}
	if read(9999*time.Millisecond, g) || !read(10*time.Second, g) {
		t.Error("of gauges renewed every four seconds a reading is believed after six")
	}
	g.Waiting = 6
	read(time.Hour, g)
	if w.gap != longestGap {
		t.Errorf("the gap is %s", w.gap)
	}
}

func TestATrialOfALowerLimitIsKeptOnlyIfItHelps(t *testing.T) {
	p := pressure{limit: 100, held: 100, settle: 200 * time.Millisecond}
	// so many are sent in each bin, and so many of them refused
	feed := func(c *ceiling, now *time.Time, spans, sent, refused int, p pressure) {
		for range spans {
			for i := range sent {
				c.sends.sent(*now, 1)
				if i < refused {
					c.refused(Flight{sent: *now, took: time.Millisecond}, 60)
				}
			}
			*now = now.Add(binWidth)
			p.limit = min(p.limit, c.now())
			p.held = p.limit
			c.judge(*now, p)
		}
	}
	for _, c := range []struct {
		name                string
		sent, refused       int // before
		lowSent, lowRefused int // in the trial
		at                  int
		base                float64
		trial               int // the limit in it
		growing             bool
	}{
		{"a queue", 10, 6, 5, 0, 60, 0, 60, false},
		{"at random", 10, 3, 10, 3, 0, 0.3, 60, false},
		{"fewer are taken", 10, 2, 4, 0, 0, 0.2, 60, false},
		{"hardly any is refused", 20, 2, 20, 2, 0, 0, 0, false},
		{"on the way up", 10, 3, 10, 3, 0, 0.3, 0, true},
	} {
		var s ceiling
		now := start
		p.growing = c.growing
		tried := 0
		for range 300 {
			n, k := c.sent, c.refused
			if s.trial.on {
				tried, n, k = s.trial.to, c.lowSent, c.lowRefused
			} else if tried > 0 {
				break
			}
			feed(&s, &now, 1, n, k, p)
		}
		if tried != c.trial && (c.trial != 60 || tried == 0) || c.trial == 60 && s.at != c.at || math.Abs(s.base-c.base) > 0.03 {
			t.Errorf("%s: tried %d, bound %d, base %.3f", c.name, tried, s.at, s.base)
		}
	}
}

func TestABoundRisesAfterAQuietTimeByGrowingSteps(t *testing.T) {
	c := ceiling{bound: bound{at: 64, good: 64, step: 2, next: after(5 * time.Second)}}
	p := pressure{limit: 64, held: 64, settle: time.Second, ripe: true}
	for _, r := range []struct {
		at   time.Duration
		held int
		want int
	}{{4 * time.Second, 64, 64}, {5 * time.Second, 63, 64}, {5 * time.Second, 64, 66}, {5500 * time.Millisecond, 66, 66}, {6 * time.Second, 66, 70}, {7 * time.Second, 70, 78}, {8 * time.Second, 78, 87}, {9 * time.Second, 87, 97}} {
		p.limit, p.held = c.at, r.held
		c.rise(after(r.at), p)
		if c.at != r.want {
			t.Errorf("after %s the bound is %d, want %d", r.at, c.at, r.want)
		}
	}
	c.lift(after(9500 * time.Millisecond))
	p.limit, p.held = c.at, c.at
	if c.rise(after(9500*time.Millisecond), p); c.at <= 97 {
		t.Error("a sign that there is more did not end the quiet time")
	}
	p.ripe = false
	at := c.at
	if c.rise(after(12*time.Second), p); c.at != at {
		t.Error("the bound rises while goodput is not measured")
	}
	p.limit, p.held = c.at, c.at
	if c.rise(after(80*time.Second), p); c.at == at {
		t.Error("the bound never rises where goodput cannot be measured")
	}
}

func TestAnAuditFindsGaugesThatDoNotShowAll(t *testing.T) {
	const settle = 200 * time.Millisecond
	for _, c := range []struct {
		name  string
		slots func(at time.Duration) int
		told  func(running, waiting int) batholith.Gauges
		wrong bool
	}{
		{"all", func(time.Duration) int { return 72 }, func(r, w int) batholith.Gauges { return batholith.Gauges{Running: r, Waiting: w} }, false},
		{"and another engine's", func(time.Duration) int { return 72 }, func(r, w int) batholith.Gauges { return batholith.Gauges{Running: r + 40, Waiting: w} }, false},
		{"more slots by now", func(at time.Duration) int { return 72 + int(at/time.Second)*8 }, func(r, w int) batholith.Gauges { return batholith.Gauges{Running: r, Waiting: w} }, false},
		{"fewer slots by now", func(at time.Duration) int { return 72 - int(at/time.Second)*8 }, func(r, w int) batholith.Gauges { return batholith.Gauges{Running: r, Waiting: w} }, false},
		{"one of two replicas", func(time.Duration) int { return 72 }, func(r, w int) batholith.Gauges { return batholith.Gauges{Running: r / 2, Waiting: w / 2} }, true},
		{"at most 60", func(time.Duration) int { return 120 }, func(r, w int) batholith.Gauges { return batholith.Gauges{Running: min(r, 60), Waiting: w} }, true},
	} {
		var a audit
		a.due(start, settle, 0)
		wrong, most, at := false, 0, time.Duration(0)
		for a.phase != auditIdle {
			flying := 80 + a.bonus
			most = max(most, flying)
			running := min(flying, c.slots(at))
			wrong = a.reading(after(at), c.told(running, flying-running), flying, 80, settle, 0)
			at += readEvery
		}
		if wrong != c.wrong || most != 90 || a.bonus != 0 || a.every != firstAudit {
			t.Errorf("%s: wrong %v, at most %d in flight, %+v", c.name, wrong, most, a)
		}
		if at < 4*time.Second || at > 6*time.Second {
			t.Errorf("%s: it took %s", c.name, at)
		}
		a.due(a.next.Add(-time.Second), settle, 0)
		if a.phase != auditIdle {
			t.Error("the next comes too early")
		}
		if a.due(a.next, settle, 0); a.phase != auditBefore {
			t.Error("the next does not come")
		}
		if a.stop(a.from); a.every != 2*firstAudit {
			t.Errorf("the next but one comes after %s", a.every)
		}
	}
}
