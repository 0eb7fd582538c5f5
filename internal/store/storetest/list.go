package storetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/batholith/batholith"
)

func listing() []law {
	return []law{
		{"PagesNeitherRepeatNorSkip", pages},
		{"AFullLastPageHasNoNext", lastPage},
		{"NewestFirstUnlessAscending", orders},
		{"TimeBoundsAreStrict", bounds},
		{"AStatusFilterTellsTheStatusNow", byStatus},
		{"ANameFilterIsLetterForLetter", byName},
		{"PagesHoldWhileJobsAreCreated", pagesDuringCreation},
		{"AListIsItsAccountsOnly", ofAccount},
		{"TagsComeWithTheJobsOfAListThatAsksForThem", listedTags},
	}
}

// list reads every page of a query.
func list(t tester, p Port, q batholith.ListQuery) []batholith.Job {
	t.Helper()
	var jobs []batholith.Job
	for range 1000 {
		page, next, err := p.Jobs(t.Context(), q)
		no(t, err)
		if len(page) > q.Limit {
			t.Fatalf("%d jobs on a page of %d", len(page), q.Limit)
		}
		jobs = append(jobs, page...)
		if q.Cursor = next; next == 0 {
			return jobs
		}
	}
	t.Fatal("the list does not end")
	return nil
}

// numbers are the last digits of the ids, in the order of the list.
func numbers(jobs []batholith.Job) []int {
	ns := []int{}
	for _, j := range jobs {
		var n int
		fmt.Sscanf(j.ID, "job%d", &n)
		ns = append(ns, n)
	}
	return ns
}

// createTen creates jobs 0 to 9, a second apart.
func createTen(t *testing.T, p Port) {
	t.Helper()
	for i := range 10 {
		j := newJob(i)
		j.Submitted = start().Add(time.Duration(i) * time.Second)
		create(t, p, j)
	}
}

func pages(t *testing.T, p Port) {
	createTen(t, p)
	for limit := 1; limit <= 11; limit++ {
		same(t, numbers(list(t, p, batholith.ListQuery{Account: account, Limit: limit, Ascending: true})), all())
	}
}

func lastPage(t *testing.T, p Port) {
	createTen(t, p)
	jobs, next, err := p.Jobs(t.Context(), batholith.ListQuery{Account: account, Limit: 10})
	no(t, err)
	same(t, []int64{int64(len(jobs)), next}, []int64{10, 0})
}

func orders(t *testing.T, p Port) {
	createTen(t, p)
	want := all()
	slices.Reverse(want)
	same(t, numbers(list(t, p, batholith.ListQuery{Account: account, Limit: 3})), want)
}

func bounds(t *testing.T, p Port) {
	createTen(t, p)
	at := func(d time.Duration) time.Time { return start().Add(d) }
	for _, c := range []struct {
		after, before time.Time
		want          []int
	}{
		{at(6 * time.Second), time.Time{}, []int{7, 8, 9}},
		{time.Time{}, at(2 * time.Second), []int{0, 1}},
		{at(2 * time.Second), at(5 * time.Second), []int{3, 4}},
		{at(2*time.Second - 1), at(3*time.Second + 1), []int{2, 3}}, // a nanosecond counts
		{at(2*time.Second + 1), at(3 * time.Second), []int{}},
		{at(9 * time.Second), time.Time{}, []int{}},
		{time.Time{}, at(0), []int{}},
		{at(5 * time.Second), at(2 * time.Second), []int{}},
	} {
		q := batholith.ListQuery{Account: account, After: c.after, Before: c.before, Limit: 2, Ascending: true}
		same(t, numbers(list(t, p, q)), c.want)
		q.Ascending = false
		slices.Reverse(c.want)
		same(t, numbers(list(t, p, q)), c.want)
	}
}

