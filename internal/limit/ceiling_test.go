package limit

import (
	"testing"
	"time"
)

// fill counts requests that were sent evenly over a time, and refusals of some of them. The refusals took no time.
func fill(s *sends, from time.Time, d time.Duration, sent, refused int) {
	n := int(d / binWidth)
	for i := range n {
		b := &s.all[number(from.Add(time.Duration(i)*binWidth))%bins]
		*b = bin{number(from) + int64(i), float64(sent) / float64(n), float64(refused) / float64(n), 1}
	}
}

// refused > sent × (1.3 × base + 0.1) + 3 × √(sent × base), and at least 4.
func TestMoreThanUsualIsRefusedOnlyBeyondTheFormula(t *testing.T) {
	for _, c := range []struct {
		sent, refused, base float64
		want                bool
	}{
		{10, 4, 0, true}, {10, 3, 0, false}, {40, 4, 0, false}, {40, 4.01, 0, true},
		{100, 53, 0.25, false}, {100, 58, 0.25, true}, {100, 57, 0.25, false}, // 42.5 + 15
		{10000, 4401, 0.25, true}, {10000, 4399, 0.25, false}, // 4250 + 150
	} {
		if got := (load{sent: c.sent, refused: c.refused}).excess(c.base); got != c.want {
			t.Errorf("%.2f of %.0f, usually %.2f: more than usual %v", c.refused, c.sent, c.base, got)
		}
	}
	l := load{100, 20, 4, 1}
	if l.share() != 0.2 || l.taken() != 80 || l.rate() != 20 || !near(l.odds(), 20./81) {
		t.Errorf("share %.2f, taken %.0f, rate %.1f, odds %.3f", l.share(), l.taken(), l.rate(), l.odds())
	}
	if l = (load{10, 20, 0, 1}); l.share() != 1 || l.taken() != 0 || l.rate() != 0 || (load{}).share() != 0 {
		t.Error("refusals of requests that are not counted any more are no more than all")
	}
}

// A limit more than an eighth and one above the lowest since the last burst sends a burst. What is sent during it is not judged.
func TestABurstIsNotJudged(t *testing.T) {
	for _, x := range []struct {
		widest, limit int
		burst         bool
		then          int
	}{{80, 91, false, 80}, {80, 92, true, 92}, {80, 70, false, 70}, {0, 2, true, 2}, {0, 1, false, 0}} {
		c := ceiling{widest: x.widest}
		c.beside.add(5, 1)
		c.burst(start, x.limit, time.Second)
		if c.clean.Equal(after(time.Second)) != x.burst || c.widest != x.then || c.beside.any == x.burst {
			t.Errorf("%d after %d: judged from %s, then %d", x.limit, x.widest, c.clean.Sub(start), c.widest)
		}
	}
	c := ceiling{clean: after(time.Second)}
	c.beside.add(5, 1)
	if c.clear(after(time.Second)); !c.beside.any {
		t.Error("the same time excluded requests twice")
	}
	if c.clear(start); c.clean != after(time.Second) {
		t.Error("an earlier time includes what was excluded")
	}
	c.refused(flight(0.999, 0.1), 80)
	if c.beside.mean != 5 {
		t.Error("a refusal from a burst tells what the server takes")
	}
	if c.refused(flight(1, 0.1), 21); c.beside.mean != 6 || !near(c.sends.took.mean, 0.1) {
		t.Errorf("%.3f in flight at refusals after %.3f s, want 5 + 16/16 and 0.1 s", c.beside.mean, c.sends.took.mean)
	}
}

func TestThePresentShareIsOfTheLastSettlingTime(t *testing.T) {
	var c ceiling
	fill(&c.sends, start, time.Second, 200, 100)
	fill(&c.sends, after(time.Second), 500*time.Millisecond, 100, 5)
	if c.pressed(after(1500*time.Millisecond), 450*time.Millisecond) || !near(c.share, 0.05) {
		t.Errorf("share %.3f of the last 0.5 s, want 0.05", c.share)
	}
	if c.pressed(after(1549*time.Millisecond), time.Second) {
		t.Error("computed again before 50 ms")
	}
	if !c.pressed(after(1550*time.Millisecond), 1300*time.Millisecond) || c.share < 0.3 {
		t.Errorf("share %.3f", c.share)
	}
	c.base = 0.9
	if c.pressed(after(1600*time.Millisecond), 1350*time.Millisecond) {
		t.Error("the usual share presses")
	}
}

