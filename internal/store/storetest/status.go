package storetest

import (
	"strings"
	"testing"
	"time"

	"github.com/batholith/batholith"
)

func statuses() []law {
	return []law{
		{"EveryChangeHasOneEvent", oneEvent},
		{"AMoveFromAnotherStatusIsRefused", movedMeanwhile},
		{"ATerminalJobDoesNotMove", terminalStays},
		{"OfConcurrentMovesOneHappens", oneMove},
		{"ModifiedNeverFallsAndEndedIsSetAtTheEnd", timesOfMoves},
		{"AnEmptyMessageKeepsTheMessage", messageKept},
		{"AMessageIsCutBetweenCharacters", messageCut},
		{"ANoteIsNotAMessage", note},
		{"ANoteIsRemovedByWhoWroteIt", unnote},
		{"WhyAJobIsFailingSurvivesEveryNote", sealFailing},
		{"NothingIsFailingThatIsOver", sealFailingTooLate},
		{"UnfinishedJobsAreListedOldestFirst", unfinished},
	}
}

func oneEvent(t *testing.T, p Port) {
	id := create(t, p, newJob(1)).ID
	at := start().Add(time.Second)
	no(t, p.Move(t.Context(), id, batholith.StatusSubmitted, batholith.StatusValidating, "", at))
	no(t, p.Move(t.Context(), id, batholith.StatusValidating, batholith.StatusStopping, "asked to", at))
	no(t, p.Move(t.Context(), id, batholith.StatusStopping, batholith.StatusStopping, "", at)) // asked twice
	no(t, p.Move(t.Context(), id, batholith.StatusStopping, batholith.StatusStopped, "", at))
	create(t, p, newJob(2))

	history, err := p.History(t.Context(), id)
	no(t, err)
	want := []batholith.Change{
		{Job: id, Status: batholith.StatusSubmitted, At: start()},
		{Job: id, Status: batholith.StatusValidating, At: at},
		{Job: id, Status: batholith.StatusStopping, Message: "asked to", At: at},
		{Job: id, Status: batholith.StatusStopped, At: at},
	}
	same(t, history, want)
	var latest []batholith.Change
	for before := int64(0); ; {
		page, err := p.AccountEvents(t.Context(), newJob(1).Account, before, 2)
		no(t, err)
		if len(page) == 0 {
			break
		}
		for _, c := range page {
			before, c.Seq = c.Seq, 0
			if c.Job == id {
				latest = append([]batholith.Change{c}, latest...)
			}
		}
	}
	same(t, latest, want)
	if others, err := p.AccountEvents(t.Context(), "999999999999", 0, 10); err != nil || len(others) > 0 {
		t.Errorf("another account has the events %v, %v", others, err)
	}
	var read []batholith.Change
	for seq := int64(0); ; {
		page, err := p.Events(t.Context(), seq, 2)
		no(t, err)
		if len(page) == 0 {
			break
		}
		for _, c := range page {
			if c.Seq <= seq {
				t.Fatalf("event %d comes after event %d", c.Seq, seq)
			}
			seq, c.Seq = c.Seq, 0
			read = append(read, c)
		}
	}
	same(t, read[:4], history)
	same(t, len(read), 5)
}

func movedMeanwhile(t *testing.T, p Port) {
	id := create(t, p, newJob(1)).ID
	err := p.Move(t.Context(), id, batholith.StatusValidating, batholith.StatusScheduled, "", start())
	refused(t, err, batholith.ErrMoved)
	err = p.Move(t.Context(), "nosuchjob000", batholith.StatusSubmitted, batholith.StatusValidating, "", start())
	refused(t, err, batholith.ErrNotFound)
	history, err := p.History(t.Context(), id)
	no(t, err)
	same(t, len(history), 1)
}

