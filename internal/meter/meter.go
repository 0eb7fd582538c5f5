// Package meter counts what interactive calls take: by principal and day for the quota max_tokens_per_day, and by model for metrics.
//
// A call is counted in memory when its answer ends, and the store gets the totals of this process once a second. The store's rows are totals,
// not differences, so writing one again after an unknown outcome changes nothing. A process that is killed loses the last second.
//
//	spent today = tokens of the jobs created today + calls of other processes, as stored + calls of this process, in memory
//
// The package must not know HTTP, models or policies.
package meter

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/batholith/batholith"
)

// Times of a Meter.
const (
	storeEvery = time.Second      // between two writes
	fresh      = 5 * time.Second  // how long the stored part of a sum is used
	storeTime  = 10 * time.Second // for one write, also at the end
	mostKnown  = 10_000           // principals whose sums are remembered
)

// Store keeps usage.
type Store interface {
	// PutUsage stores totals, in place of the earlier ones of the same process, principal and day. It deletes what is older than a day before.
	PutUsage(ctx context.Context, all []batholith.Usage) error
	// UsedBeside sums the tokens of a principal on a day, without those that a process counted.
	UsedBeside(ctx context.Context, account, principal string, day int64, process string) (tokens int64, err error)
}

// Options configure a Meter. Log is optional.
type Options struct {
	Store Store
	// Jobs sums the tokens of the jobs that a principal created today.
	Jobs func(ctx context.Context, account, principal string) (int64, error)
	Now  func() time.Time // nil: time.Now
	Log  *slog.Logger
}

// Meter counts calls. It is safe for concurrent use.
type Meter struct {
	o       Options
	process string

	mu     sync.Mutex
	today  map[principal]*batholith.Usage
	unsent map[principal]bool // of today, with totals that are not stored
	before []batholith.Usage  // of the day before, not stored yet
	models map[string]*Model
	sums   map[principal]*sum
}

// principal is a caller on one day.
type principal struct {
	account, name string
	day           int64
}

// Model is what the calls of one model took since the start of the process.
type Model struct {
	Model  string
	Calls  int64 // that were answered, also in part
	Failed int64 // of them, those whose answer broke off
	Tokens batholith.Tokens
}

// sum is the stored part of what a principal has spent.
type sum struct {
	mu     sync.Mutex // held while it is read from the store
	at     time.Time
	tokens int64
}

// New returns a Meter that has counted nothing.
func New(o Options) *Meter {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Meter{o: o, process: rand.Text(), today: map[principal]*batholith.Usage{}, unsent: map[principal]bool{}, models: map[string]*Model{}, sums: map[principal]*sum{}}
}

func (m *Meter) who(account, name string) principal {
	return principal{account, name, batholith.DayOf(m.o.Now())}
}

// Add counts a call whose answer has ended. failed: it broke off.
func (m *Meter) Add(account, name, model string, tokens batholith.Tokens, failed bool) {
	p := m.who(account, name)
	m.mu.Lock()
	defer m.mu.Unlock()
	u := m.today[p]
	if u == nil {
		m.turn(p.day)
		u = &batholith.Usage{Account: p.account, Principal: p.name, Day: p.day, Process: m.process}
		m.today[p] = u
	}
	u.Calls++
	u.Tokens = u.Tokens.Add(tokens)
	m.unsent[p] = true
	t := m.models[model]
	if t == nil {
		t = &Model{Model: model}
		m.models[model] = t
	}
	t.Calls++
	t.Tokens = t.Tokens.Add(tokens)
	if failed {
		t.Failed++
	}
}

// turn forgets principals of days before. Totals that are not stored are kept until they are. The caller holds mu.
func (m *Meter) turn(day int64) {
	for p, u := range m.today {
		if p.day >= day {
			continue
		}
		if m.unsent[p] {
			m.before = append(m.before, *u)
		}
		delete(m.today, p)
		delete(m.unsent, p)
	}
}

