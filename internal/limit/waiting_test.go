package limit

import (
	"testing"
	"time"

	"github.com/batholith/batholith"
)

func gauges(running, waiting int) batholith.Gauges {
	return batholith.Gauges{Running: running, Waiting: waiting}
}

// queue = max(round(0.09 × slots), 1); a quarter of the slots, rounded up, where they are published and there are no gauges.
func TestTheQueueKeepsTheSlotsBusy(t *testing.T) {
	for _, c := range []struct {
		w    waiting
		want int
	}{{waiting{slots: 100}, 9}, {waiting{slots: 17}, 2}, {waiting{slots: 16}, 1}, {waiting{slots: 1}, 1}, {waiting{slots: 100, published: true}, 25}, {waiting{slots: 101, published: true}, 26}, {waiting{slots: 4, published: true}, 1}, {waiting{slots: 100, published: true, reads: true}, 9}} {
		if got := c.w.queue(); got != c.want {
			t.Errorf("%+v: %d, want %d", c.w, got, c.want)
		}
	}
	for waits, want := range map[int]bool{5: false, 6: true} { // 100 / 20
		if queued(gauges(100, waits)) != want {
			t.Errorf("%d wait beside 100: a queue %v", waits, !want)
		}
	}
}

func TestPublishedSlotsSetTheLimit(t *testing.T) {
	var w waiting
	if w.most() != Last {
		t.Errorf("at most %d", w.most())
	}
	w.publish(100)
	if w.limit != 125 || w.most() != 125 || !w.published {
		t.Errorf("100 published: limit %d, at most %d", w.limit, w.most())
	}
	w.limit = 70
	if w.publish(100); w.limit != 70 {
		t.Error("the same number published again moved the limit")
	}
	w.reads = true
	if w.publish(200); w.limit != 218 || w.most() != 250 {
		t.Errorf("200 published beside gauges: limit %d, at most %d", w.limit, w.most())
	}
	if w.blind(); w.limit != 250 || w.reads {
		t.Errorf("without gauges: limit %d", w.limit)
	}
	if w.publish(4000); w.limit != Last || w.most() != Last {
		t.Errorf("4000 published: limit %d", w.limit)
	}
	w = waiting{slots: 100}
	if w.publish(100); w.limit != 109+16 {
		t.Errorf("100 published where 100 were stored: limit %d", w.limit)
	}
	w = waiting{published: true, slots: 7}
	if w.most() != 9 { // 8.75
		t.Errorf("of 7 slots at most %d", w.most())
	}
	for limit, want := range map[float64]int{0: 1, 1.4: 1, 1.5: 2, 8.9: 9, 99: 9} {
		if w.set(limit); w.limit != want {
			t.Errorf("%.1f became %d, want %d", limit, w.limit, want)
		}
	}
	w = waiting{}
	if w.resume(40); w.limit != 40 || w.slots != 40 || w.sure {
		t.Errorf("resumed %+v", w)
	}
}

// Slots are the most that ran while a queue stood, from its second reading, and at least what runs.
func TestSlotsAreWhatRunsWhileOthersWait(t *testing.T) {
	type step struct {
		running, waiting int
		rising           bool
		slots            int
		sure             bool
	}
	for _, c := range []struct {
		name  string
		w     waiting
		steps []step
	}{
		{"a queue that stands", waiting{}, []step{{30, 0, false, 0, false}, {40, 9, false, 0, false}, {42, 9, false, 42, true}, {41, 9, false, 42, true}}},
		{"a queue once", waiting{}, []step{{40, 9, false, 0, false}, {40, 1, false, 0, false}, {40, 9, false, 0, false}, {40, 9, true, 0, false}, {40, 9, false, 0, false}, {40, 9, false, 40, true}}},
		{"nothing runs", waiting{}, []step{{0, 9, false, 0, false}, {0, 9, false, 0, false}}},
		{"more run", waiting{slots: 40}, []step{{45, 0, false, 45, false}}},
		{"fewer run", waiting{slots: 40}, []step{{30, 9, false, 40, false}, {28, 9, false, 30, true}}},
		{"the peak is of four readings", waiting{slots: 40}, []step{{38, 9, false, 40, false}, {30, 9, false, 38, true}, {30, 9, false, 38, true}, {30, 9, false, 38, true}, {30, 9, false, 30, true}}},
		{"published", waiting{slots: 40, published: true}, []step{{30, 9, false, 40, false}, {40, 9, false, 40, false}}},
		{"more than published", waiting{slots: 40, published: true}, []step{{50, 0, false, 50, false}, {50, 9, false, 50, false}}},
	} {
		for i, s := range c.steps {
			c.w.learn(gauges(s.running, s.waiting), s.rising, false)
			if c.w.slots != s.slots || c.w.sure != s.sure {
				t.Errorf("%s, reading %d: %d slots, sure %v; want %d, %v", c.name, i, c.w.slots, c.w.sure, s.slots, s.sure)
			}
		}
	}
}

