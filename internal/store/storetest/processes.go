package storetest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/batholith/batholith"
)

func processes() []law {
	return []law{
		{"ASharedValueIsTheSameForEveryProcess", sharesOneValue},
		{"OneLivingWorkerHasADuty", oneHasTheDuty},
		{"ADutyOfAWorkerThatIsGoneIsFree", dutyOfTheGone},
		{"AProcessIsKnownWhileItsLeaseLasts", knownWhileLiving},
		{"AForecastOfALivingWorkerStands", forecastStands},
		{"TheFirstErrorOfAJobIsKept", firstErrorIsKept},
		{"StoppingJobsAreListedUntilTheyEnd", listsStopping},
		{"ChunksOfOtherLivingWorkersAreSeen", leasedByOthers},
		{"AReceiverBeginsAtTheLastEventAndNeverGoesBack", receiverGoesForward},
	}
}

func sharesOneValue(t *testing.T, p Port) {
	var wg sync.WaitGroup
	got := make([]string, 8)
	for i := range got {
		wg.Go(func() {
			b, err := p.Shared(t.Context(), "key", fmt.Appendf(nil, "value %d\x00\xff", i))
			no(t, err)
			got[i] = string(b)
		})
	}
	wg.Wait()
	for _, g := range got {
		same(t, g, got[0])
	}
	b, err := p.Shared(t.Context(), "key", []byte("later"))
	no(t, err)
	same(t, string(b), got[0])
	b, err = p.Shared(t.Context(), "another", []byte("later"))
	no(t, err)
	same(t, string(b), "later")
}

// undertakes checks whether a worker gets a duty.
func undertakes(t *testing.T, p Port, worker, duty string, want bool) {
	t.Helper()
	mine, err := p.Undertake(t.Context(), worker, duty)
	no(t, err)
	if mine != want {
		t.Errorf("%s undertakes %s: %t, want %t", worker, duty, mine, want)
	}
}

func oneHasTheDuty(t *testing.T, p Port) {
	alive(t, p, "w1", "w2")
	undertakes(t, p, "w1", "a", true)
	undertakes(t, p, "w1", "a", true)
	undertakes(t, p, "w2", "a", false)
	undertakes(t, p, "w2", "b", true)
	no(t, p.Resign(t.Context(), "w2", "a")) // not its own
	undertakes(t, p, "w2", "a", false)
	no(t, p.Resign(t.Context(), "w1", "a"))
	undertakes(t, p, "w2", "a", true)
	no(t, p.TidyProcesses(t.Context()))
	undertakes(t, p, "w1", "a", false)
}

func dutyOfTheGone(t *testing.T, p Port) {
	alive(t, p, "w1", "w2")
	undertakes(t, p, "w1", "a", true)
	undertakes(t, p, "w1", "b", true)
	no(t, p.Heartbeat(t.Context(), "w1", time.Now()))
	undertakes(t, p, "w2", "a", true)
	no(t, p.TidyProcesses(t.Context()))
	alive(t, p, "w1")
	undertakes(t, p, "w1", "a", false)
	undertakes(t, p, "w2", "b", true)
}

func knownWhileLiving(t *testing.T, p Port) {
	one := batholith.Process{ID: "w1", Worker: true, Models: []string{"m", "n"}, Subnets: []string{"subnet-0a"}, SecurityGroups: []string{"sg-0a"}}
	two := batholith.Process{ID: "w2", API: true}
	refused(t, p.PutReach(t.Context(), one), batholith.ErrNotFound)
	alive(t, p, "w1", "w2", "silent")
	no(t, p.PutReach(t.Context(), one))
	no(t, p.PutReach(t.Context(), two))
	all, err := p.Processes(t.Context())
	no(t, err)
	same(t, all, []batholith.Process{one, two})
	alive(t, p, "w1") // a heartbeat keeps what it reaches
	no(t, p.Heartbeat(t.Context(), "w2", time.Now()))
	all, err = p.Processes(t.Context())
	no(t, err)
	same(t, all, []batholith.Process{one})
}