// Models returns the totals by model since the start of the process, sorted by model.
func (m *Meter) Models() []Model {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make([]Model, 0, len(m.models))
	for _, t := range m.models {
		all = append(all, *t)
	}
	slices.SortFunc(all, func(a, b Model) int { return cmp.Compare(a.Model, b.Model) })
	return all
}

// Spent returns the tokens that a principal has used today, in calls and in the jobs created today. What is stored is read at most every 5 s.
// While the store does not answer, its last word counts; the error is the store's if there is none.
func (m *Meter) Spent(ctx context.Context, account, name string) (int64, error) {
	p := m.who(account, name)
	s := m.sumOf(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := m.o.Now(); s.at.IsZero() || now.Sub(s.at) >= fresh {
		stored, err := m.stored(ctx, p)
		switch {
		case err == nil:
			s.tokens, s.at = stored, now
		case s.at.IsZero():
			return 0, err
		}
	}
	return batholith.Sum(s.tokens, m.own(p)), nil
}

// Called returns the tokens that a principal has used today in calls.
func (m *Meter) Called(ctx context.Context, account, name string) (int64, error) {
	p := m.who(account, name)
	others, err := m.o.Store.UsedBeside(ctx, p.account, p.name, p.day, m.process)
	if err != nil {
		return 0, fmt.Errorf("sum the tokens of a day's calls: %w", err)
	}
	return batholith.Sum(others, m.own(p)), nil
}

// own is what this process counted.
func (m *Meter) own(p principal) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	u := m.today[p]
	if u == nil {
		return 0
	}
	return batholith.Sum(u.Tokens.Input, u.Tokens.Output)
}

// stored is the part of a sum that is in the store.
func (m *Meter) stored(ctx context.Context, p principal) (int64, error) {
	others, err := m.o.Store.UsedBeside(ctx, p.account, p.name, p.day, m.process)
	if err != nil {
		return 0, fmt.Errorf("sum the tokens of a day's calls: %w", err)
	}
	jobs, err := m.o.Jobs(ctx, p.account, p.name)
	return batholith.Sum(others, jobs), err
}

// sumOf returns the remembered sum of a principal.
func (m *Meter) sumOf(p principal) *sum {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.sums[p]
	if s == nil {
		if len(m.sums) >= mostKnown {
			clear(m.sums)
		}
		s = &sum{}
		m.sums[p] = s
	}
	return s
}

// Run stores the totals once a second until ctx ends, and then once more.
func (m *Meter) Run(ctx context.Context) error {
	tick := time.NewTicker(storeEvery)
	defer tick.Stop()
	for failing := false; ; {
		last := false
		select {
		case <-tick.C:
		case <-ctx.Done():
			last = true
		}
		err := m.put(context.WithoutCancel(ctx))
		if err != nil && !failing {
			m.o.Log.Warn("store the tokens of calls; it is tried again every second", "err", err)
		}
		if failing = err != nil; last {
			return nil
		}
	}
}

// Flush stores the totals of calls whose answers ended after Run. A failure loses them.
func (m *Meter) Flush(ctx context.Context) {
	if err := m.put(context.WithoutCancel(ctx)); err != nil {
		m.o.Log.Warn("store the tokens of the last calls", "err", err)
	}
}

// put stores the totals that have changed since they were stored.
func (m *Meter) put(ctx context.Context) error {
	m.mu.Lock()
	all, before := slices.Clone(m.before), len(m.before)
	sent := make([]principal, 0, len(m.unsent))
	for p := range m.unsent {
		all = append(all, *m.today[p])
		sent = append(sent, p)
	}
	clear(m.unsent)
	m.mu.Unlock()
	if len(all) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	err := m.o.Store.PutUsage(ctx, all)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil {
		m.before = m.before[before:]
		return nil
	}
	for i, p := range sent {
		if m.today[p] != nil {
			m.unsent[p] = true
		} else { // the day has turned meanwhile
			m.before = append(m.before, all[before+i])
		}
	}
	return err
}
