package limit

import (
	"testing"
	"time"
)

func TestAHeldLimitIsWatched(t *testing.T) {
	type want struct {
		phase   phase
		limit   int
		goodput float64
		worse   int
		grown   bool
	}
	now := after(time.Minute)
	held := climb{phase: holding, idle: 1, share: 1, limit: 100, hold: lv(100, 100), look: now.Add(time.Second), every: time.Hour}
	due := held
	due.look = now
	bad := held
	bad.worse = 1
	alone := due
	alone.untried = true
	for _, c := range []struct {
		name    string
		c       climb
		at      level
		ceiling int
		want    want
	}{
		{"as ever", held, lv(100, 100), Last, want{holding, 100, 100, 0, false}},
		{"2 % more", held, lv(100, 102), Last, want{holding, 100, 100.5, 0, false}},
		{"4 % more", held, lv(100, 104), Last, want{looking, 125, 101, 0, true}},
		{"3.4 % more", held, lv(100, 103.4), Last, want{holding, 100, 100.85, 0, false}},
		{"14 % more", held, lv(100, 114), Last, want{looking, 125, 103.5, 0, true}},
		{"16 % more", held, lv(100, 116), Last, want{rising, 160, 100, 0, false}},
		{"91 %", held, lv(100, 91), Last, want{holding, 100, 97.75, 0, false}},
		{"91 % after a bad one", bad, lv(100, 91), Last, want{holding, 100, 97.75, 0, false}},
		{"89 % for sure", held, lv(100, 89), Last, want{searching, 100, 100, 1, false}},
		{"89 % with an error", held, level{100, 89, 0.01}, Last, want{holding, 100, 100, 1, false}},
		{"86 % with that error", held, level{100, 86, 0.01}, Last, want{searching, 100, 100, 1, false}},
		{"89 % again", bad, level{100, 89, 0.01}, Last, want{searching, 100, 100, 2, false}},
		{"time to look", due, lv(100, 100), Last, want{looking, 105, 100, 0, false}},
		{"time to look, with none above tried", alone, lv(100, 100), Last, want{looking, 125, 100, 0, false}},
		{"time to look, and a bound", due, lv(100, 100), 104, want{holding, 100, 100, 0, false}},
		{"time to look up to the bound", due, lv(100, 100), 105, want{looking, 105, 100, 0, false}},
	} {
		got := c.c
		got.watch(now, c.at, c.ceiling)
		g := want{got.phase, got.limit, got.hold.goodput, got.worse, got.grown}
		if !near(g.goodput, c.want.goodput) {
			t.Errorf("%s: the goodput of before is %.3f, want %.3f", c.name, g.goodput, c.want.goodput)
		}
		if g.goodput = c.want.goodput; g != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, g, c.want)
		}
	}
	top := due
	top.limit = 4000
	if top.watch(now, lv(100, 100), 9999); top.phase != holding {
		t.Error("looks above the highest limit")
	}
	top.limit = 10
	if top.watch(now, lv(100, 100), Last); top.limit != 11 {
		t.Errorf("a look above 10 is %d, want 10.5 rounded up", top.limit)
	}
}

// 48 answers and three standard errors show a change.
func TestAChangeOfTheServerShowsInARoughMeasurement(t *testing.T) {
	for _, c := range []struct {
		phase   phase
		limit   int
		goodput float64
		want    bool
	}{
		{searching, 100, 72, true}, {searching, 100, 73, false}, {searching, 100, 120, false}, // 1.03 × G < 75
		{searching, 50, 36, true}, {searching, 50, 37, false}, {searching, 200, 72, true}, {searching, 200, 73, false},
		{looking, 100, 72, true}, {looking, 100, 73, false}, {looking, 100, 106, false}, {looking, 100, 107, true}, // 0.97 × G > 103.5
		{holding, 100, 72, true}, {holding, 100, 73, false}, {holding, 100, 109, false}, {holding, 100, 110, true}, // 0.97 × G > 106
	} {
		m := climb{phase: c.phase, limit: c.limit, high: lv(100, 100), best: lv(100, 100), hold: lv(100, 100), w: rough(48, c.goodput, 0.01)}
		if m.changed(false) != c.want {
			t.Errorf("phase %d, limit %d, goodput %.0f: changed %v", c.phase, c.limit, c.goodput, !c.want)
		}
		if m.changed(true) {
			t.Errorf("phase %d, goodput %.0f: changed beside refusals", c.phase, c.goodput)
		}
		if m.w.n = 47; m.changed(false) {
			t.Errorf("phase %d, goodput %.0f: changed after 47 answers", c.phase, c.goodput)
		}
	}
}
