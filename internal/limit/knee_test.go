package limit

import (
	"testing"
	"time"
)

// knee ≥ L × 0.975 × best / G(L) for each level, and 0.975 × slots.
func TestTheKneeIsNotBelowWhatTheLevelsAllow(t *testing.T) {
	for _, c := range []struct {
		name         string
		c            climb
		slots, floor float64
	}{
		{"slots alone", climb{idle: 2, best: lv(100, 100)}, 50, 48.75},
		{"slower than one request", climb{idle: 200, best: lv(100, 100)}, 1, 0.975},
		{"a level in proportion", climb{idle: 2, best: lv(100, 100), low: lv(60, 75)}, 50, 78},
		{"a level that is nearly enough", climb{idle: 2, best: lv(100, 100), low: lv(60, 98)}, 50, 60},
		{"a low level", climb{idle: 2, best: lv(100, 100), low: lv(10, 75)}, 50, 48.75},
	} {
		if !near(c.c.slots(), c.slots) || !near(c.c.floor(), c.floor) {
			t.Errorf("%s: %.3f slots, knee from %.3f; want %.3f and %.3f", c.name, c.c.slots(), c.c.floor(), c.slots, c.floor)
		}
	}
	for high, far := range map[int]bool{97: false, 98: true} { // 2 × 48.75 = 97.5
		if c := (climb{idle: 2, best: lv(100, 100), high: lv(high, 100)}); c.far() != far {
			t.Errorf("%d is far above the knee: %v", high, !far)
		}
	}
	if c := (climb{idle: 0.975, best: lv(100, 1), high: lv(2, 100)}); c.floor() != 1 || c.far() {
		t.Error("twice the knee is far above it")
	}
}

// G ≥ 0.975 × best within 1.5 standard errors of both, and 0.975² far above the knee.
func TestALevelIsEnoughNearTheBestGoodput(t *testing.T) {
	for _, c := range []struct {
		high  int
		at    level
		err   float64
		share float64
	}{
		{90, level{80, 0, 0}, 0, 0.975},
		{90, level{80, 0, 0.03}, 0.04, 0.975 - 0.075},
		{200, level{80, 0, 0}, 0, 0.975 * 0.975},
	} {
		for _, by := range []float64{-0.01, 0, 0.01} {
			m := climb{idle: 2, best: level{100, 100, c.err}, high: lv(c.high, 100)}
			at := c.at
			if at.goodput = c.share*100 + by; by == 0 {
				at.goodput += 1e-9
			}
			if m.enough(at) != (by >= 0) {
				t.Errorf("high %d: %v is enough: %v", c.high, at, by < 0)
			}
		}
	}
	if m := (climb{idle: 2, best: lv(100, 1000), high: lv(90, 1)}); !m.enough(lv(80, 975)) {
		t.Error("0.975 of the best is not enough")
	}
}

func TestOneLuckyMeasurementDoesNotSetTheBest(t *testing.T) {
	for _, c := range []struct {
		name           string
		best, at, want level
	}{
		{"the first", level{}, level{50, 80, 0.1}, level{50, 80, 0.1}},
		{"far more", level{50, 100, 0.003}, level{60, 102, 0.004}, level{60, 102, 0.004}}, // 3 × 0.5 %
		{"half of a small increase", level{50, 100, 0.003}, level{60, 101, 0.004}, level{50, 100.5, 0.003}},
		{"less", level{50, 100, 0.003}, level{60, 99, 0.004}, level{50, 100, 0.003}},
		{"the mean of two rough ones", level{50, 100, 0.02}, level{60, 95, 0.02}, level{50, 97.5, 0.0002 / 0.02 * 1.4142135623730951}},
		{"weighted by their errors", level{50, 100, 0.04}, level{60, 90, 0.03}, level{50, 100 - 10*16./25, 0.024}},
		{"1.5 %", level{50, 100, 0.015}, level{60, 95, 0.02}, level{50, 100, 0.015}},
	} {
		m := climb{best: c.best}
		m.better(c.at)
		if m.best.limit != c.want.limit || !near(m.best.goodput, c.want.goodput) || !near(m.best.err, c.want.err) {
			t.Errorf("%s: %v, want %v", c.name, m.best, c.want)
		}
	}
}

// try = high × (1 - min(0.07 × max(48/high, 1), 0.25)), or √(floor × high) far above the knee.
func TestTheSearchComesFromAbove(t *testing.T) {
	for _, c := range []struct {
		name  string
		c     climb
		phase phase
		limit int
	}{
		{"7 % lower", climb{idle: 1, best: lv(0, 184), high: lv(200, 0)}, searching, 186},                                   // floor 179.4
		{"a quarter of a wide bracket", climb{idle: 1, best: lv(0, 120), high: lv(200, 0)}, searching, 165},                 // (200/117 - 1)/4 = 17.7 %
		{"of few slots further", climb{idle: 1, best: lv(0, 20), high: lv(24, 0)}, searching, 21},                           // 14 %
		{"of fewer at most a quarter", climb{idle: 1, best: lv(0, 8), high: lv(12, 0)}, searching, 9},                       // 28 %
		{"the middle far above", climb{idle: 1, best: lv(0, 40), high: lv(400, 0)}, searching, 125},                         // √(39 × 400)
		{"the middle above a level that ran", climb{idle: 1, best: lv(0, 100), high: lv(180, 0), full: 98}, searching, 133}, // √(97.5 × 180)
		{"not above one below the knee", climb{idle: 1, best: lv(0, 100), high: lv(180, 0), full: 97}, searching, 142},
		{"above the knee by one", climb{idle: 1, best: lv(0, 1), low: lv(6, 1), high: lv(8, 0)}, searching, 7},
		{"within 7 %: 1.14 of the middle", climb{idle: 1, best: lv(0, 200), high: lv(208, 0)}, holding, 229}, // √(195 × 208) = 201.4
		{"just outside 7 %", climb{idle: 1, best: lv(0, 200), high: lv(209, 0)}, searching, 196},
		{"one apart", climb{idle: 1, best: lv(0, 1), low: lv(7, 1), high: lv(8, 0)}, holding, 8},
		{"a floor above", climb{idle: 1, best: lv(0, 300), high: lv(200, 0)}, holding, 227}, // 1.14 × 200
		{"above a level at which all ran", climb{idle: 1, best: lv(0, 200), high: lv(208, 0), full: 195}, holding, 208},
		{"above one below", climb{idle: 1, best: lv(0, 200), high: lv(208, 0), full: 194}, holding, 229},
	} {
		got := c.c
		got.phase = looking
		got.search(start)
		if got.phase != c.phase || got.limit != c.limit {
			t.Errorf("%s: phase %d, limit %d; want %d, %d (knee from %.2f)", c.name, got.phase, got.limit, c.phase, c.limit, got.floor())
		}
	}
	c := climb{idle: 1, best: level{0, 200, 0.01}, high: lv(208, 0), every: time.Minute, worse: 1}
	if c.search(start); c.hold != (level{229, 200, 0.01}) || c.look != after(time.Minute) || c.untried || c.worse != 0 {
		t.Errorf("holds %v, the next look at %s, untried %v", c.hold, c.look.Sub(start), c.untried)
	}
	c = climb{idle: 1, best: lv(0, 200), high: lv(208, 0), top: 208, every: time.Minute}
	if c.search(start); c.look != start || !c.untried {
		t.Error("no level above was tried, and none is tried at once")
	}
}
