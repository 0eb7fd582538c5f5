package dispatch

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
)

// heavy is a server with a weight.
type heavy struct {
	*server
	weight int
}

func (h heavy) Weight() int { return h.weight }

// scales makes servers with these weights and limits, which answer within a second, and returns what each was asked.
func scales(weights, limits []int) (backends []Backend, asked func() []int) {
	var servers []*server
	for i, w := range weights {
		s := answering(time.Second)
		s.limit = limits[i]
		servers = append(servers, s)
		backends = append(backends, &heavy{s, w})
	}
	return backends, func() (n []int) {
		for _, s := range servers {
			all, _ := s.requests()
			n = append(n, all)
		}
		return n
	}
}

// TestCallsKeepTheWeightsOfServersWithRoom: one after the other and many at once. A server that is full, or away, leaves its share to the others.
func TestCallsKeepTheWeightsOfServersWithRoom(t *testing.T) {
	for name, c := range map[string]struct {
		weights, limits []int
		calls, at       int // in all, and at once
		want            []int
	}{
		"three to one":             {[]int{3, 1}, []int{64, 64}, 40, 1, []int{30, 10}},
		"many at once":             {[]int{3, 1}, []int{64, 64}, 40, 20, []int{30, 10}},
		"three servers":            {[]int{5, 3, 2}, []int{64, 64, 64}, 50, 5, []int{25, 15, 10}},
		"one without a weight":     {[]int{3, 0}, []int{64, 64}, 40, 4, []int{30, 10}},
		"the limits do not matter": {[]int{1, 1}, []int{8, 64}, 40, 4, []int{20, 20}},
		"the heavy one is full":    {[]int{9, 1}, []int{4, 64}, 40, 20, []int{8, 32}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				d := w.dispatcher(Options{})
				defer w.start(d)()
				backends, asked := scales(c.weights, c.limits)
				s := servedBy(backends...)
				if err := d.Interact(t.Context(), s, Request{Body: []byte(`{}`)}, func(context.Context, *Turn) error { return nil }); err != nil {
					t.Fatal(err)
				}
				synctest.Wait() // all servers are checked
				clear(d.spreads)
				for done := 0; done < c.calls; done += c.at {
					var wg sync.WaitGroup
					for range c.at {
						wg.Go(func() {
							if _, err := askFor(t.Context(), d, s, `{}`); err != nil {
								t.Error(err)
							}
						})
					}
					wg.Wait()
				}
				got := asked()
				if c.limits[0] < c.at { // its slots become free one by one meanwhile
					got[0], got[1] = min(got[0], c.want[0]), max(got[1], c.want[1])
				}
				if !slices.Equal(got, c.want) {
					t.Errorf("%v, want %v", got, c.want)
				}
			})
		})
	}
}

// TestRecordsKeepTheWeightsOfServersWithRoom: a job that does not fill the servers is divided by the weights. A job that fills them uses every
// slot all the time, whatever the weights; so does one whose heavy server takes none of its records.
func TestRecordsKeepTheWeightsOfServersWithRoom(t *testing.T) {
	for name, c := range map[string]struct {
		weights, limits []int
		records         int
		want            []int         // nil: not judged
		within          time.Duration // 0: not judged
	}{
		"room for all":            {[]int{3, 1}, []int{64, 64}, 40, []int{30, 10}, 0},
		"one without a weight":    {[]int{0, 4}, []int{64, 64}, 50, []int{10, 40}, 0},
		"the servers are full":    {[]int{9, 1}, []int{2, 2}, 400, nil, 101500 * time.Millisecond},
		"the heavy one is full":   {[]int{99, 1}, []int{1, 10}, 110, []int{10, 100}, 11500 * time.Millisecond},
		"without weights as ever": {[]int{0, 0}, []int{2, 2}, 40, []int{20, 20}, 11500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				backends, asked := scales(c.weights, c.limits)
				d := w.dispatcher(Options{}, backends...)
				d.Enqueue(w.job("first", 1, 1))
				stop := w.start(d)
				w.await(1, "first")
				synctest.Wait() // all servers are checked
				before := asked()
				d.Enqueue(w.job("j", c.records, 100))
				began := time.Now()
				w.await(c.records, "j")
				took := time.Since(began)
				stop()
				got := asked()
				for i := range c.want {
					got[i] -= before[i]
				}
				for i := range c.want {
					if got[i] < c.want[i]-1 || got[i] > c.want[i]+1 {
						t.Errorf("%v, want %v", got, c.want)
					}
				}
				if c.within > 0 && took > c.within {
					t.Errorf("it took %s, and %s are enough", took, c.within)
				}
			})
		})
	}
}

// TestAServerThatTakesNothingHoldsNobodyBack: the heavy server sees no images, and all records have one. The other one sends them as fast as it can.
func TestAServerThatTakesNothingHoldsNobodyBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		blind, seeing := answering(time.Second), answering(time.Second)
		blind.limit, seeing.limit = 64, 2
		image := `{"messages":[{"role":"user","content":[{"image":{"format":"png","source":{"bytes":"AAAA"}}}]}]}`
		d := w.dispatcher(Options{}, &heavySaying{heavy{blind, 99}, batholith.Abilities{Images: batholith.Unable}}, &heavy{seeing, 1})
		d.Enqueue(w.jobOf("j", 40, 40, func(n int) string { return image + fmt.Sprintf("%*s", n, "") }))
		began := time.Now() // the server that sees is checked at once
		stop := w.start(d)
		w.await(40, "j")
		if took := time.Since(began); took > 21500*time.Millisecond {
			t.Errorf("it took %s", took)
		}
		stop()
		if n, _ := blind.requests(); n != 0 || w.errors("j") != 0 {
			t.Errorf("the blind server got %d, and %d records ended with an error", n, w.errors("j"))
		}
	})
}

// heavySaying is a server with a weight that says what its model can do.
type heavySaying struct {
	heavy
	can batholith.Abilities
}

func (s *heavySaying) Abilities(context.Context) batholith.Abilities { return s.can }