func terminalStays(t *testing.T, p Port) {
	for i, s := range []batholith.Status{batholith.StatusCompleted, batholith.StatusFailed, batholith.StatusStopped,
		batholith.StatusExpired, batholith.StatusPartiallyCompleted} {
		id := create(t, p, newJob(i)).ID
		moveTo(t, p, id, s)
		for _, to := range batholith.Statuses() {
			refused(t, p.Move(t.Context(), id, s, to, "", start()), batholith.ErrMoved)
		}
		j, err := p.Job(t.Context(), account, id)
		no(t, err)
		same(t, j.Status, s)
	}
}

func oneMove(t *testing.T, p Port) {
	id := create(t, p, newJob(1)).ID
	_, errs := race(8, func(int) (batholith.Job, error) {
		return batholith.Job{}, p.Move(t.Context(), id, batholith.StatusSubmitted, batholith.StatusValidating, "", start())
	})
	same(t, count(t, errs, batholith.ErrMoved), 1)
	history, err := p.History(t.Context(), id)
	no(t, err)
	same(t, len(history), 2)
}

func timesOfMoves(t *testing.T, p Port) {
	id := create(t, p, newJob(1)).ID
	step := func(from, to batholith.Status, at time.Time) batholith.Job {
		t.Helper()
		no(t, p.Move(t.Context(), id, from, to, "", at))
		j, err := p.Job(t.Context(), account, id)
		no(t, err)
		return j
	}
	late := start().Add(time.Hour)
	j := step(batholith.StatusSubmitted, batholith.StatusValidating, late)
	same(t, []time.Time{j.Modified, j.Ended}, []time.Time{late, {}})
	j = step(batholith.StatusValidating, batholith.StatusFailed, start()) // by a clock that is behind
	same(t, []time.Time{j.Submitted, j.Modified, j.Ended}, []time.Time{start(), late, late})
}

func messageKept(t *testing.T, p Port) {
	id := create(t, p, newJob(1)).ID
	no(t, p.Move(t.Context(), id, batholith.StatusSubmitted, batholith.StatusValidating, "first", start()))
	no(t, p.Move(t.Context(), id, batholith.StatusValidating, batholith.StatusScheduled, "", start()))
	message(t, p, id, "first")
	no(t, p.Move(t.Context(), id, batholith.StatusScheduled, batholith.StatusFailed, "last", start()))
	message(t, p, id, "last")
}

func message(t *testing.T, p Port, id, want string) {
	t.Helper()
	j, err := p.Job(t.Context(), account, id)
	no(t, err)
	same(t, j.Message, want)
}

func messageCut(t *testing.T, p Port) {
	id := create(t, p, newJob(1)).ID
	long := "x" + strings.Repeat("é", batholith.MaxMessage) // the limit is in the midst of a character
	no(t, p.Move(t.Context(), id, batholith.StatusSubmitted, batholith.StatusValidating, long, start()))
	message(t, p, id, long[:batholith.MaxMessage-1])
	no(t, p.Note(t.Context(), id, long[1:]))
	seal(t, p, id, long[3:])
	j, err := p.Job(t.Context(), account, id)
	no(t, err)
	same(t, []string{j.Note, j.Failing}, []string{long[1:][:batholith.MaxMessage], long[3:][:batholith.MaxMessage]})
}

func note(t *testing.T, p Port) {
	id := create(t, p, newJob(1)).ID
	no(t, p.Note(t.Context(), id, "slow"))
	notes(t, p, id, "", "slow", "")
	no(t, p.Note(t.Context(), id, ""))
	notes(t, p, id, "", "", "")
	no(t, p.Note(t.Context(), id, "slower"))
	no(t, p.Move(t.Context(), id, batholith.StatusSubmitted, batholith.StatusValidating, "", start()))
	notes(t, p, id, "", "slower", "")
	no(t, p.Move(t.Context(), id, batholith.StatusValidating, batholith.StatusFailed, "why", start()))
	notes(t, p, id, "why", "", "")
	refused(t, p.Note(t.Context(), id, "slow"), batholith.ErrMoved)
	notes(t, p, id, "why", "", "")
	refused(t, p.Note(t.Context(), "nosuchjob000", "x"), batholith.ErrNotFound)
}

