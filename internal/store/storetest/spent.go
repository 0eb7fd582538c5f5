package storetest

import (
	"testing"
	"time"

	"github.com/batholith/batholith"
)

func spending() []law {
	return []law{
		{"WhatRecordsTookIsAddedUpOnce", spentOnce},
		{"WhatRecordsTookOutlivesTheirJob", spentStays},
		{"WhatRecordsTookIsInGroups", spentGroups},
		{"ReservationsOfAllWorkersKeepACap", capKept},
		{"ADaysCapIsFreeTheNextDay", capOfADay},
		{"WhatIsGivenUpOfOneJobIsFreeForAnother", capGivenUp},
	}
}

// spends commits n records of a chunk, which take tokens at a price.
func spends(t *testing.T, p Port, worker, segment string, c batholith.Chunk, price string, output int64, records ...int) {
	t.Helper()
	it := commitOf(worker, segment, c, records...)
	it.Price = price
	it.Tokens = batholith.Tokens{Input: 100, Output: output, CacheRead: 40}
	it.Ledger = batholith.Ledger{Attempts: 3, Repeats: 1, Canaries: 1, Wasted: batholith.Tokens{Input: 7, Output: 5}}
	commit(t, p, it)
}

func spent(t *testing.T, p Port, q batholith.SpentQuery) []batholith.Spent {
	t.Helper()
	q.Account = account
	all, err := p.Spent(t.Context(), q)
	no(t, err)
	return all
}

func spentOnce(t *testing.T, p Port) {
	id := running(t, p, 1, 2)
	alive(t, p, "w1", "w2")
	one, two := claim(t, p, "w1", id, 1)[0], claim(t, p, "w2", id, 1)[0]
	spends(t, p, "w1", "s1", one, "1 2 1 USD", 10, 1, 2)
	spends(t, p, "w1", "s1", one, "1 2 1 USD", 10, 1, 2) // its answer was lost
	spends(t, p, "w2", "s2", two, "1 2 1 USD", 20, 1)
	stale := commitOf("w2", "s3", one, 3)
	stale.Tokens.Output = 1000
	_, err := p.Commit(t.Context(), stale)
	if err == nil {
		t.Fatal("a stale commit was applied")
	}
	same(t, spent(t, p, batholith.SpentQuery{}), []batholith.Spent{{Account: account, Price: "1 2 1 USD", Records: 3, Errors: 1, Attempts: 6, Repeats: 2, Canaries: 2,
		Tokens: batholith.Tokens{Input: 200, Output: 30, CacheRead: 80}, Wasted: batholith.Tokens{Input: 14, Output: 10}}})
}

func spentStays(t *testing.T, p Port) {
	id := running(t, p, 1, 1)
	alive(t, p, "w1")
	spends(t, p, "w1", "s1", claim(t, p, "w1", id, 1)[0], "", 10, 1, 2)
	before := spent(t, p, batholith.SpentQuery{Jobs: []string{id}, ByJob: true})
	same(t, len(before), 1)
	seal(t, p, id, "")
	epoch := publisher(t, p, id, "w1", true)
	no(t, p.Decide(t.Context(), id, epoch, batholith.StatusInProgress, batholith.StatusCompleted, "", nil))
	no(t, ended(t, p, id, epoch))
	no(t, p.Forget(t.Context(), id, start()))
	same(t, spent(t, p, batholith.SpentQuery{Jobs: []string{id}, ByJob: true}), before)
	same(t, len(spent(t, p, batholith.SpentQuery{Jobs: []string{"other"}})), 0)
	same(t, len(spent(t, p, batholith.SpentQuery{Jobs: []string{}})), 0)
}

func spentGroups(t *testing.T, p Port) {
	id := running(t, p, 1, 3)
	alive(t, p, "w1")
	chunks := claim(t, p, "w1", id, 3)
	today := batholith.DayOf(time.Now())
	spends(t, p, "w1", "s1", chunks[0], "1 2 1 USD", 10, 1)
	spends(t, p, "w1", "s2", chunks[1], "3 4 3 USD", 20, 1)
	time.Sleep(24 * time.Hour)
	alive(t, p, "w1")
	spends(t, p, "w1", "s3", chunks[2], "3 4 3 USD", 40, 1)
	j, err := p.Job(t.Context(), account, id)
	no(t, err)
	outputs := func(q batholith.SpentQuery) (all []int64) {
		t.Helper()
		for _, g := range spent(t, p, q) {
			all = append(all, g.Tokens.Output)
			if q.ByPrincipal && g.Principal != j.Owner || q.ByModel && g.Model != j.Model || q.ByJob && g.Job != id || q.ByDay != (g.Day > 0) {
				t.Errorf("group %+v of %+v", g, q)
			}
		}
		return all
	}
	same(t, outputs(batholith.SpentQuery{}), []int64{10, 60})
	same(t, outputs(batholith.SpentQuery{ByDay: true, ByPrincipal: true, ByModel: true, ByJob: true}), []int64{10, 20, 40})
	same(t, outputs(batholith.SpentQuery{Since: today + 1}), []int64{40})
	same(t, outputs(batholith.SpentQuery{Until: today + 1}), []int64{10, 20})
	same(t, outputs(batholith.SpentQuery{Principal: j.Owner}), []int64{10, 60})
	same(t, outputs(batholith.SpentQuery{Principal: "another"}), []int64(nil))
}

