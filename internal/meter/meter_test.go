package meter

import (
	"context"
	"errors"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
	_ "github.com/batholith/batholith/internal/raced"
)

// book is a store. err is what it fails with; applied says that a failing write takes effect all the same.
type book struct {
	mu      sync.Mutex
	rows    map[batholith.Usage]batholith.Usage // by their keys
	reads   int
	err     error
	applied bool
}

func (b *book) PutUsage(_ context.Context, all []batholith.Usage) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil || b.applied {
		for _, u := range all {
			b.rows[batholith.Usage{Account: u.Account, Principal: u.Principal, Day: u.Day, Process: u.Process}] = u
		}
	}
	return b.err
}

func (b *book) UsedBeside(_ context.Context, account, name string, day int64, process string) (n int64, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reads++
	for k, u := range b.rows {
		if k.Account == account && k.Principal == name && k.Day == day && k.Process != process {
			n = batholith.Sum(n, batholith.Sum(u.Tokens.Input, u.Tokens.Output))
		}
	}
	return n, b.err
}

func (b *book) fail(err error, applied bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err, b.applied = err, applied
}

func tokens(in, out int64) batholith.Tokens { return batholith.Tokens{Input: in, Output: out} }

// both is two processes with one store, and jobs that used so many tokens.
func both(b *book, jobs int64) (one, two *Meter) {
	o := Options{Store: b, Jobs: func(context.Context, string, string) (int64, error) { return jobs, nil }}
	return New(o), New(o)
}

func (m *Meter) spends(t *testing.T, name string, want int64) {
	t.Helper()
	if got, err := m.Spent(t.Context(), "1", name); err != nil || got != want {
		t.Errorf("%s has spent %d, %v; want %d", name, got, err, want)
	}
}

// TestEveryProcessSeesWhatAllHaveSpent: what a process counts itself it sees at once, and what others count after some seconds, each call once,
// whatever becomes of the writes.
func TestEveryProcessSeesWhatAllHaveSpent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &book{rows: map[batholith.Usage]batholith.Usage{}}
		one, two := both(b, 1000)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		for _, m := range []*Meter{one, two} {
			running.Go(func() { _ = m.Run(ctx) })
		}
		one.spends(t, "alice", 1000)
		one.Add("1", "alice", "m", tokens(3, 4), false)
		one.Add("1", "bob", "m", tokens(50, 0), false)
		one.Add("2", "alice", "m", tokens(70, 0), false)
		two.Add("1", "alice", "m", tokens(5, 0), false)
		one.spends(t, "alice", 1007)
		time.Sleep(fresh + storeEvery)
		one.spends(t, "alice", 1012)
		two.spends(t, "alice", 1012)
		for _, applied := range []bool{false, true} { // a write that fails, with an effect and without
			b.fail(errors.New("away"), applied)
			two.Add("1", "alice", "m", tokens(100, 0), false)
			time.Sleep(2*storeEvery + fresh)
			two.spends(t, "alice", map[bool]int64{false: 1112, true: 1212}[applied])
			b.fail(nil, false)
			time.Sleep(2*storeEvery + fresh)
			one.spends(t, "alice", map[bool]int64{false: 1112, true: 1212}[applied])
		}
		two.Add("1", "alice", "m", tokens(8, 0), false)
		cancel() // the end of a process stores what it has counted
		running.Wait()
		two.Add("1", "alice", "m", tokens(0, 1), false) // of a handler that ends after it
		two.Flush(ctx)
		after, _ := both(b, 0)
		after.spends(t, "alice", 221)
		if n, err := after.Called(t.Context(), "1", "bob"); err != nil || n != 50 {
			t.Errorf("bob: %d %v", n, err)
		}
	})
}

// TestAQuotaIsReadOnceForManyCalls: thousands of calls a second do not ask the store each, and without its answer the last one counts.
func TestAQuotaIsReadOnceForManyCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &book{rows: map[batholith.Usage]batholith.Usage{}}
		m, _ := both(b, 10)
		for range 1000 {
			m.spends(t, "alice", 10)
		}
		if b.reads != 1 {
			t.Errorf("%d reads", b.reads)
		}
		b.fail(errors.New("away"), false)
		time.Sleep(time.Minute)
		m.spends(t, "alice", 10)
		if _, err := m.Spent(t.Context(), "1", "bob"); err == nil {
			t.Error("of bob nothing is known, and he may call")
		}
	})
}

// TestADayEndsAtMidnight: a new day begins with nothing, and what was counted before midnight is stored as yesterday's.
func TestADayEndsAtMidnight(t *testing.T) {
	now := time.Date(2026, 3, 1, 23, 59, 59, 0, time.UTC)
	b := &book{rows: map[batholith.Usage]batholith.Usage{}, err: errors.New("away")}
	m := New(Options{Store: b, Jobs: func(context.Context, string, string) (int64, error) { return 0, nil }, Now: func() time.Time { return now }})
	m.Add("1", "alice", "m", tokens(math.MaxInt64, 1), false)
	if m.put(t.Context()) == nil {
		t.Fatal("the store is away")
	}
	yesterday := batholith.DayOf(now)
	now = now.Add(time.Second)
	b.err = nil
	m.spends(t, "alice", 0)
	m.Add("1", "alice", "m", tokens(1, 0), true)
	for range 2 {
		if err := m.put(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for day, want := range map[int64]int64{yesterday: math.MaxInt64, yesterday + 1: 1} {
		if got, _ := b.UsedBeside(t.Context(), "1", "alice", day, ""); got != want {
			t.Errorf("day %d: %d, want %d", day, got, want)
		}
	}
	if all := m.Models(); len(all) != 1 || all[0].Calls != 2 || all[0].Failed != 1 || all[0].Tokens.Output != 1 {
		t.Errorf("by model: %+v", all)
	}
}