// want = in flight + (slots - running) + (queue - waiting). Near it the limit moves by a quarter of the way, otherwise at once.
func TestTheLimitFollowsTheGauges(t *testing.T) {
	known := waiting{limit: 100, fine: 100, slots: 92, sure: true, reads: true, last: gauges(92, 8)} // queue 8
	at := func(limit, held, flying int) standing {
		return standing{now: after(time.Minute), limit: limit, held: held, flying: flying}
	}
	for _, c := range []struct {
		name   string
		change func(*waiting)
		g      batholith.Gauges
		s      standing
		fine   float64
	}{
		{"as wanted", nil, gauges(91, 9), at(100, 100, 100), 100},
		{"four too few wait", nil, gauges(92, 4), at(100, 100, 100), 101},
		{"four too many wait", nil, gauges(92, 12), at(100, 100, 100), 99},
		{"others run", nil, gauges(80, 8), at(100, 100, 100), 103},
		{"27 too many wait: near", nil, gauges(92, 35), at(100, 100, 100), 93.25},
		{"28 too many wait: far", nil, gauges(92, 36), at(100, 100, 100), 72},
		{"the slots are not all used", nil, gauges(92, 4), at(100, 99, 99), 100},
		{"and too many wait", nil, gauges(92, 12), at(100, 99, 99), 98.75},
		{"after a decrease requests are left", nil, gauges(92, 16), at(100, 102, 102), 100},
		{"and the queue grows by more than a queue", nil, gauges(92, 17), at(100, 102, 102), 91},
		{"one is left", nil, gauges(92, 12), at(100, 101, 101), 99.25},
		{"the former queue runs too", nil, gauges(98, 0), at(100, 100, 100), 200},
		{"and only half of it", nil, gauges(96, 0), at(100, 100, 100), 102.25},
		{"it runs too where the slots are not measured", func(w *waiting) { w.sure = false }, gauges(98, 0), at(100, 100, 100), 102.25},
		{"and the limit is not reached", nil, gauges(98, 0), at(100, 99, 99), 100},
		{"more run and others wait", nil, gauges(98, 6), at(100, 100, 100), 100.75},
		{"the limit was lowered by refusals", nil, gauges(92, 4), at(60, 60, 60), 61},
		{"answers wait for the journal", nil, gauges(20, 0), at(100, 100, 20), 100 + (26+92-20+8-100)/4.},
		{"few travel", nil, gauges(0, 0), at(100, 100, 10), 103.25},
		{"many end", nil, gauges(0, 0), func() standing { s := at(100, 100, 10); s.pace = 100; return s }(), 105},
		{"slots rest", nil, gauges(40, 0), func() standing { s := at(100, 100, 40); s.resting = 30; return s }(), 141},
	} {
		w := known
		if c.change != nil {
			c.change(&w)
		}
		if reads(&w, c.g, c.s); !near(w.fine, c.fine) {
			t.Errorf("%s: limit %.3f, want %.3f", c.name, w.fine, c.fine)
		}
		if w.last != c.g {
			t.Errorf("%s: the reading is not remembered", c.name)
		}
	}
	w := known
	if reads(&w, known.last, standing{now: start, limit: 100, held: 100, flying: 100}); w.fine != 100 || w.hungry != 0 {
		t.Error("an unchanged reading moved the limit")
	}
}