// reserves demands what a worker is granted.
func reserves(t *testing.T, p Port, worker string, j batholith.Job, base, need int64, c batholith.Cap, want bool, left int64) batholith.Allowance {
	t.Helper()
	a, err := p.Reserve(t.Context(), worker, j, batholith.Amount{Tokens: base}, batholith.Amount{Tokens: need}, []batholith.Cap{c})
	no(t, err)
	if a.Granted != want || a.Left.Tokens != left {
		t.Errorf("%s asks for %d beside %d: granted %t, left %d; want %t, %d", worker, need, base, a.Granted, a.Left.Tokens, want, left)
	}
	return a
}

func capKept(t *testing.T, p Port) {
	id := running(t, p, 1, 3)
	j, err := p.Job(t.Context(), account, id)
	no(t, err)
	alive(t, p, "w1", "w2")
	c := batholith.Cap{Name: "cap", Tokens: 1000}
	reserves(t, p, "w1", j, 0, 600, c, true, 1000)
	reserves(t, p, "w2", j, 0, 600, c, false, 400)
	reserves(t, p, "w2", j, 0, 400, c, true, 400)
	spends(t, p, "w1", "s1", claim(t, p, "w1", id, 1)[0], "", 10, 1) // 100 + 10 tokens, and 7 + 5 wasted
	reserves(t, p, "w1", j, 300, 200, c, false, 178)                 // 122 used, 400 of w2, 300 of its own
	reserves(t, p, "w1", j, 300, 178, c, true, 178)
	no(t, p.Unreserve(t.Context(), "w2", id))
	reserves(t, p, "w1", j, 0, 878, c, true, 878)
	time.Sleep(2 * time.Minute) // the lease of w1 is over
	alive(t, p, "w2")
	reserves(t, p, "w2", j, 0, 878, c, true, 878)
	cost := batholith.Cap{Name: "cost", Micros: 1000, Currency: "USD"}
	two := claim(t, p, "w2", id, 1)[0]
	spends(t, p, "w2", "s2", two, "1 2 1 USD", 10, 2) // 100 + 20 + 7 + 10 micros
	a, err := p.Reserve(t.Context(), "w2", j, batholith.Amount{}, batholith.Amount{Micros: 864}, []batholith.Cap{cost})
	no(t, err)
	if a.Granted || a.Left.Micros != 863 || a.Used.Micros != 137 {
		t.Errorf("%+v", a)
	}
}

func capOfADay(t *testing.T, p Port) {
	id, other := running(t, p, 1, 2), running(t, p, 2, 2)
	j, err := p.Job(t.Context(), account, id)
	no(t, err)
	k, err := p.Job(t.Context(), account, other)
	no(t, err)
	k.Owner = j.Owner
	alive(t, p, "w1")
	c := batholith.Cap{Name: "day", Principal: j.Owner, Tokens: 200}
	spends(t, p, "w1", "s1", claim(t, p, "w1", id, 1)[0], "", 10, 1)
	a := reserves(t, p, "w1", k, 0, 100, c, false, 78)
	if a.Next.IsZero() || a.Next.Sub(time.Now()) > 24*time.Hour+5*time.Second {
		t.Errorf("the next day begins at %s", a.Next)
	}
	no(t, p.PauseJobUntil(t.Context(), other, "the day's budget", a.Next))
	no(t, p.ResumeDue(t.Context(), other))
	pausedAre(t, p, other)
	time.Sleep(24 * time.Hour)
	no(t, p.ResumeDue(t.Context(), other))
	pausedAre(t, p)
	alive(t, p, "w1")
	reserves(t, p, "w1", k, 0, 100, c, true, 200)
}

// A worker that starts again finds what it reserved before. It gives that up, also of a job that is paused, and the cap is free for others.
func capGivenUp(t *testing.T, p Port) {
	id, other := running(t, p, 1, 2), running(t, p, 2, 2)
	j, err := p.Job(t.Context(), account, id)
	no(t, err)
	k, err := p.Job(t.Context(), account, other)
	no(t, err)
	k.Owner = j.Owner
	alive(t, p, "w1", "w2")
	c := batholith.Cap{Name: "day", Principal: j.Owner, Tokens: 1000}
	reserves(t, p, "w1", j, 0, 900, c, true, 1000)
	no(t, p.PauseJob(t.Context(), account, id, "a user"))
	reserves(t, p, "w1", k, 0, 101, c, false, 100) // its own reservation for another job counts
	for range 2 {
		no(t, p.Unreserve(t.Context(), "w1", id))
	}
	no(t, p.Unreserve(t.Context(), "w1", "nosuchjob000"))
	reserves(t, p, "w1", k, 0, 101, c, true, 1000)
	reserves(t, p, "w2", j, 0, 900, c, false, 899)
}
