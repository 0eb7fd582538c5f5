package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
)

// timed is a database with a clock of its own.
type timed struct {
	ahead time.Duration // of this process's clock
	takes time.Duration // to answer
	err   error
}

func (d timed) Now(context.Context) (time.Time, error) {
	time.Sleep(d.takes / 2)
	now := time.Now().Add(d.ahead)
	time.Sleep(d.takes / 2)
	return now, d.err
}

func TestTheDatabasesClockIsKnownWhateverTheProcessesIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, ahead := range []time.Duration{0, 7 * time.Minute, -7 * time.Minute} {
			c := &Clock{}
			if off := c.Now().Sub(time.Now()); off != 0 {
				t.Errorf("before a measurement the clock is %s ahead", off)
			}
			if err := c.measure(t.Context(), timed{ahead: ahead, takes: 40 * time.Millisecond}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
			if off := c.Now().Sub(time.Now()); off != ahead {
				t.Errorf("%s ahead, want %s", off, ahead)
			}
			if got := c.of(time.Now().Add(time.Minute)).Sub(time.Now()); got != ahead+time.Minute {
				t.Errorf("a time in a minute is %s away, want %s", got, ahead+time.Minute)
			}
			// Neither an answer that took long nor an error replaces what is known.
			_ = c.measure(t.Context(), timed{ahead: time.Hour, takes: 3 * time.Second})
			_ = c.measure(t.Context(), timed{ahead: time.Hour, err: errors.New("away")})
			if off := c.Now().Sub(time.Now()); off != ahead {
				t.Errorf("after a bad measurement: %s ahead, want %s", off, ahead)
			}
		}
	})
}

// fleet is a store with the processes that live.
type fleet struct {
	Store
	living []batholith.Process
}

func (f *fleet) Processes(context.Context) ([]batholith.Process, error) { return f.living, nil }

func TestAJobThatNoWorkerReachesSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := batholith.Process{ID: "a", API: true}
		small := batholith.Process{ID: "s", Worker: true, Models: []string{"small"}}
		private := batholith.Process{ID: "p", Worker: true, Models: []string{"small", "large"}, Subnets: []string{"subnet-0a"}, SecurityGroups: []string{"sg-0a"}}
		f := &fleet{}
		var p peers
		pass := func(d time.Duration) {
			t.Helper()
			for range d / peersEvery {
				if err := p.look(t.Context(), f); err != nil {
					t.Fatal(err)
				}
				time.Sleep(peersEvery)
			}
		}
		vpc := &batholith.VPC{SubnetIDs: []string{"subnet-0a"}, SecurityGroupIDs: []string{"sg-0a"}}
		far := &batholith.VPC{SubnetIDs: []string{"subnet-0b"}, SecurityGroupIDs: []string{"sg-0a"}}
		says := func(model string, v *batholith.VPC, want string) {
			t.Helper()
			j := batholith.Job{Model: model, Status: batholith.StatusScheduled, Request: batholith.Request{VPC: v}}
			if got := p.unreached(j); want == "" && got != "" || !strings.Contains(got, want) {
				t.Errorf("%s with %v: %q, want %q", model, v, got, want)
			}
		}
		says("small", nil, "") // nothing is known yet
		pass(peersStay + 2*peersEvery)
		says("small", nil, "No worker is running")
		f.living = []batholith.Process{api, small}
		pass(peersEvery)
		says("small", nil, "")
		says("large", nil, "No running worker has the model large, so the job waits. Start a worker")
		says("small", vpc, "the subnets subnet-0a and the security groups sg-0a")
		f.living = []batholith.Process{api, small, private}
		pass(peersEvery)
		says("large", nil, "")
		says("small", vpc, "")
		says("small", far, "the subnets subnet-0b")
		needy := func(want string) {
			t.Helper()
			j := batholith.Job{Model: "small", Status: batholith.StatusScheduled, Needs: []batholith.Feature{batholith.FeatureCaps, "next"}}
			if got := p.unreached(j); want == "" && got != "" || !strings.Contains(got, want) {
				t.Errorf("a job with needs: %q, want %q", got, want)
			}
		}
		needy("The job needs features that no running worker has (caps, next), so it waits")
		if p.ignoring() == "" {
			t.Error("no worker of a version without features is seen")
		}
		small.Features, private.Features = []batholith.Feature{batholith.FeatureCaps}, []batholith.Feature{batholith.FeatureCaps}
		f.living = []batholith.Process{api, small, private}
		pass(peersEvery)
		needy("The job needs features that no running worker has (next), so it waits. Start a worker with the version of this API process.")
		if id := p.ignoring(); id != "" {
			t.Errorf("%s is taken for one of an earlier version", id)
		}
		newer := small
		newer.ID, newer.Features = "n", []batholith.Feature{batholith.FeatureCaps, "next"}
		f.living = append(f.living, newer)
		pass(peersEvery)
		needy("")
		f.living = []batholith.Process{api, small} // it restarts
		pass(peersStay / 2)
		says("large", nil, "")
		pass(peersStay)
		says("large", nil, "No running worker has the model large")
		if n := p.apis(); n != 1 {
			t.Errorf("%d API processes", n)
		}
	})
}