// A trial is as low as the mean number in flight at refusals, at least 1/64 below the limit, and at least an eighth of it.
func TestATrialIsAsLowAsRefusalsTell(t *testing.T) {
	for _, x := range []struct {
		beside float64
		limit  int
		want   int
	}{{60.2, 128, 61}, {126, 128, 126}, {126.1, 128, 121}, {200, 128, 121}, {10, 128, 16}, {0, 4, 1}, {2.5, 4, 3}, {3.5, 4, 3}} {
		c := ceiling{beside: recent{x.beside, true}}
		if got := c.lower(x.limit); got != x.want {
			t.Errorf("%.1f in flight at a limit of %d: tries %d, want %d", x.beside, x.limit, got, x.want)
		}
	}
}

func TestATrialLastsUntilItTells(t *testing.T) {
	for _, x := range []struct {
		name         string
		to           int
		before, load load
		settle       time.Duration
		want         bool
	}{
		{"most refused, 48 taken", 60, load{100, 51, 1, 1}, load{60, 12, 1, 1}, time.Second, true},
		{"most refused, 47 taken", 60, load{100, 51, 1, 1}, load{60, 13, 1, 1}, time.Second, false},
		{"most refused now", 60, load{100, 0, 1, 1}, load{100, 52, 1, 1}, time.Second, true},
		{"half refused", 60, load{100, 50, 1, 1}, load{60, 12, 1, 1}, time.Second, false},
		{"before it settles", 60, load{100, 51, 1, 1}, load{60, 12, 0.99, 1}, time.Second, false},
		{"fewer than 32", 60, load{100, 51, 1, 1}, load{31, 0, 9, 1}, time.Second, false},
		{"32", 60, load{100, 0, 1, 1}, load{32, 0, 4, 1}, time.Second, true},
		{"31 of a trial of 31", 31, load{100, 0, 1, 1}, load{31, 0, 4, 1}, time.Second, true},
		{"four of a trial of one", 1, load{100, 0, 1, 1}, load{4, 0, 4, 1}, time.Second, true},
		{"three", 1, load{100, 0, 1, 1}, load{3, 0, 4, 1}, time.Second, false},
		{"400 taken", 60, load{100, 0, 1, 1}, load{400, 0, 1, 1}, time.Second, true},
		{"399", 60, load{100, 0, 1, 1}, load{399, 0, 3.9, 1}, time.Second, false},
	} {
		if got := (&trial{to: x.to, before: x.before}).enough(x.load, x.settle); got != x.want {
			t.Errorf("%s: enough %v", x.name, got)
		}
	}
}

