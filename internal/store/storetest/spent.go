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