// notes demands what is said of a job: why it ended, what is worth knowing meanwhile, why it is failing.
func notes(t *testing.T, p Port, id, message, note, failing string) {
	t.Helper()
	j, err := p.Job(t.Context(), account, id)
	no(t, err)
	same(t, []string{j.Message, j.Note, j.Failing}, []string{message, note, failing})
}

func unnote(t *testing.T, p Port) {
	id := create(t, p, newJob(1)).ID
	no(t, p.Note(t.Context(), id, "the bucket is away"))
	no(t, p.Unnote(t.Context(), id, "the server is away"))
	notes(t, p, id, "", "the bucket is away", "")
	no(t, p.Unnote(t.Context(), id, "the bucket is away"))
	notes(t, p, id, "", "", "")
	no(t, p.Unnote(t.Context(), id, "the bucket is away"))
	long := strings.Repeat("é", batholith.MaxMessage)
	no(t, p.Note(t.Context(), id, long))
	no(t, p.Unnote(t.Context(), id, long))
	notes(t, p, id, "", "", "")
	no(t, p.Unnote(t.Context(), "nosuchjob000", "x"))
}

func sealFailing(t *testing.T, p Port) {
	id := running(t, p, 1, 1)
	seal(t, p, id, "the input is gone")
	chunks, err := p.Claim(t.Context(), "w1", id, 1, start())
	no(t, err)
	same(t, len(chunks), 0)
	for _, n := range []string{"", "The job could not go on: x", "Records wait."} {
		no(t, p.Note(t.Context(), id, n))
		notes(t, p, id, "", n, "the input is gone")
	}
	seal(t, p, id, "another reason, found later")
	seal(t, p, id, "")
	notes(t, p, id, "", "Records wait.", "the input is gone")
	jobs, err := p.Unfinished(t.Context())
	no(t, err)
	same(t, jobs[0].Failing, "the input is gone")
	no(t, p.Move(t.Context(), id, batholith.StatusInProgress, batholith.StatusStopping, "", start()))
	notes(t, p, id, "", "Records wait.", "the input is gone")
	no(t, p.Move(t.Context(), id, batholith.StatusStopping, batholith.StatusStopped, "stopped", start()))
	notes(t, p, id, "stopped", "", "")
	_, err = p.SealToPublish(t.Context(), "nosuchjob000", "x", "w1")
	refused(t, err, batholith.ErrNotFound)
}

func sealFailingTooLate(t *testing.T, p Port) {
	id := running(t, p, 1, 1)
	epoch := publisher(t, p, id, "w1", true)
	no(t, p.Decide(t.Context(), id, epoch, batholith.StatusInProgress, batholith.StatusCompleted, "all of them", nil))
	seal(t, p, id, "too late")
	notes(t, p, id, "", "", "")
	no(t, ended(t, p, id, epoch))
	seal(t, p, id, "too late")
	notes(t, p, id, "all of them", "", "")
}

func unfinished(t *testing.T, p Port) {
	for i := range 5 {
		j := newJob(i)
		j.Submitted = start().Add(time.Duration(i) * time.Second)
		if i%2 == 1 {
			j.Account = "999999999999"
		}
		create(t, p, j)
	}
	moveTo(t, p, newJob(0).ID, batholith.StatusExpired)
	moveTo(t, p, newJob(3).ID, batholith.StatusStopping)
	jobs, err := p.Unfinished(t.Context())
	no(t, err)
	same(t, idsOf(jobs), []string{newJob(1).ID, newJob(2).ID, newJob(3).ID, newJob(4).ID})
}

func idsOf(jobs []batholith.Job) []string {
	var ids []string
	for _, j := range jobs {
		ids = append(ids, j.ID)
	}
	return ids
}