// While every request runs there may be more slots: the limit grows by 1/64, 1/32 … 1/4 of itself from the fourth reading on.
func TestWhileEveryRequestRunsTheLimitGrowsFaster(t *testing.T) {
	w := waiting{limit: 640, fine: 640, slots: 640, reads: true}
	limit := 640
	var got []int
	for i := range 9 {
		n := limit
		w.slots = n
		reads(&w, gauges(n, i%2), standing{now: after(time.Duration(i) * time.Second), limit: limit, held: n, flying: n})
		got = append(got, w.hungry)
	}
	for i, n := range got {
		if n != i+1 {
			t.Errorf("reading %d: %d in a row at which every request ran", i, n)
		}
	}
	for hungry, more := range map[int]float64{3: 1. / 32, 4: 1. / 16, 5: 1. / 8, 6: 1. / 4, 9: 1. / 4} {
		w := waiting{limit: 640, fine: 640, slots: 64, reads: true, hungry: hungry}
		reads(&w, gauges(64, 3), standing{now: start, limit: 640, held: 640, flying: 638})
		if !near(w.fine, 640*(1+more)) || w.hungry != hungry+1 {
			t.Errorf("after %d readings the limit is %.1f, want %.1f", hungry, w.fine, 640*(1+more))
		}
	}
	for name, g := range map[string]batholith.Gauges{"a queue": gauges(64, 4), "an empty slot": gauges(63, 0)} {
		w := waiting{limit: 640, fine: 640, slots: 64, reads: true, hungry: 5}
		if reads(&w, g, standing{now: start, limit: 640, held: 640, flying: 640}); w.hungry != 0 {
			t.Errorf("%s: every request runs", name)
		}
	}
}

// Until a queue has been seen the limit doubles when it is reached, while that brings more.
func TestTheLimitDoublesUntilAQueueIsSeen(t *testing.T) {
	at := func(held, flying int, pace float64) standing {
		return standing{now: after(time.Minute), limit: 40, held: held, flying: flying, pace: pace}
	}
	for _, c := range []struct {
		name    string
		change  func(*waiting)
		g       batholith.Gauges
		s       standing
		limit   int
		blocked bool
	}{
		{"all run", nil, gauges(40, 0), at(40, 40, 0), 80, false},
		{"half of them run", nil, gauges(20, 0), at(40, 40, 0), 80, false},
		{"fewer run", nil, gauges(19, 0), at(40, 40, 0), 40, true},
		{"fewer run, and 1.3 times as many are answered", func(w *waiting) { w.pace = 10 }, gauges(19, 0), at(40, 40, 13), 80, false},
		{"1.2 times as many", func(w *waiting) { w.pace = 10 }, gauges(19, 0), at(40, 40, 12), 40, true},
		{"the limit is not reached", nil, gauges(39, 0), at(39, 39, 0), 40, false},
		{"a queue", func(w *waiting) { w.last = gauges(30, 0) }, gauges(30, 9), at(39, 39, 0), 39, false},
		{"a queue while more run", func(w *waiting) { w.last = gauges(20, 0) }, gauges(30, 9), at(39, 39, 0), 40, false},
		{"one more in fifty", func(w *waiting) { w.last = gauges(50, 0) }, gauges(51, 9), at(39, 39, 0), 39, false},
		{"two more in fifty", func(w *waiting) { w.last = gauges(50, 0) }, gauges(52, 9), at(39, 39, 0), 40, false},
		{"a queue of others", func(w *waiting) { w.last = gauges(30, 0) }, gauges(30, 9), at(0, 0, 0), 1, false},
		{"nothing runs", nil, gauges(0, 0), at(40, 40, 0), 40, false},
	} {
		w := waiting{limit: 40, fine: 40}
		if c.change != nil {
			c.change(&w)
		}
		if reads(&w, c.g, c.s); w.limit != c.limit || w.blocked.IsZero() == c.blocked || w.lied {
			t.Errorf("%s: limit %d, want %d; blocked %v, lied %v", c.name, w.limit, c.limit, !w.blocked.IsZero(), w.lied)
		}
	}
	w := waiting{limit: 40, fine: 40, pace: 10}
	for i, lied := range []bool{false, false, false, true} { // little of it is seen for three seconds
		s := at(40, 40, float64(5-i))
		s.now = after(time.Duration(i) * time.Second)
		reads(&w, gauges(10+i%2, 0), s)
		if w.lied != lied || w.best != 5 {
			t.Errorf("after %d s: wrong %v, at best %.0f answers a second", i, w.lied, w.best)
		}
	}
	reads(&w, gauges(30, 0), standing{now: after(time.Hour), limit: 40, held: 40, flying: 40})
	if !w.blocked.IsZero() || w.lied || w.pace != 5 || w.limit != 80 {
		t.Errorf("all run again: %+v", w)
	}
}