// How a trial from 100 ends. 100 a second were taken before, and as many refused.
func TestATrialEndsByItsOddsAndItsLoss(t *testing.T) {
	before := load{1000, 500, 5, 1}
	type want struct {
		on           bool
		at, to, from int
		low          int
		back         bool
		base         float64
	}
	for _, x := range []struct {
		name          string
		change        func(*trial)
		sent, refused int // in four seconds
		want          want
	}{
		{"it helps", nil, 440, 40, want{at: 60}},
		{"it helps and costs 13 %: a third of the gain", nil, 384, 36, want{at: 60}},
		{"it helps and costs 24 %", nil, 330, 26, want{on: true, to: 80, from: 100, low: 60}},
		{"it helps, costs too much and is near the limit", func(t *trial) { t.to, t.before = 80, load{1000, 200, 5, 1} }, 460, 23, want{base: 0.2}},
		{"too high, and a low one before cost a quarter", func(t *trial) { t.to, t.low, t.cost = 80, 60, 0.25 }, 700, 280, want{at: 60}},
		{"too high, and a low one before cost more", func(t *trial) { t.to, t.low, t.cost = 80, 60, 0.26 }, 800, 390, want{base: 0.5}},
		{"it helps a little", nil, 700, 300, want{on: true, to: 30, from: 100}},
		{"it hardly helps", nil, 800, 370, want{base: 0.5}},
		{"it hardly helps, but it is the last good one", func(t *trial) { t.back = true }, 800, 370, want{on: true, to: 30, from: 100}},
		{"it hardly helps, and more are refused", nil, 1000, 520, want{base: 0.52}},
		{"the server takes far less by now", nil, 600, 420, want{on: true, to: 30, from: 60}},
		{"it takes nothing by now, at a trial of one", func(t *trial) { t.to = 1 }, 600, 420, want{at: 90}},
		{"it helps a little at a trial of one", func(t *trial) { t.to, t.from, t.was = 1, 1, 0 }, 700, 300, want{base: 0.5}},
	} {
		tr := trial{on: true, since: start, from: 100, was: 0, to: 60, before: before}
		if x.change != nil {
			x.change(&tr)
		}
		if x.want.at == 90 {
			tr.was = 90
		}
		c := ceiling{trial: tr, beside: recent{30, true}}
		if tr.to == 1 {
			c.beside.mean = 0
		}
		fill(&c.sends, start, 4*time.Second, x.sent, x.refused)
		ended := c.decide(after(4*time.Second), pressure{settle: 200 * time.Millisecond})
		got := want{c.trial.on, c.at, c.trial.to, c.trial.from, c.trial.low, c.trial.back, c.base}
		if w := x.want; !ended || got.on != w.on || got.at != w.at || got.to != w.to || got.from != w.from || got.low != w.low || got.back != w.back || !near(got.base, w.base) {
			t.Errorf("%s: %+v, want %+v", x.name, got, w)
		}
		if c.clean != after(4*time.Second) {
			t.Errorf("%s: requests of the trial count after it", x.name)
		}
		if c.trial.on && (!c.trial.since.IsZero() || c.widest != c.trial.to) {
			t.Errorf("%s: the next trial began at once, widest %d", x.name, c.widest)
		}
	}
}

func TestATrialBeginsWhenNoMoreIsHeldThanItAllows(t *testing.T) {
	c := ceiling{trial: trial{on: true, from: 100, to: 60}}
	for _, held := range []int{61, 60} {
		if c.decide(start, pressure{held: held}) || c.trial.since.IsZero() != (held == 61) {
			t.Errorf("%d held: since %v", held, c.trial.since)
		}
	}
	if c.decide(after(time.Second), pressure{held: 50}); c.trial.since != start {
		t.Error("it began again")
	}
}

// With few requests in flight the rate is known late. While it is not known whether the loss is too high, a trial goes on for up to 12 s.
func TestATrialOfFewGoesOnUntilTheLossIsKnown(t *testing.T) {
	for name, x := range map[string]struct {
		from    int
		growing bool
		refused int // of 100 before
		secs    int
		taken   int // in a second
		want    bool
	}{
		"the loss is not known":       {32, false, 20, 5, 7, false},
		"of many":                     {33, false, 20, 5, 7, true},
		"on the way up":               {32, true, 20, 5, 7, true},
		"a quarter is refused":        {32, false, 25, 5, 7, true},
		"after twelve seconds":        {32, false, 20, 12, 7, true},
		"before twelve seconds":       {32, false, 20, 11, 7, false},
		"the loss is surely too high": {32, false, 20, 11, 1, true},
		"nothing is lost for certain": {32, false, 20, 11, 30, true},
	} {
		c := ceiling{trial: trial{on: true, since: start, from: x.from, to: 24, before: load{float64(100), float64(x.refused), float64(100-x.refused) / 8, 1}}}
		fill(&c.sends, start, time.Duration(x.secs)*time.Second, x.secs*x.taken, 0)
		if x.taken == 1 {
			c.trial.before.seconds /= 2
			c.trial.to, c.trial.before.sent, c.trial.before.refused = 8, 1000, 200
			c.trial.before.seconds = 100
		}
		if got := c.decide(after(time.Duration(x.secs)*time.Second), pressure{settle: time.Second, growing: x.growing}); got != x.want {
			t.Errorf("%s: ended %v", name, got)
		}
	}
}

