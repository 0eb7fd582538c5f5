package limit

import (
	"testing"
	"time"
)

// lv is a level that was measured without error.
func lv(limit int, goodput float64) level { return level{limit, goodput, 0} }

// rough is a finished measurement: so many answers, goodput and its standard error.
func rough(n int, goodput, err float64) period {
	x := float64(n)
	return period{from: start, last: after(time.Second), sent: start, held: goodput, flying: goodput, n: n, work: x, took: x, work2: err * err * x * x}
}

// feed gives a climb answers of requests sent at its level, each with the rate in tokens a second.
func feed(c *climb, now time.Time, n int, rate float64, ceiling int) {
	for range n {
		c.answered(now, Flight{sent: now, took: time.Second}, rate, ceiling)
	}
}

// The median of the first eight answers is the rate of an empty server. 40 % of the requests that a level added, and 40 % more, must be
// answered; then 0.7 of the later ones at 0.85 of that rate lead to the next level.
func TestALevelWhoseRequestsDoNotWaitIsLeftEarly(t *testing.T) {
	begun := func() climb {
		c := newClimb(32, 4)
		c.pass(start, 0, 0)
		feed(&c, start, 4, 10, Last)
		feed(&c, start, 4, 6, Last)
		if c.idle != 10 {
			t.Fatalf("an empty server has the rate %.1f, want the upper median 10", c.idle)
		}
		return c
	}
	c := begun()
	if feed(&c, start, 12, 1, Last); !c.late || len(c.fresh) != 0 || c.limit != 32 {
		t.Errorf("after 12 of 32: late %v, %d fresh, limit %d", c.late, len(c.fresh), c.limit)
	}
	if feed(&c, start, 11, 8.5, Last); c.limit != 32 {
		t.Errorf("limit %d after 23 answers of 32", c.limit)
	}
	c.strain = 3
	if feed(&c, start, 1, 8.5, Last); c.limit != 128 || c.before != 32 || c.w.limit != 128 || c.w.skip != 128 || c.late || c.strain != 0 {
		t.Errorf("after 24 answers at 0.85 of the rate: limit %d from %d, measured %d after %d, late %v, strain %.1f", c.limit, c.before, c.w.limit, c.w.skip, c.late, c.strain)
	}
	for name, x := range map[string]struct {
		slow    int // of twelve
		rate    float64
		ceiling int
		change  func(*climb)
		want    int
	}{
		"slower than 0.85":      {0, 8.4, Last, nil, 32},
		"three of twelve wait":  {3, 10, Last, nil, 128},
		"four of twelve wait":   {4, 10, Last, nil, 32},
		"a bound above":         {0, 10, 33, nil, 128},
		"a bound here":          {0, 10, 32, nil, 32},
		"small steps":           {0, 10, Last, func(c *climb) { c.step = 1.25 }, 40},
		"steps that are tiny":   {0, 10, Last, func(c *climb) { c.step = 1.2 }, 32},
		"a bound of the search": {0, 10, Last, func(c *climb) { c.step = 200 }, Last},
	} {
		c := begun()
		if x.change != nil {
			x.change(&c)
		}
		feed(&c, start, 12, 10, x.ceiling)
		feed(&c, start, x.slow, 1, x.ceiling)
		feed(&c, start, 12-x.slow, x.rate, x.ceiling)
		if c.limit != x.want || x.want != 32 && c.w.limit != min(x.want, x.ceiling) {
			t.Errorf("%s: limit %d, measured %d, want %d", name, c.limit, c.w.limit, x.want)
		}
		if len(c.fresh) != 0 && x.want == 32 && x.ceiling == Last && c.step >= 1.25 {
			t.Errorf("%s: %d answers were kept for the next judgement", name, len(c.fresh))
		}
	}
	c = begun()
	feed(&c, start, 12, 10, Last)
	if feed(&c, start, 12, 12, Last); c.idle != 12 {
		t.Errorf("the rate of an empty server is %.1f, want that of later and faster requests", c.idle)
	}
	c = begun()
	c.phase = holding
	if feed(&c, start, 24, 10, Last); len(c.fresh) != 0 || c.limit != 32 {
		t.Errorf("a limit that is held has %d fresh answers and went to %d", len(c.fresh), c.limit)
	}
	c = begun()
	c.limit, c.before = 200, 180
	feed(&c, start, 8, 10, Last)
	if feed(&c, start, 7, 10, Last); c.limit != 200 {
		t.Error("twenty requests more were judged from fewer than eight answers")
	}
	if feed(&c, start, 1, 10, Last); c.limit != 800 {
		t.Errorf("limit %d after twice eight answers", c.limit)
	}
}

