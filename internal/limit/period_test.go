package limit

import (
	"math"
	"testing"
	"time"
)

// near reports whether two numbers are equal but for rounding.
func near(a, b float64) bool { return math.Abs(a-b) <= 1e-9*max(1, math.Abs(a), math.Abs(b)) }

// flight is a request that was sent after so many seconds and took so many.
func flight(sent, took float64) Flight {
	return Flight{sent: after(seconds(sent)), took: seconds(took)}
}

func seconds(s float64) time.Duration { return time.Duration(s * 1e9) }

func TestAMeasurementOpensOnceTheLimitHoldsAndSoManyAnswersHavePassed(t *testing.T) {
	var p period
	p.reset(3, 3)
	p.after = after(2 * time.Second)
	if p.add(start, flight(0, 1), 1) {
		t.Error("an answer counts for a level that no request was sent at")
	}
	p.pass(after(time.Second), 3, 3)
	if !p.sent.IsZero() {
		t.Error("requests count before the earliest time of the measurement")
	}
	p.pass(after(2*time.Second), 4, 4)
	if !p.sent.IsZero() {
		t.Error("requests count while more than the limit are in flight")
	}
	p.pass(after(2*time.Second), 3, 3)
	if p.sent != after(2*time.Second) {
		t.Fatal("requests do not count although the limit holds and the time has come")
	}
	p.pass(after(3*time.Second), 2, 2)
	if p.sent != after(2*time.Second) {
		t.Error("a later time replaced the first at which the limit held")
	}
	for i, c := range []struct {
		sent float64
		ours bool
	}{{1.999, false}, {2, true}, {2.5, true}} {
		if !p.from.IsZero() {
			t.Errorf("open after %d answers, want 3", i)
		}
		if p.add(after(4*time.Second), flight(c.sent, 1), 10) != c.ours {
			t.Errorf("a request of %.3f s belongs to the level: %v", c.sent, !c.ours)
		}
		p.lose(flight(3, 5))
	}
	if p.from != after(4*time.Second) || p.last != p.from || p.n != 0 {
		t.Errorf("open since %s with %d answers, want the third answer's time and none", p.from.Sub(start), p.n)
	}
	if p.lost > 5 {
		t.Errorf("%.0f s of requests without an answer count from before it opened", p.lost)
	}
}

// Goodput = mean in flight × Σ work / (Σ seconds of answers + Σ seconds of failed requests).
func TestGoodputFollowsLittlesLaw(t *testing.T) {
	p := period{limit: 8, sent: start, from: start, last: start}
	p.pass(after(2*time.Second), 6, 4)
	p.add(after(2*time.Second), flight(-1, 9), 900) // sent before the level
	p.add(after(2*time.Second), flight(0, 1), 10)
	p.add(after(2*time.Second), flight(1, 2), 50)
	p.lose(flight(-1, 7))
	p.lose(flight(0, 2))
	p.pass(after(4*time.Second), 10, 8)
	goodput, held := p.close() // 6 in flight × 60 tokens / (3 s + 2 s); 8 slots
	if !near(goodput, 72) || !near(held, 8) || p.n != 2 {
		t.Errorf("goodput %.3f, %.3f held, %d answers; want 72, 8 and 2", goodput, held, p.n)
	}
	if !near(p.rate(), 20) {
		t.Errorf("a request has %.3f tokens a second, want 60 / 3 s", p.rate())
	}
	if want := math.Sqrt(100+100) / 60; !near(p.errorOf(), want) { // 10 - 20 × 1 s and 50 - 20 × 2 s
		t.Errorf("standard error %.4f, want %.4f", p.errorOf(), want)
	}
	again := p
	again.again(after(5 * time.Second))
	if again != (period{limit: 8, sent: start, from: after(5 * time.Second), last: after(5 * time.Second)}) {
		t.Errorf("measured again from %+v", again)
	}
	p.anew(after(5*time.Second), 7)
	if p != (period{limit: 8, sent: after(5 * time.Second), skip: 7}) {
		t.Errorf("measured anew from %+v", p)
	}
}

func TestAMeasurementOfNothingSaysNothing(t *testing.T) {
	var p period
	goodput, held := p.close()
	if p.rate() != 0 || p.errorOf() != 1 || goodput != 0 || held != 0 {
		t.Errorf("nothing measured: rate %.1f, error %.1f, goodput %.1f, held %.1f", p.rate(), p.errorOf(), goodput, held)
	}
	p = period{limit: 8, sent: start, from: start, last: start}
	p.pass(after(2*time.Second), 6, 4)
	if goodput, held := p.close(); goodput != 0 || held != 6 {
		t.Errorf("without an answer goodput is %.1f and %.1f are held, want 0 and 6", goodput, held)
	}
	if p.count(0, 5); math.IsInf(p.rate(), 0) || math.IsNaN(p.rate()) {
		t.Error("an answer that took no time has no finite rate")
	}
}

// One answer of 10 tokens and one of 30 in a second each have a standard error of √200/40 = 0.354.
func TestAMeasurementEndsAtItsPrecisionOrAfterThirtyTimesTheLeastAnswers(t *testing.T) {
	measured := func(pairs int) (p period) {
		for range pairs {
			p.count(time.Second, 10)
			p.count(time.Second, 30)
		}
		return p
	}
	for _, c := range []struct {
		name      string
		pairs     int
		least     int
		precision float64
		want      bool
	}{
		{"precise enough", 1, 2, 0.36, true},
		{"not precise", 1, 2, 0.35, false},
		{"too few answers", 1, 3, 1, false},
		{"28 of 30", 14, 1, 0.001, false},
		{"30 answers", 15, 1, 0.001, true},
		{"58 of 60", 29, 2, 0.001, false},
	} {
		p := measured(c.pairs)
		if p.sure(c.least, c.precision) != c.want {
			t.Errorf("%s: error %.3f of %d answers: sure %v", c.name, p.errorOf(), p.n, !c.want)
		}
	}
	var exact period
	exact.count(time.Second, 10)
	if !exact.sure(1, 0) {
		t.Error("a measurement with exactly the precision asked for is not enough")
	}
}

func TestAQuantileIsOfTheSortedRates(t *testing.T) {
	var r rates
	for _, work := range []float64{10, 2, 6, 4, 8} {
		r.add(Flight{took: 2 * time.Second}, work)
	}
	for q, want := range map[float64]float64{0: 1, 0.3: 2, 0.5: 3, 0.9: 5} {
		if got := r.at(q); got != want {
			t.Errorf("the quantile %.1f is %.1f, want %.1f", q, got, want)
		}
	}
}