func TestAReadingOfAServerThatIsHardlyUsedCountsAtOnce(t *testing.T) {
	for _, c := range []struct {
		flying, waiting int
		want            bool
	}{{5, 0, true}, {6, 0, false}, {5, 1, false}} {
		w := waiting{reads: true, last: gauges(4, c.waiting), changed: start}
		if w.renewed(w.last, standing{now: start, held: 10, flying: c.flying}) != c.want {
			t.Errorf("%d of 10 in flight, %d wait: new %v", c.flying, c.waiting, !c.want)
		}
	}
	w := waiting{reads: true, last: gauges(4, 0), changed: start, gap: 3200 * time.Millisecond}
	if w.renewed(gauges(5, 0), standing{now: after(time.Second)}); w.gap != 3100*time.Millisecond {
		t.Errorf("the longest gap of late is %s, want 31/32 of 3.2 s", w.gap)
	}
	if w.changed != after(time.Second) {
		t.Error("the time of a new reading is not remembered")
	}
}

// Waiting requests are not ours if more than 1.25 × in flight + 4 wait in two readings.
func TestMoreWaitThanWeHaveSentInTwoReadings(t *testing.T) {
	for _, c := range []struct {
		waits  [3]int
		falls  [3]bool
		inVain bool
	}{
		{[3]int{55, 55, 0}, [3]bool{true, true, true}, true},
		{[3]int{54, 54, 54}, [3]bool{true, true, true}, false},
		{[3]int{55, 54, 55}, [3]bool{true, true, true}, true},
		{[3]int{55, 54, 55}, [3]bool{true, false, true}, false},
		{[3]int{55, 55, 55}, [3]bool{false, false, true}, false},
	} {
		var f fall
		got := false
		for i := range c.waits {
			got = got || f.inVain(gauges(0, c.waits[i]), standing{flying: 40}, c.falls[i])
		}
		if got != c.inVain {
			t.Errorf("%+v: in vain %v", c, got)
		}
	}
}

// In flight fell by half, at least 8, and waiting by less than half of that.
func TestTheQueueMustShrinkWithWhatIsInFlight(t *testing.T) {
	for _, c := range []struct {
		from, waited, to, waits int
		want                    bool
		restarts                bool
	}{
		{40, 20, 20, 10, true, false}, {40, 20, 20, 9, false, true}, {40, 20, 21, 20, false, false}, {40, 20, 20, 32, true, false}, {40, 20, 20, 33, false, true},
		{40, 20, 41, 20, false, true}, {16, 4, 8, 4, true, false}, {14, 4, 7, 4, false, false},
	} {
		f := fall{flying: c.from, waiting: c.waited}
		got := f.inVain(gauges(0, c.waits), standing{flying: c.to}, true)
		if got != c.want || (f.flying == c.to) != c.restarts {
			t.Errorf("%+v: in vain %v, starts again %v", c, got, f.flying == c.to)
		}
		if f := (fall{flying: c.from, waiting: c.waited}); f.inVain(gauges(0, c.waits), standing{flying: c.to}, false) {
			t.Errorf("%+v: in vain while the limit does not fall", c)
		}
	}
}

// A server that has lost slots keeps its queue as long as what runs ends: running and waiting together fall with what is in flight, by three
// quarters of it at least. A queue of others stays beside what is in flight.
func TestAQueueThatStaysWhileSlotsAreLostIsOurs(t *testing.T) {
	for _, c := range []struct {
		running, waiting int
		want             bool
	}{
		{32, 32, false}, {40, 24, false}, {41, 46, true}, {34, 32, false}, {35, 32, true}, {32, 48, true},
	} {
		f := fall{flying: 158, running: 78, waiting: 78}
		if got := f.inVain(gauges(c.running, c.waiting), standing{flying: 64}, true); got != c.want {
			t.Errorf("%d run and %d wait: in vain %v", c.running, c.waiting, got)
		}
	}
}

// reads takes in a reading of a worker that has the server for itself.
func reads(w *waiting, g batholith.Gauges, s standing) {
	s.mine = seen(s.held, s.resting, s.flying, s.pace)
	w.read(g, s)
}