// A level counts as measured only if 85 % of its slots were in use.
func TestALevelThatWasNotReachedIsMeasuredAgain(t *testing.T) {
	for held, want := range map[float64]int{27: 32, 27.3: 37} {
		c := newClimb(32, 4)
		c.first, c.idle = make(rates, 8), 1
		c.phase, c.high, c.best = searching, lv(40, 40), lv(40, 40)
		c.low = lv(31, 20)
		c.w = rough(2000, held, 0.001)
		c.w.limit = 32
		c.answered(after(time.Second), flight(0, 1), 1, Last)
		if c.limit == 32 != (want == 32) || c.measures != 1 {
			t.Errorf("%.1f of 32 in use: limit %d, %d measurements", held, c.limit, c.measures)
		}
		if c.w.n != 0 {
			t.Errorf("%.1f of 32 in use: %d answers are left in the measurement", held, c.w.n)
		}
	}
}

// The share is the rate of one request against that in an empty server, and a higher rate is that of an emptier one.
func TestTheRateOfAnEmptyServerIsTheHighestMeasured(t *testing.T) {
	for idle, want := range map[float64][2]float64{0.5: {2, 1}, 4: {0.25, 4}} {
		c := newClimb(32, 4)
		c.first, c.idle = make(rates, 8), idle
		c.w = rough(2000, 32, 0.001)
		c.w.limit = 32
		c.answered(after(time.Second), flight(0, 1), 1, Last)
		if !near(c.share, want[0]) || !near(c.idle, want[1]) {
			t.Errorf("rate 1 after %.1f: share %.2f, empty %.2f; want %v", idle, c.share, c.idle, want)
		}
	}
}

// After a measurement the limit is moved within the bound from refusals.
func TestANewLevelIsMeasuredWithinTheBound(t *testing.T) {
	c := newClimb(32, 4)
	c.first, c.idle = make(rates, 8), 1
	c.w = rough(2000, 32, 0.001)
	c.w.limit = 32
	c.answered(after(time.Second), flight(0, 1), 1, 100)
	if c.limit != 128 || c.w.limit != 100 || c.w.skip != 100 {
		t.Errorf("limit %d, measured %d after %d answers; want 128, 100 and 100", c.limit, c.w.limit, c.w.skip)
	}
	c = newClimb(200, 4)
	c.first, c.idle, c.phase = make(rates, 8), 1, holding
	c.hold = lv(200, 100)
	c.look = after(time.Hour)
	c.w = rough(2000, 100, 0.001)
	c.w.limit = 100
	c.w.skip = -5
	if c.answered(after(time.Second), flight(0, 1), 1, 100); c.measures != 1 || c.w.from != after(time.Second) || c.w.skip != 0 {
		t.Errorf("a bound of 100: %d measurements, the next from %s", c.measures, c.w.from.Sub(start))
	}
}

func TestAMeasurementThatWasDisturbedStartsAgainWithinTheBound(t *testing.T) {
	c := newClimb(100, 4)
	c.measures, c.confirmed, c.late, c.fresh = 3, true, true, rates{1}
	c.restart(60, after(time.Second))
	if c.limit != 100 || c.w.limit != 60 || c.w.skip != 60 || c.w.after != after(time.Second) || c.measures != 0 || c.confirmed || c.late || c.fresh != nil {
		t.Errorf("%+v", c)
	}
	c.phase = looking
	if c.level(100); c.w.skip != 25 {
		t.Errorf("a look begins after %d answers, want a quarter of 100", c.w.skip)
	}
	var f climb
	f.w = period{from: start, sent: start}
	if f.lost(flight(0, 3)); f.w.lost != 3 {
		t.Errorf("a request without an answer took %.0f s, want 3", f.w.lost)
	}
	f.w.limit = 9
	if f.pass(after(2*time.Second), 4, 3); f.w.last != after(2*time.Second) {
		t.Error("the time did not pass for the measurement")
	}
}