func forecastStands(t *testing.T, p Port) {
	at := start().Add(time.Hour)
	first := batholith.Forecast{Position: 3, Begin: at, End: at.Add(time.Hour), Late: true}
	later := batholith.Forecast{End: at}
	put := func(worker, job string, f batholith.Forecast) {
		t.Helper()
		no(t, p.PutForecasts(t.Context(), worker, []batholith.JobForecast{{Job: job, Forecast: f}}))
	}
	var ids []string
	var many []batholith.JobForecast
	for i := range 120 { // more than one statement
		ids = append(ids, fmt.Sprint("x", i))
		many = append(many, batholith.JobForecast{Job: ids[i], Forecast: batholith.Forecast{Position: i}})
	}
	put("w1", "a", first)
	put("w2", "a", later)
	put("w2", "b", later)
	no(t, p.PutForecasts(t.Context(), "w1", many))
	no(t, p.PutForecasts(t.Context(), "w1", nil))
	got, err := p.Forecasts(t.Context(), append(ids, "a", "b", "unknown"))
	no(t, err)
	same(t, got["a"], first)
	same(t, got["b"], later)
	same(t, got["x119"], batholith.Forecast{Position: 119})
	same(t, len(got), 122)
	put("w1", "a", later)
	put("w1", "idle", batholith.Forecast{Position: 1}) // a worker that does not work on the job knows least
	put("w2", "idle", first)
	put("w1", "idle", batholith.Forecast{Position: 1})
	got, err = p.Forecasts(t.Context(), []string{"a", "idle"})
	no(t, err)
	same(t, got, map[string]batholith.Forecast{"a": later, "idle": first})
}

func firstErrorIsKept(t *testing.T, p Port) {
	id := create(t, p, newJob(1)).ID
	none, err := p.FirstError(t.Context(), id)
	no(t, err)
	if none != nil {
		t.Errorf("a job without an error has %v", none)
	}
	first := batholith.RecordError{Code: 400, Message: "too long"}
	no(t, p.PutFirstError(t.Context(), id, first))
	no(t, p.PutFirstError(t.Context(), id, batholith.RecordError{Code: 500, Message: "later"}))
	got, err := p.FirstError(t.Context(), id)
	no(t, err)
	same(t, *got, first)
	_, err = p.FirstError(t.Context(), "unknown")
	refused(t, err, batholith.ErrNotFound)
}

func listsStopping(t *testing.T, p Port) {
	id := create(t, p, newJob(1)).ID
	create(t, p, newJob(2))
	stopping := func(want ...string) {
		t.Helper()
		got, err := p.Stopping(t.Context())
		no(t, err)
		same(t, got, want)
	}
	stopping()
	moveTo(t, p, id, batholith.StatusStopping)
	stopping(id)
	no(t, p.Move(t.Context(), id, batholith.StatusStopping, batholith.StatusStopped, "", start()))
	stopping()
}

func leasedByOthers(t *testing.T, p Port) {
	id := planned(t, p, 1, 2)
	moveTo2 := func(from, to batholith.Status) { no(t, p.Move(t.Context(), id, from, to, "", start())) }
	moveTo2(batholith.StatusValidating, batholith.StatusScheduled)
	alive(t, p, "w1", "w2")
	others := func(worker string, want bool) {
		t.Helper()
		got, err := p.LeasedByOthers(t.Context(), worker, id)
		no(t, err)
		if got != want {
			t.Errorf("others than %s have chunks: %t, want %t", worker, got, want)
		}
	}
	others("w1", false)
	_, err := p.Claim(t.Context(), "w1", id, 1, time.Now())
	no(t, err)
	others("w1", false)
	others("w2", true)
	no(t, p.Release(t.Context(), "w1", id))
	others("w2", false)
	_, err = p.Claim(t.Context(), "w1", id, 1, time.Now())
	no(t, err)
	no(t, p.Heartbeat(t.Context(), "w1", time.Now()))
	others("w2", false)
}

func receiverGoesForward(t *testing.T, p Port) {
	old := create(t, p, newJob(1)).ID
	first, err := p.Receiver(t.Context(), "hook")
	no(t, err)
	create(t, p, newJob(2))
	news, err := p.Events(t.Context(), first, 10)
	no(t, err)
	for _, c := range news {
		if c.Job == old {
			t.Errorf("a new receiver gets the event of a job from before: %+v", c)
		}
	}
	if len(news) != 1 {
		t.Errorf("%d events after %d, want that of the new job: %+v", len(news), first, news)
	}
	no(t, p.PutReceiver(t.Context(), "hook", news[0].Seq))
	no(t, p.PutReceiver(t.Context(), "hook", first)) // a slow process, late
	again, err := p.Receiver(t.Context(), "hook")
	no(t, err)
	same(t, again, news[0].Seq)
	another, err := p.Receiver(t.Context(), "another")
	no(t, err)
	same(t, another, news[0].Seq)
}