// What one worker reckons is told by a process without a worker, and only while it is true.
func TestEveryAPITellsTheForecastsOfTheWorkers(t *testing.T) {
	simulate(t, 1, simSetup{models: 1, calm: true}, func(s *simulation) {
		s.shared = true
		for range 3 {
			s.create("m0", 24*time.Hour, 3000, 100)
		}
		a := s.worker("a")
		a.start()
		api, err := New(Options{API: true, Shared: true, Store: s.db, Models: s.served(nil), Log: simLog()})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Second)
		var ids []string
		for _, j := range s.jobs {
			ids = append(ids, j.id)
		}
		own := a.p.engine.Forecasts(s.t.Context(), ids)
		all := api.Forecasts(s.t.Context(), ids)
		if len(own) == 0 || len(all) != len(own) {
			t.Errorf("%d forecasts, the worker has %d", len(all), len(own))
		}
		for id, f := range own {
			if got := all[id]; got.Position != f.Position || f.End.IsZero() != got.End.IsZero() {
				t.Errorf("job %s: %+v, the worker says %+v", id, got, f)
			}
		}
		a.stop()
		time.Sleep(2 * time.Minute)
		if left := api.Forecasts(s.t.Context(), ids); len(left) != 0 {
			t.Errorf("without a worker there are still %d forecasts", len(left))
		}
	})
}

// busy is a store in which another worker goes on with the jobs, or does not.
type busy struct {
	Store
	mu     sync.Mutex
	others bool
	notes  []string
}

func (b *busy) LeasedByOthers(context.Context, string, string) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.others, nil
}

func (b *busy) Note(_ context.Context, job, text string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.notes = append(b.notes, fmt.Sprintf("%s %q", job, text))
	return nil
}

func TestAJobThatOthersAdvanceIsNotNotedAsWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &busy{others: true}
		n := &notes{Store: b, worker: "w"}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); n.run(ctx) }()
		for _, job := range []string{"a", "b"} {
			if err := n.Note(ctx, job, "the server is away"); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(3 * notesEvery)
		b.mu.Lock()
		if len(b.notes) > 0 {
			t.Errorf("notes %v, while another worker goes on", b.notes)
		}
		b.mu.Unlock()
		if err := n.Note(ctx, "b", ""); err != nil { // it can be reached again
			t.Fatal(err)
		}
		synctest.Wait()
		b.mu.Lock()
		b.others = false
		b.mu.Unlock()
		time.Sleep(2 * notesEvery)
		synctest.Wait()
		b.mu.Lock()
		if got := strings.Join(b.notes, ", "); got != `b "", a "the server is away"` {
			t.Errorf("notes %s", got)
		}
		b.mu.Unlock()
		cancel()
		<-done
	})
}
