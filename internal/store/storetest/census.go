package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/batholith/batholith"
)

// Censuses count what the whole service has to do.
type Censuses interface {
	Census(ctx context.Context) (batholith.Census, error)
}

func counting() []law {
	return []law{
		{"TheCensusCountsWhatIsNotTerminal", census},
		{"TheCensusTellsLostWorkersFromThoseThatLeft", censusOfWorkers},
		{"TheCensusCountsTheEventsThatReceiversHaveNotGot", censusOfEvents},
	}
}

func census(t *testing.T, p Port) {
	c, err := p.Census(t.Context())
	no(t, err)
	same(t, c, batholith.Census{})

	one, two := running(t, p, 1, 2), running(t, p, 2, 1) // 20 and 10 records
	for worker, id := range map[string]string{"a": one, "b": two} {
		no(t, p.Heartbeat(t.Context(), worker, time.Now().Add(time.Hour)))
		chunks, err := p.Claim(t.Context(), worker, id, 1, time.Now())
		no(t, err)
		commit := commitOf(worker, worker, chunks[0], 0, 1, 2)
		commit.Tokens = batholith.Tokens{Input: 20, Output: 10}
		_, err = p.Commit(t.Context(), commit)
		no(t, err)
	}
	other := newJob(3)
	other.Model = "other"
	other = create(t, p, other)
	ended := create(t, p, newJob(4))
	moveTo(t, p, ended.ID, batholith.StatusSubmitted, batholith.StatusValidating, batholith.StatusFailed)

	no(t, p.PauseJob(t.Context(), account, two, "for a while"))

	c, err = p.Census(t.Context())
	no(t, err)
	first, err := p.Job(t.Context(), account, one)
	no(t, err)
	want := map[string]batholith.JobGroup{
		first.Model: {Model: first.Model, Status: batholith.StatusInProgress, Jobs: 2, Paused: 1, Oldest: first.Submitted, Deadline: first.Expires, Records: 30, Processed: 6, Tokens: 60},
		"other":     {Model: "other", Status: batholith.StatusSubmitted, Jobs: 1, Oldest: other.Submitted, Deadline: other.Expires},
	}
	if len(c.Jobs) != len(want) {
		t.Fatalf("groups: %+v", c.Jobs)
	}
	for _, g := range c.Jobs {
		w := want[g.Model]
		if g.Jobs != w.Jobs || g.Paused != w.Paused || g.Status != w.Status || g.Records != w.Records || g.Processed != w.Processed || g.Tokens != w.Tokens || !g.Oldest.Equal(w.Oldest) || !g.Deadline.Equal(w.Deadline) {
			t.Errorf("group %+v, want %+v", g, w)
		}
	}
	if c.Living != 2 || c.Lost != 0 || c.Kept != 0 {
		t.Errorf("%d living, %d lost workers, %d kept", c.Living, c.Lost, c.Kept)
	}

	// What was folded into the job's own row is counted once.
	seal(t, p, one, "")
	c, err = p.Census(t.Context())
	no(t, err)
	for _, g := range c.Jobs {
		if g.Model == first.Model && (g.Processed != 6 || g.Tokens != 60) {
			t.Errorf("after the seal: %+v", g)
		}
	}
}

func censusOfWorkers(t *testing.T, p Port) {
	workers := func(living, lost int) {
		t.Helper()
		c, err := p.Census(t.Context())
		no(t, err)
		if c.Living != living || c.Lost != lost {
			t.Errorf("%d living and %d lost workers, want %d and %d", c.Living, c.Lost, living, lost)
		}
	}
	beat := func(worker string, lease time.Duration) {
		t.Helper()
		no(t, p.Heartbeat(t.Context(), worker, time.Now().Add(lease)))
	}
	for _, id := range []string{"stays", "dies", "leaves", "api"} {
		beat(id, 5*time.Second)
	}
	no(t, p.PutReach(t.Context(), batholith.Process{ID: "stays", Worker: true}))
	no(t, p.PutReach(t.Context(), batholith.Process{ID: "api", API: true}))
	workers(3, 0) // those that have not said what they are count as workers
	beat("leaves", 0)
	time.Sleep(4 * time.Second)
	beat("stays", 5*time.Second)
	time.Sleep(4 * time.Second)
	workers(1, 1)
	beat("dies", 5*time.Second)
	workers(2, 0)
}

func censusOfEvents(t *testing.T, p Port) {
	create(t, p, newJob(1)) // before the receiver
	_, err := p.Receiver(t.Context(), "hook")
	no(t, err)
	waiting := func() map[batholith.Status]int {
		c, err := p.Census(t.Context())
		no(t, err)
		all := map[batholith.Status]int{}
		for _, b := range c.Events {
			if b.Receiver != "hook" || b.Oldest.IsZero() {
				t.Errorf("backlog %+v", b)
			}
			all[b.Status] = b.Waiting
		}
		return all
	}
	same(t, waiting(), map[batholith.Status]int{})
	for n := 2; n < 4; n++ {
		j := create(t, p, newJob(n))
		moveTo(t, p, j.ID, batholith.StatusSubmitted, batholith.StatusValidating, batholith.StatusFailed)
	}
	same(t, waiting(), map[batholith.Status]int{batholith.StatusSubmitted: 2, batholith.StatusValidating: 2, batholith.StatusFailed: 2}) // not read, so without numbers
	seq, err := p.Receiver(t.Context(), "another")
	no(t, err)
	no(t, p.PutReceiver(t.Context(), "hook", seq))
	same(t, waiting(), map[batholith.Status]int{})
}