// How precise a measurement must be depends on the step of the search.
func TestALevelIsMeasuredAsPreciselyAsItsStepNeeds(t *testing.T) {
	at := func(p phase, limit, n int, goodput, err float64) climb {
		c := climb{phase: p, limit: limit, idle: 1, high: lv(limit, 100), best: lv(limit, 100), hold: lv(limit, 100)}
		c.w = rough(n, goodput, err)
		return c
	}
	for _, c := range []struct {
		name    string
		c       climb
		refused bool
		want    bool
	}{
		{"on the way up, half the limit at 5 %", at(rising, 100, 50, 100, 0.049), false, true},
		{"on the way up, fewer", at(rising, 100, 49, 100, 0.049), false, false},
		{"on the way up, 5.1 %", at(rising, 100, 50, 100, 0.051), false, false},
		{"on the way up from few, eight answers", at(rising, 4, 8, 100, 0.049), false, true},
		{"on the way up from few, seven", at(rising, 4, 7, 100, 0.049), false, false},
		{"held, 1 % at 100 slots", at(holding, 100, 100, 100, 0.0099), false, true},
		{"held, 1.1 %", at(holding, 100, 100, 100, 0.011), false, false},
		{"held, fewer than the limit", at(holding, 100, 99, 100, 0.001), false, false},
		{"held, 48 of few slots", at(holding, 8, 48, 100, 0.0099), false, true},
		{"held, 47", at(holding, 8, 47, 100, 0.0099), false, false},
		{"held, fewer slots by now", at(holding, 100, 48, 60, 0.05), false, true},
		{"held, fewer slots and refusals", at(holding, 100, 48, 60, 0.05), true, false},
		{"search, clearly below", at(searching, 100, 100, 90, 0.009), false, true},
		{"search, near 0.975", at(searching, 100, 100, 98, 0.009), false, false},
		{"search, near 0.975 after four times as many", at(searching, 100, 400, 98, 0.009), false, true},
		{"search, clearly above", at(searching, 100, 100, 99, 0.009), false, true},
		{"search, fewer slots by now", at(searching, 100, 48, 60, 0.05), false, true},
		{"search, fewer slots and refusals", at(searching, 100, 48, 60, 0.05), true, false},
		{"search far above, 2 %", at(searching, 300, 300, 98, 0.0199), false, true},
		{"search far above, 2.1 %", at(searching, 300, 300, 98, 0.021), false, false},
	} {
		if got := c.c.sure(c.c.limit, c.refused); got != c.want {
			t.Errorf("%s: sure %v", c.name, got)
		}
	}
	for best, want := range map[float64]float64{5: 0.03, 15: 0.02, 100: 0.01} { // 0.3/slots within 1 % and 3 %
		for _, by := range []float64{-0.0005, 0.0005} {
			c := at(holding, 48, 48, best, want+by)
			c.best.goodput, c.hold.goodput = best, best
			if c.sure(48, false) != (by < 0) {
				t.Errorf("%.0f slots: an error of %.4f is enough: %v, want %.3f", best, want+by, by > 0, want)
			}
		}
	}
}