func byStatus(t *testing.T, p Port) {
	createTen(t, p)
	for _, i := range []int{2, 5, 6} {
		moveTo(t, p, newJob(i).ID, batholith.StatusFailed)
	}
	q := batholith.ListQuery{Account: account, Status: batholith.StatusFailed, Limit: 2, Ascending: true}
	same(t, numbers(list(t, p, q)), []int{2, 5, 6})
	q.After = start().Add(2 * time.Second)
	same(t, numbers(list(t, p, q)), []int{5, 6})
	q.Status = batholith.StatusCompleted
	same(t, numbers(list(t, p, q)), []int{})
}

func byName(t *testing.T, p Port) {
	for i, name := range []string{"Nightly-1", "nightly-2", "a%b", "a_b", "axb", `a\b`} {
		j := newJob(i)
		j.Name = name
		create(t, p, j)
	}
	for part, want := range map[string][]int{
		"night": {1}, "Night": {0}, "ightly": {0, 1}, "%": {2}, "_": {3}, `\`: {5}, "a": {2, 3, 4, 5}, "'": {}, "nightly-2": {1},
	} {
		q := batholith.ListQuery{Account: account, NameContains: part, Limit: 2, Ascending: true}
		same(t, numbers(list(t, p, q)), want)
	}
}

func pagesDuringCreation(t *testing.T, p Port) {
	const before, during = 20, 60
	for i := range before {
		create(t, p, newJob(i))
	}
	done := make(chan error, 1)
	go func() {
		_, errs := race(during, func(i int) (batholith.Job, error) {
			j := newJob(before + i)
			j.Submitted = start().Add(time.Duration(i%7) * time.Second) // clocks that differ
			return p.CreateJob(t.Context(), j, "hash", 0)
		})
		done <- errors.Join(errs...)
	}()
	for running := true; running; {
		select {
		case err := <-done:
			no(t, err)
			running = false
		default:
		}
		checkList(t, list(t, p, batholith.ListQuery{Account: account, Limit: 7, Ascending: true}), before)
		newest := list(t, p, batholith.ListQuery{Account: account, Limit: 7})
		slices.Reverse(newest)
		checkList(t, newest, before)
	}
	same(t, len(list(t, p, batholith.ListQuery{Account: account, Limit: 7})), before+during)
}

// checkList demands the first n jobs, in order, and after them others in the order of their times, none of them twice.
func checkList(t *testing.T, jobs []batholith.Job, n int) {
	t.Helper()
	seen := map[string]bool{}
	for i, j := range jobs {
		if seen[j.ID] {
			t.Fatalf("job %s is there twice", j.ID)
		}
		seen[j.ID] = true
		if i < n && j.ID != newJob(i).ID {
			t.Fatalf("job %d of the list is %s", i, j.ID)
		}
		if i > 0 && j.Submitted.Before(jobs[i-1].Submitted) {
			t.Fatalf("job %s was submitted before the one before it", j.ID)
		}
	}
	if len(jobs) < n {
		t.Fatalf("%d of %d jobs are there", len(jobs), n)
	}
}

func ofAccount(t *testing.T, p Port) {
	create(t, p, newJob(1))
	j := newJob(2)
	j.Account = "999999999999"
	create(t, p, j)
	same(t, numbers(list(t, p, batholith.ListQuery{Account: account, Limit: 5})), []int{1})
	same(t, numbers(list(t, p, batholith.ListQuery{Account: "000000000000", Limit: 5})), []int{})
}

func listedTags(t *testing.T, p Port) {
	for i := range 5 {
		j := newJob(i)
		for k := range i {
			j.Tags = append(j.Tags, batholith.Tag{Key: fmt.Sprintf("k%d", k), Value: fmt.Sprint(i)})
		}
		create(t, p, j)
	}
	for _, ask := range []bool{true, false} {
		for _, j := range list(t, p, batholith.ListQuery{Account: account, Limit: 2, Tags: ask}) {
			tags, err := p.Tags(t.Context(), account, j.ID)
			no(t, err)
			if !ask {
				tags = nil
			}
			if !slices.Equal(tags, j.Tags) {
				t.Errorf("%s: %v, want %v", j.ID, j.Tags, tags)
			}
		}
	}
}
