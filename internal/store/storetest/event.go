package storetest

import (
	"slices"
	"testing"
	"time"

	"github.com/batholith/batholith"
)

func happening() []law {
	return []law{
		{"EventsOfAnAccountAreItsOwnInTheirOrder", eventsOfAccounts},
		{"AnErasedJobHasNoEventsAndItsNumbersAreNotGivenAgain", eventsOfAnErasedJob},
		{"OldEventsOfEndedJobsAreDeletedOnceEveryReceiverHasThem", oldEvents},
		{"AReceiverThatIsRetiredHasNoCursor", retiredReceiver},
	}
}

// eventsOf are all changes of an account, newest first, read in pages of n.
func eventsOf(t *testing.T, p Port, account string, n int) (all []batholith.Change) {
	t.Helper()
	for before := int64(0); ; {
		page, err := p.AccountEvents(t.Context(), account, before, n)
		no(t, err)
		if len(page) == 0 {
			return all
		}
		all = append(all, page...)
		before = page[len(page)-1].Seq
	}
}

func eventsOfAccounts(t *testing.T, p Port) {
	const stranger = "210987654321"
	var mine, others []string
	for n := range 6 {
		j := newJob(n)
		if n%3 == 0 {
			j.Account = stranger
			others = append([]string{j.ID}, others...)
		} else {
			mine = append([]string{j.ID}, mine...)
		}
		create(t, p, j)
		if n == 3 {
			eventsOf(t, p, account, 1) // what comes later is found too
		}
	}
	for _, c := range []struct {
		account string
		jobs    []string
	}{{account, mine}, {stranger, others}, {"999999999999", nil}} {
		for n := 1; n < 4; n++ {
			var jobs []string
			got := eventsOf(t, p, c.account, n)
			for _, e := range got {
				jobs = append(jobs, e.Job)
			}
			same(t, jobs, c.jobs)
			if !slices.IsSortedFunc(got, func(a, b batholith.Change) int { return int(b.Seq - a.Seq) }) {
				t.Errorf("the events of %s are not in the order of their numbers: %v", c.account, got)
			}
		}
	}
}

func eventsOfAnErasedJob(t *testing.T, p Port) {
	kept := create(t, p, newJob(1))
	j := endedJob(t, p, 2, false)
	eventsOf(t, p, account, 10)
	seen, err := p.Events(t.Context(), 0, 100)
	no(t, err)
	no(t, p.ForgetJob(t.Context(), account, j.ID, false))
	no(t, p.EraseJob(t.Context(), j.ID))
	if left := eventsOf(t, p, account, 10); len(left) != 1 || left[0].Job != kept.ID {
		t.Errorf("after a job was erased: %v", left)
	}
	next := create(t, p, newJob(3))
	fresh, err := p.Events(t.Context(), seen[len(seen)-1].Seq, 100)
	no(t, err)
	if len(fresh) != 1 || fresh[0].Job != next.ID {
		t.Errorf("a reader of all events before a job was erased gets %v", fresh)
	}
	if all := eventsOf(t, p, account, 10); len(all) != 2 || all[0].Job != next.ID {
		t.Errorf("the events are %v", all)
	}
}

func oldEvents(t *testing.T, p Port) {
	deletes := func(age time.Duration, want int) {
		t.Helper()
		n, err := p.DeleteEvents(t.Context(), age)
		no(t, err)
		same(t, n, int64(want))
	}
	now := func(n int) batholith.Job {
		j := newJob(n)
		j.Submitted, j.Expires = time.Now(), time.Now().Add(time.Hour)
		return j
	}
	active := create(t, p, now(1))
	_, err := p.Receiver(t.Context(), "slow") // it waits for all that comes now
	no(t, err)
	ended := endedJob(t, p, 2, false)
	history, err := p.History(t.Context(), ended.ID)
	no(t, err)
	eventsOf(t, p, account, 10)
	seen, err := p.Events(t.Context(), 0, 100)
	no(t, err)
	last := seen[len(seen)-1].Seq
	time.Sleep(48 * time.Hour)
	deletes(time.Hour, 0) // nobody has told the receiver
	no(t, p.PutReceiver(t.Context(), "slow", seen[2].Seq))
	deletes(100*24*time.Hour, 0)
	if n, err := p.DeleteEvents(t.Context(), time.Hour); err != nil || n != 2 {
		t.Errorf("%d events are deleted that the receiver has, %v", n, err)
	}
	no(t, p.PutReceiver(t.Context(), "slow", last))
	deletes(time.Hour, len(history)-2)
	deletes(time.Hour, 0)
	if left := eventsOf(t, p, account, 10); len(left) != 1 || left[0].Job != active.ID {
		t.Errorf("the events of a job that has not ended are left alone: %v", left)
	}
	if _, err := p.Job(t.Context(), account, ended.ID); err != nil {
		t.Errorf("the job stays: %v", err)
	}
	next := create(t, p, now(3))
	fresh, err := p.Events(t.Context(), last, 100)
	no(t, err)
	if len(fresh) != 1 || fresh[0].Job != next.ID || fresh[0].Seq <= last {
		t.Errorf("the next event is %v, after %d", fresh, last)
	}
}

func retiredReceiver(t *testing.T, p Port) {
	create(t, p, newJob(1))
	for _, name := range []string{"kept", "gone"} {
		_, err := p.Receiver(t.Context(), name)
		no(t, err)
	}
	create(t, p, newJob(2))
	create(t, p, newJob(3))
	all, err := p.Events(t.Context(), 0, 10)
	no(t, err)
	gone, err := p.RetireReceivers(t.Context(), []string{"kept", "another"})
	no(t, err)
	same(t, gone, map[string]int64{"gone": 2})
	gone, err = p.RetireReceivers(t.Context(), []string{"kept"})
	no(t, err)
	same(t, gone, map[string]int64{})
	kept, err := p.Receiver(t.Context(), "kept")
	no(t, err)
	same(t, kept, all[0].Seq)
	again, err := p.Receiver(t.Context(), "gone") // as a new one
	no(t, err)
	same(t, again, all[2].Seq)
}