// What the search does after a level on the way up.
func TestTheLimitRisesWhileGoodputDoes(t *testing.T) {
	type want struct {
		phase     phase
		low, high int
		limit     int
	}
	for _, c := range []struct {
		name    string
		c       climb
		at      level
		ceiling int
		want    want
	}{
		{"the first level", climb{step: 4, share: 1}, lv(32, 32), Last, want{rising, 0, 32, 128}},
		{"the first at 0.69 of the empty rate", climb{step: 4, share: 0.69}, lv(32, 32), Last, want{rising, 0, 32, 64}},
		{"the first at 0.46", climb{step: 4, share: 0.46}, lv(32, 32), Last, want{rising, 0, 32, 64}},
		{"the first at 0.44: most wait", climb{step: 4, share: 0.44}, lv(32, 8), Last, want{searching, 0, 32, 16}},
		{"a later one at 0.44", climb{step: 4, share: 0.44, high: lv(32, 32), low: lv(8, 8)}, lv(128, 120), Last, want{rising, 32, 128, 256}},
		{"a later one at 0.39", climb{step: 4, share: 0.39, high: lv(32, 32), low: lv(8, 8)}, lv(128, 120), Last, want{rising, 32, 128, 192}},
		{"a later one at 0.19", climb{step: 4, share: 0.19, high: lv(32, 32), low: lv(8, 8)}, lv(128, 120), Last, want{searching, 32, 128, 120}},
		{"at the bound", climb{step: 4, share: 1}, lv(32, 32), 32, want{holding, 0, 32, 36}},
		{"below the bound", climb{step: 4, share: 1}, lv(32, 32), 33, want{rising, 0, 32, 128}},
		{"at the highest limit", climb{step: 4, share: 1}, lv(4096, 4096), 9999, want{holding, 0, 4096, 4610}},
		{"1.31 times as much from four times as many", climb{step: 4, share: 1, high: lv(32, 100), idle: 10}, lv(128, 131), Last, want{rising, 32, 128, 256}},
		{"1.29 times", climb{step: 4, share: 1, high: lv(32, 100), idle: 1000}, lv(128, 129), Last, want{searching, 32, 128, 72}},
		{"1.05 times", climb{step: 4, share: 1, high: lv(32, 100), idle: 1000}, lv(128, 105), Last, want{searching, 0, 128, 12}},
		{"no more", climb{step: 4, share: 1, high: lv(32, 100), idle: 1000}, lv(128, 100), Last, want{searching, 0, 32, 6}},
		{"no more after a level that all ran at", climb{step: 4, share: 1, high: lv(32, 100), idle: 1000, strain: 1.03}, lv(128, 100), Last, want{searching, 32, 128, 64}},
		{"no more after one with a short queue", climb{step: 4, share: 1, high: lv(32, 100), idle: 1000, strain: 1.04}, lv(128, 100), Last, want{searching, 0, 32, 6}},
		{"many wait: 1.26 times as long as if all ran", climb{step: 4, share: 1, high: lv(128, 128), idle: 1}, lv(256, 203), Last, want{searching, 128, 256, 238}},
		{"1.24 times as long", climb{step: 4, share: 1, high: lv(128, 128), idle: 1}, lv(256, 206), Last, want{rising, 128, 256, 320}},
		{"1.2 times, and less than 0.7 of the growth", climb{step: 4, share: 1, high: lv(128, 120), idle: 1}, lv(512, 320), Last, want{searching, 128, 512, 444}},
	} {
		got := c.c
		if got.idle == 0 {
			got.idle = 1
		}
		got.best = got.high
		got.risen(start, c.at, c.ceiling)
		if g := (want{got.phase, got.low.limit, got.high.limit, got.limit}); g != c.want {
			t.Errorf("%s: %+v, want %+v (strain %.3f)", c.name, g, c.want, got.strain)
		}
	}
}

func TestARiseRemembersWhatItFound(t *testing.T) {
	c := climb{step: 4, share: 1, idle: 1}
	if c.risen(start, lv(32, 32), Last); c.top != 0 || c.before != 32 || c.best != lv(32, 32) {
		t.Errorf("on the way: top %d, from %d, best %v", c.top, c.before, c.best)
	}
	if c.risen(start, lv(128, 60), Last); c.step != 2 || c.top != 0 || c.best != lv(128, 60) || c.low != lv(32, 32) || c.high != lv(128, 60) {
		t.Errorf("less than 0.55 of the growth: step %.2f, top %d, best %v, low %v, high %v", c.step, c.top, c.best, c.low, c.high)
	}
	c = climb{step: 4, share: 1, idle: 1, high: lv(128, 128), best: lv(128, 128)}
	if c.risen(start, lv(256, 190), Last); c.top != 256 || c.best != lv(256, 190) || c.phase != searching {
		t.Errorf("many wait: top %d, best %v, phase %d", c.top, c.best, c.phase)
	}
	for g, want := range map[float64]float64{71: 4, 70: 2} { // 0.55 × 4 × 32 = 70.4
		c = climb{step: 4, share: 1, idle: 1, high: lv(32, 32), best: lv(32, 32)}
		if c.risen(start, lv(128, g), Last); c.step != want {
			t.Errorf("%.0f instead of 32: the step is %.2f, want %.0f", g, c.step, want)
		}
	}
	c = climb{step: 4, share: 1, idle: 1000, high: lv(128, 100), best: lv(128, 100), strain: 1.01}
	if c.risen(start, lv(512, 110), Last); c.full != 128 || c.low != lv(128, 100) || c.high != lv(512, 110) || c.top != 0 {
		t.Errorf("all of the level before ran: full %d, low %v, high %v, top %d", c.full, c.low, c.high, c.top)
	}
	c = climb{step: 4, share: 1, idle: 1000, high: lv(32, 100), best: lv(32, 100)}
	if c.risen(start, lv(128, 105), Last); c.full != 0 || c.best != lv(128, 105) {
		t.Errorf("of a level with a queue: full %d, best %v", c.full, c.best)
	}
	c = climb{step: 4, share: 1, idle: 1000, high: lv(128, 100), best: lv(128, 100), strain: 1.01}
	if c.risen(start, lv(100, 50), 100); c.low != (level{}) || c.high != lv(100, 50) {
		t.Errorf("a bound fell below the level before: low %v, high %v", c.low, c.high)
	}
	for share, top := range map[float64]int{0.44: 32, 0.46: 0} {
		c = climb{step: 4, share: share, idle: 1}
		if c.risen(start, lv(32, 32), Last); c.top != top {
			t.Errorf("share %.2f: no level above %d was tried, want %d", share, c.top, top)
		}
	}
}