// A bound that is found again, within an eighth, waits twice as long for its first rise: from 5 s or twice the settling time to 320 s.
func TestABoundThatIsFoundAgainRisesLater(t *testing.T) {
	for _, x := range []struct {
		name   string
		b      bound
		to     int
		settle time.Duration
		quiet  time.Duration
		step   int
	}{
		{"the first", bound{}, 64, time.Second, 5 * time.Second, 2},
		{"the first, slow", bound{}, 640, 3 * time.Second, 6 * time.Second, 20},
		{"found again", bound{good: 64, rose: true, quiet: 20 * time.Second}, 64, time.Second, 40 * time.Second, 2},
		{"an eighth below", bound{good: 64, rose: true, quiet: 20 * time.Second}, 56, time.Second, 40 * time.Second, 1},
		{"further below", bound{good: 64, rose: true, quiet: 20 * time.Second}, 55, time.Second, 5 * time.Second, 1},
		{"an eighth above", bound{good: 64, rose: true, quiet: 20 * time.Second}, 72, time.Second, 40 * time.Second, 2},
		{"further above", bound{good: 64, rose: true, quiet: 20 * time.Second}, 73, time.Second, 5 * time.Second, 2},
		{"before it rose", bound{good: 64, quiet: 20 * time.Second}, 64, time.Second, 20 * time.Second, 2},
		{"before it rose, without a quiet time", bound{good: 64}, 64, time.Second, 5 * time.Second, 2},
		{"for the last time", bound{good: 64, rose: true, quiet: 200 * time.Second}, 64, time.Second, 320 * time.Second, 2},
	} {
		x.b.pause = time.Second
		c := ceiling{bound: x.b, trial: trial{to: x.to}}
		c.keep(start, x.settle)
		if c.at != x.to || c.good != x.to || c.quiet != x.quiet || c.next != after(x.quiet) || c.step != x.step || c.rose || c.pause != 0 {
			t.Errorf("%s: %+v", x.name, c.bound)
		}
	}
}

// A trial that is undone makes its share the usual one, for 10 s and then twice as long each time.
func TestATrialThatDoesNotHelpIsNotRepeatedForAWhile(t *testing.T) {
	c := ceiling{trial: trial{was: 70}, bound: bound{at: 60, base: 0.1}}
	c.undo(start, 0.3)
	if c.at != 70 || c.base != 0.3 || c.pause != 10*time.Second || c.again != after(10*time.Second) {
		t.Errorf("%+v", c.bound)
	}
	if c.usual(after(9999*time.Millisecond)) != 0.3 || c.usual(after(10*time.Second)) != 0 {
		t.Error("the usual share holds for ten seconds")
	}
	if c.undo(after(time.Minute), 0.2); c.base != 0.3 || c.pause != 20*time.Second || c.again != after(80*time.Second) {
		t.Errorf("the second: %+v", c.bound)
	}
	c.pause = 200 * time.Second
	if c.undo(start, 0.95); c.base != 0.8 || c.pause != 320*time.Second {
		t.Errorf("at most: %+v", c.bound)
	}
	if c = (ceiling{bound: bound{base: 0.3}}); c.usual(start) != 0.3 {
		t.Error("without a trial that was undone the usual share is not zero")
	}
	for want, c := range map[int]ceiling{4096: {}, 60: {bound: bound{at: 60}}, 40: {bound: bound{at: 60}, trial: trial{on: true, to: 40}}} {
		if c.now() != want {
			t.Errorf("bound %d, want %d", c.now(), want)
		}
	}
}

