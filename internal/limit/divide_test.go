package limit

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/batholith/batholith"
)

func TestTheFairPartsAreMaxMinAndCallsComeFirst(t *testing.T) {
	for _, c := range []struct {
		limit        int
		wants, calls []int
		want         []float64 // requests
	}{
		{60, []int{100}, []int{0}, []float64{60}},
		{60, []int{100, 100}, []int{0, 0}, []float64{30, 30}},
		{60, []int{100, 10, 100}, []int{0, 0, 0}, []float64{25, 10, 25}},
		{60, []int{5, 10}, []int{0, 0}, []float64{5, 10}},
		{60, []int{100, 40}, []int{0, 40}, []float64{20, 40}},
		{60, []int{100, 100}, []int{0, 100}, []float64{6, 54}},
		{60, []int{100, 100}, []int{10, 0}, []float64{35, 25}},
		{2, []int{9, 9, 9, 9}, []int{0, 0, 0, 0}, []float64{0.5, 0.5, 0.5, 0.5}},
		{60, []int{0, 9}, []int{0, 0}, []float64{0, 9}},
	} {
		var rows []batholith.Load
		for i := range c.wants {
			rows = append(rows, batholith.Load{Wants: c.wants[i], Calls: c.calls[i]})
		}
		for i, got := range fairShares(c.limit, rows) {
			if math.Abs(got*float64(c.limit)-c.want[i]) > 1e-6 {
				t.Errorf("limit %d, wants %v, calls %v: worker %d gets %.2f, want %.2f", c.limit, c.wants, c.calls, i, got*float64(c.limit), c.want[i])
			}
		}
	}
}

// Workers that come and go, want more and less, and read the table at any moment: the shares add up to at most 1, and in the end to what is fair.
func TestSharesNeverAddUpToMoreThanOne(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		const limit = 50
		n := 1 + random.IntN(8)
		rows := make([]batholith.Load, n)
		sum := func() (sum float64) {
			for _, r := range rows {
				sum += r.Share
			}
			return sum
		}
		for range 300 {
			i := random.IntN(n)
			switch random.IntN(12) {
			case 0:
				rows[i].Wants = random.IntN(2 * limit)
			case 1:
				rows[i].Share = 0 // it has left, and another has come
			}
			rows[i].Share = move(rows, fairShares(limit, rows), i, random.Float64()*rows[i].Share)
			if s := sum(); s > 1+1e-9 {
				t.Fatalf("%d workers have %.6f", n, s)
			}
		}
		for range 100 * n {
			i := random.IntN(n)
			rows[i].Wants = limit
			rows[i].Share = move(rows, fairShares(limit, rows), i, rows[i].Share)
		}
		for i := range rows {
			if math.Abs(rows[i].Share-1/float64(n)) > 0.01 {
				t.Fatalf("one of %d has %.3f in the end", n, rows[i].Share)
			}
		}
	}
}

func TestTheOneThatSearchesStaysUntilItNeedsNothing(t *testing.T) {
	rows := []batholith.Load{{Worker: "b", Wants: 99, Share: 0.5, Limit: 10}, {Worker: "a", Wants: 99, Share: 0.5, Limit: 10}}
	fair := []float64{0.5, 0.5}
	if leads(rows, fair) != 1 {
		t.Error("it is not the first by name")
	}
	if rows[0].Lead = true; leads(rows, fair) != 0 {
		t.Error("it changes without need")
	}
	if rows[0].Wants = 5; leads(rows, fair) != 1 {
		t.Error("a worker searches that does not reach the limit")
	}
	if rows[1].Share = 0.2; leads(rows, fair) != -1 {
		t.Error("a worker searches that has hardly anything in flight")
	}
}

// It does not matter which workers have a principal's requests, nor how many workers there are.
func TestAPrincipalHasItsPartOfAllWorkersTogether(t *testing.T) {
	const limit = 60
	ann, bob, low := batholith.Purse{Group: "ann", Weight: 4, Wants: 500}, batholith.Purse{Group: "bob", Weight: 4, Wants: 500}, batholith.Purse{Group: "bob", Weight: 1, Wants: 500}
	urgent := batholith.Purse{Weight: 1, Wants: 500}
	few := batholith.Purse{Group: "ann", Weight: 4, Wants: 6}
	for _, c := range []struct {
		rows [][]batholith.Purse
		want map[batholith.Purse]float64
	}{
		{[][]batholith.Purse{{ann, bob}}, map[batholith.Purse]float64{ann: 30, bob: 30}},
		{[][]batholith.Purse{{ann, bob}, {bob}}, map[batholith.Purse]float64{ann: 30, bob: 30}},
		{[][]batholith.Purse{{ann}, {bob}, {bob}, {bob}, {bob}}, map[batholith.Purse]float64{ann: 30, bob: 30}},
		{[][]batholith.Purse{{few}, {bob}, {bob}}, map[batholith.Purse]float64{few: 6, bob: 54}},
		{[][]batholith.Purse{{ann}, {bob}, {low}}, map[batholith.Purse]float64{ann: 30, bob: 24, low: 6}},
		{[][]batholith.Purse{{ann}, {urgent}, {bob}}, map[batholith.Purse]float64{urgent: 54, ann: 3, bob: 3}},
	} {
		var rows []batholith.Load
		for _, purses := range c.rows {
			rows = append(rows, batholith.Load{Wants: 1000, Purses: purses})
		}
		got := map[batholith.Purse]float64{}
		for i, p := range divide(limit, rows) {
			for k, n := range p.purses {
				got[rows[i].Purses[k]] += n
			}
		}
		for p, want := range c.want {
			if math.Abs(got[p]-want) > 1e-6 {
				t.Errorf("%v: %+v gets %.2f, want %.2f", c.rows, p, got[p], want)
			}
		}
	}
}