// The requests that came with a rise came all at once; a rise does not end by their answers.
func TestARiseEndsOnlyByASecondMeasurement(t *testing.T) {
	begun := func(share float64) climb {
		return climb{step: 4, share: share, idle: 1000, high: lv(32, 100), best: lv(32, 100), limit: 128, w: period{limit: 128}}
	}
	c := begun(0.45)
	if c.rise(after(time.Second), lv(128, 100), Last); c.phase != rising || !c.confirmed || c.w.sent != after(time.Second) || c.w.skip != 128 || c.limit != 128 || c.w.limit != 128 {
		t.Errorf("the first measurement: phase %d, confirmed %v, measured from %s after %d answers at %d", c.phase, c.confirmed, c.w.sent.Sub(start), c.w.skip, c.limit)
	}
	if c.rise(after(2*time.Second), lv(128, 100), Last); c.phase != searching {
		t.Errorf("the second: phase %d", c.phase)
	}
	c = begun(0.44)
	if c.rise(start, lv(128, 100), Last); c.phase != searching {
		t.Errorf("most of the time goes by in the queue: phase %d", c.phase)
	}
	c = begun(1)
	if c.rise(start, lv(128, 400), Last); c.phase != rising || c.confirmed || c.limit != 512 {
		t.Errorf("goodput rises: phase %d, confirmed %v, limit %d", c.phase, c.confirmed, c.limit)
	}
}

// slower = t₂ / (t₁ + (t₁ - t₀)/(L₁ - L₀) × (L₂ - L₁)), t = L/G.
func TestHowMuchLongerATokenTakesIsMeasuredAgainstALine(t *testing.T) {
	for _, c := range []struct {
		idle       float64
		before, at level
		want       float64
	}{
		{1, lv(128, 128), lv(512, 512), 1},
		{1, lv(128, 128), lv(512, 256), 2},
		{1, lv(128, 64), lv(512, 64), 8. / 6}, // 2 s + 1/96 × 384
		{1, lv(128, 64), lv(512, 128), 4. / 6},
		{0.5, lv(128, 128), lv(512, 256), 2}, // faster than in an empty server: the line is flat
		{1, lv(32, 32), lv(128, 32), 0},      // L₁ = L₀: there is no line
		{1, lv(16, 16), lv(128, 32), 0},
	} {
		m := climb{idle: c.idle}
		if got := m.slower(c.before, c.at); !near(got, c.want) {
			t.Errorf("from %v to %v: %.4f times as long, want %.4f", c.before, c.at, got, c.want)
		}
	}
}

func TestTheNextLevelIsNearerWhenRequestsSeemToWait(t *testing.T) {
	for _, c := range []struct {
		low                 int
		strain, share, want float64
	}{
		{1, 1.08, 1, 1.25}, {0, 1.08, 1, 4}, {1, 1.07, 1, 4}, {1, 1.08, 0.3, 1.25},
		{1, 1, 0.39, 1.5}, {1, 1, 0.4, 2}, {1, 1, 0.69, 2}, {1, 1, 0.7, 4},
	} {
		m := climb{step: 4, low: level{limit: c.low}, strain: c.strain, share: c.share}
		if got := m.stride(); got != c.want {
			t.Errorf("%+v: the factor is %.2f", c, got)
		}
		if m.step = 1.1; m.stride() != 1.1 {
			t.Errorf("%+v: a factor of 1.1 became %.2f", c, m.stride())
		}
	}
}