func TestABoundRisesOnlyWhileItIsInUse(t *testing.T) {
	begun := func() (ceiling, pressure) {
		return ceiling{bound: bound{at: 64, good: 32, step: 2, next: start}}, pressure{limit: 64, held: 64, settle: time.Second, ripe: true}
	}
	for name, x := range map[string]struct {
		change func(*ceiling, *pressure)
		at     int
	}{
		"in use":                   {func(c *ceiling, p *pressure) {}, 66},
		"no bound":                 {func(c *ceiling, p *pressure) { c.at = 0 }, 0},
		"the limit is far below":   {func(c *ceiling, p *pressure) { p.limit, p.held = 51, 51 }, 64},
		"at four fifths":           {func(c *ceiling, p *pressure) { c.at, p.limit, p.held = 65, 52, 52 }, 67},
		"to the end":               {func(c *ceiling, p *pressure) { c.at, c.step, p.limit, p.held = 4000, 96, 4000, 4000 }, 0},
		"nearly to the end":        {func(c *ceiling, p *pressure) { c.at, c.step, p.limit, p.held = 4000, 95, 4000, 4000 }, 4095},
		"a minute without goodput": {func(c *ceiling, p *pressure) { p.ripe, c.next = false, start.Add(-time.Minute) }, 66},
		"less than a minute":       {func(c *ceiling, p *pressure) { p.ripe, c.next = false, start.Add(time.Millisecond-time.Minute) }, 64},
	} {
		c, p := begun()
		x.change(&c, &p)
		before := c.at
		if rose := c.rise(start, p); c.at != x.at || rose != (before != x.at) {
			t.Errorf("%s: %d, want %d", name, c.at, x.at)
		} else if rose && (c.good != min(before, p.limit) || !c.rose || c.next != after(time.Second)) {
			t.Errorf("%s: %+v", name, c.bound)
		}
	}
	c, p := begun()
	c.at, c.step, p.limit, p.held = 4, 3, 4, 4
	if c.rise(start, p); c.step != 1 {
		t.Errorf("the next step from 7 is %d, want at least one", c.step)
	}
	c = ceiling{bound: bound{next: after(time.Second)}}
	if c.lift(after(2 * time.Second)); c.next != after(time.Second) {
		t.Error("a quiet time that is over was ended later")
	}
	if c.lift(start); c.next != start {
		t.Error("a quiet time was not ended")
	}
}