// What is done with the measurement of a level, in each phase.
func TestAMeasurementMovesTheLimit(t *testing.T) {
	now := after(time.Minute)
	search := climb{phase: searching, idle: 2, limit: 80, step: 4, share: 1, every: time.Minute, full: 7, low: lv(40, 70), high: lv(100, 100), best: lv(100, 100)}
	for _, c := range []struct {
		name      string
		at        level
		phase     phase
		low, high int
		limit     int
	}{
		{"enough", lv(80, 97.6), searching, 40, 80, 72},
		{"not enough", lv(80, 97.4), searching, 80, 100, 93},
		{"60: 0.75 of the best, in proportion", lv(80, 60), searching, 80, 100, 0},
		{"59: fewer slots", lv(80, 59), searching, 0, 80, 80},
		{"105", lv(80, 105), searching, 40, 80, 73},
		{"107: more slots", lv(80, 107), rising, 0, 80, 128},
	} {
		got := search
		got.measured(now, c.at, Last)
		if got.phase != c.phase && c.limit != 0 || got.low.limit != c.low || got.high.limit != c.high || got.limit != c.limit && c.limit != 0 {
			t.Errorf("%s: phase %d, low %d, high %d, limit %d; want %d, %d, %d, %d", c.name, got.phase, got.low.limit, got.high.limit, got.limit, c.phase, c.low, c.high, c.limit)
		}
	}
	again := search
	again.w.limit = 80
	if again.measured(now, lv(80, 59), Last); again.best != (level{}) || again.full != 0 || again.every != firstLook || again.w.sent != now || again.w.skip != 0 {
		t.Errorf("begun again: best %v, full %d, every %s, measured from %s", again.best, again.full, again.every, again.w.sent.Sub(start))
	}
	more := search
	more.strain = 3
	if more.measured(now, lv(80, 107), Last); more.step != 1.6 || more.full != 0 || more.every != firstLook || more.best != lv(80, 107) || more.strain != 0 {
		t.Errorf("more slots: step %.2f, full %d, every %s, best %v, strain %.1f", more.step, more.full, more.every, more.best, more.strain)
	}
	unsure := search
	if unsure.measured(now, level{80, 107, 0.02}, Last); unsure.phase == rising {
		t.Error("107 of 100 with an error of 2 % is not more slots")
	}
	first := search
	if first.best, first.low = (level{}), (level{}); first.high.goodput != 100 {
		t.Fatal()
	}
	if first.measured(now, lv(80, 80), Last); first.phase == rising || first.high != lv(80, 80) {
		t.Errorf("the first measurement of a search from here down: phase %d, high %v", first.phase, first.high)
	}
}

func TestAHigherLimitIsKeptOnlyIfGoodputRises(t *testing.T) {
	now := after(time.Minute)
	look := climb{phase: looking, idle: 1, limit: 105, share: 1, untried: true, every: time.Minute, hold: lv(100, 100), low: lv(90, 90), high: lv(100, 100), best: lv(100, 100)}
	for _, c := range []struct {
		name  string
		at    level
		phase phase
		limit int
		every time.Duration
	}{
		{"3.4 % more", lv(105, 103.4), holding, 100, 2 * time.Minute},
		{"3.6 % more", lv(105, 103.6), rising, 168, firstLook},
		{"more, at a limit that a bound has lowered", lv(100, 110), holding, 100, 2 * time.Minute},
		{"76 %", lv(105, 76), holding, 100, 2 * time.Minute},
		{"74 %: slots were lost", lv(105, 74), searching, 105, firstLook},
	} {
		got := look
		got.measured(now, c.at, Last)
		if got.phase != c.phase || got.limit != c.limit || got.every != c.every || got.untried || c.phase == holding && got.look != now.Add(c.every) {
			t.Errorf("%s: phase %d, limit %d, next after %s, untried %v", c.name, got.phase, got.limit, got.every, got.untried)
		}
	}
	look.every, look.worse = 4*time.Minute, 1
	if look.measured(now, lv(105, 100), Last); look.every != lastLook || look.worse != 0 {
		t.Errorf("the next after %s, want at most five minutes; %d bad ones", look.every, look.worse)
	}
	hold := climb{phase: holding, limit: 100, hold: lv(100, 100), look: now.Add(time.Hour)}
	if hold.measured(now, lv(100, 104), Last); hold.hold.goodput != 101 {
		t.Errorf("a limit that is held was not watched: %v", hold.hold)
	}
}