// When refusals begin a trial.
func TestRefusalsBeginATrialOnceTheyTellEnough(t *testing.T) {
	now := after(10 * time.Second)
	type want struct {
		trial   int
		back    bool
		base    float64
		assumed bool
		safe    int
	}
	for _, x := range []struct {
		name          string
		change        func(*ceiling, *pressure)
		d             time.Duration // what was sent up to now
		sent, refused int
		want          want
	}{
		{"a fifth", nil, 2 * time.Second, 400, 80, want{trial: 30, safe: 7}},
		{"hardly any", nil, 2 * time.Second, 400, 30, want{safe: 7}},
		{"most", nil, 2 * time.Second, 400, 280, want{trial: 30}},
		{"few were taken in less than a second", nil, 950 * time.Millisecond, 380, 76, want{safe: 7}},
		{"few were taken in a second", nil, time.Second, 380, 76, want{trial: 30, safe: 7}},
		{"400 were taken in less than a second", nil, 500 * time.Millisecond, 500, 100, want{trial: 30, safe: 7}},
		{"most in less than a second", nil, 500 * time.Millisecond, 100, 60, want{trial: 30}},
		{"in less than half of the settling time", func(c *ceiling, p *pressure) { p.settle = 2 * time.Second }, 950 * time.Millisecond, 2000, 1200, want{}},
		{"in half of the settling time", func(c *ceiling, p *pressure) { p.settle = 2 * time.Second }, time.Second, 2000, 1200, want{trial: 30}},
		{"on the way up", func(c *ceiling, p *pressure) { p.growing = true }, 2 * time.Second, 400, 80, want{base: 0.2, assumed: true, safe: 7}},
		{"on the way up, too early to assume it", func(c *ceiling, p *pressure) { p.growing, p.settle = true, 4*time.Second }, 3 * time.Second, 400, 80, want{safe: 7}},
		{"on the way up, nearly half", func(c *ceiling, p *pressure) { p.growing = true }, 2 * time.Second, 400, 184, want{trial: 30, safe: 7}},
		{"on the way up below a bound", func(c *ceiling, p *pressure) { p.growing, c.at, c.good = true, 200, 200 }, 2 * time.Second, 400, 80, want{trial: 30, safe: 7}},
		{"assumed on the way up", func(c *ceiling, p *pressure) { c.assumed, c.base = true, 0.3 }, 2 * time.Second, 400, 80, want{trial: 30, safe: 7}},
		{"assumed, still on the way up", func(c *ceiling, p *pressure) { p.growing, c.assumed, c.base = true, true, 0.3 }, 2 * time.Second, 400, 120, want{base: 0.3, assumed: true, safe: 7}},
		{"less than usual", func(c *ceiling, p *pressure) { c.base = 0.3 }, 2 * time.Second, 400, 40, want{base: 0.3 - 0.2/64, safe: 7}},
		{"less than usual of 31", func(c *ceiling, p *pressure) { c.base = 0.3 }, 1550 * time.Millisecond, 31, 0, want{base: 0.3, safe: 7}},
		{"the bound had risen", func(c *ceiling, p *pressure) { c.at, c.good = 100, 80 }, 2 * time.Second, 400, 80, want{trial: 80, back: true, safe: 7}},
		{"the bound had not risen", func(c *ceiling, p *pressure) { c.at, c.good = 100, 100 }, 2 * time.Second, 400, 80, want{trial: 30, safe: 7}},
		{"one at a time", func(c *ceiling, p *pressure) { p.limit, c.beside = 1, recent{} }, 2 * time.Second, 400, 80, want{safe: 7}},
		{"judged 49 ms ago", func(c *ceiling, p *pressure) { c.judged = now.Add(time.Millisecond - binWidth) }, 2 * time.Second, 400, 80, want{}},
		{"judged 50 ms ago", func(c *ceiling, p *pressure) { c.judged = now.Add(-binWidth) }, 2 * time.Second, 400, 80, want{trial: 30, safe: 7}},
		{"sent before the last change", func(c *ceiling, p *pressure) { c.clean = now }, 2 * time.Second, 400, 80, want{}},
	} {
		c := ceiling{beside: recent{30, true}, bound: bound{quiet: 7}}
		p := pressure{limit: 100, held: 100, settle: 200 * time.Millisecond}
		if x.change != nil {
			x.change(&c, &p)
		}
		at := c.at
		fill(&c.sends, now.Add(-x.d), x.d, x.sent, x.refused)
		began := c.judge(now, p)
		got := want{c.trial.to, c.trial.back, c.base, c.assumed, int(c.safe.quiet)}
		if !near(got.base, x.want.base) || began != (x.want.trial > 0) {
			t.Errorf("%s: began %v, base %.4f, want %+v", x.name, began, got.base, x.want)
		}
		if got.base = x.want.base; got != x.want {
			t.Errorf("%s: %+v, want %+v", x.name, got, x.want)
		}
		if began && (c.trial.from != 100 || c.trial.was != at || !c.trial.on || c.clean != now) {
			t.Errorf("%s: %+v", x.name, c.trial)
		}
		if c.forget(); c.trial.on || int(c.quiet) != x.want.safe {
			t.Errorf("%s: forgotten %+v", x.name, c.bound)
		}
	}
}

// Where few are in flight, up to twelve seconds tell the rate before the trial, unless fewer were refused in them.
func TestFewRequestsAreComparedWithALongerTime(t *testing.T) {
	now := after(20 * time.Second)
	for name, x := range map[string]struct {
		limit, refused int // in ten seconds before the last two
		want           float64
	}{
		"few":             {32, 200, 1200},
		"many":            {33, 200, 400},
		"calm until then": {32, 20, 400},
	} {
		c := ceiling{beside: recent{20, true}}
		fill(&c.sends, now.Add(-12*time.Second), 10*time.Second, 800, x.refused)
		fill(&c.sends, now.Add(-2*time.Second), 2*time.Second, 400, 100)
		c.judge(now, pressure{limit: x.limit, held: x.limit, settle: 200 * time.Millisecond})
		if !near(c.trial.before.sent, x.want) {
			t.Errorf("%s: compared with %.0f requests, want %.0f", name, c.trial.before.sent, x.want)
		}
	}
}
