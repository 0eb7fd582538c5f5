package dispatch

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/failpoint"
)

// If a job has a cap, the store reserves the most that a record may take before the record is sent (docs/decisions/0045). The feed reserves for
// all records of a chunk and then offers them. If the cap does not permit all of them, the feed offers those that fit, and reserves for the
// others when records in flight have ended. If nothing is in flight and not one record fits, the cap is reached and the job is paused. What a
// crash leaves:
//
//	reserved                      a reservation without records; HandBack gives it up at the worker's next start, or its lease ends
//	outcomes journalled           the next start commits them, then gives the reservation up
//	outcomes committed            they count twice until then, and never not at all
//	reservation lowered           what is reserved is what is in flight
//	the cap is reached: paused    the pause is in the job's row; Rest or HandBack gives up what is reserved

const (
	templateTokens = 64   // tokens that a chat template adds to a prompt
	unboundTokens  = 4096 // reserved for the answer of a record without max tokens
	leastAnswers   = 20   // answers of the job after which the bound uses their tokens per byte
)

// funds is what a feed has reserved. Guarded by queue.mu, except caps, which are set before the first record.
type funds struct {
	caps  []batholith.Cap
	price batholith.Price
	ratio float64          // the largest number of input tokens per byte among the job's answers
	seen  int              // answers in ratio
	kept  batholith.Amount // reserved for records that ended since the latest commit
}

// openFunds reads the caps and the price of the job. The error is the store's.
func (f *feed) openFunds(ctx context.Context) error {
	if f.d.o.Caps == nil {
		return nil
	}
	job := f.job
	var err error
	if job.Tags, err = f.d.o.Store.Tags(ctx, job.Account, job.ID); err != nil {
		return err
	}
	f.funds.caps, f.funds.price = f.d.o.Caps(job)
	return nil
}

// bound is the most that a record may take: its input at one token for each byte, or at 5/4 of the most tokens per byte that the job's
// answers had, and its max tokens. The caller holds queue.mu.
func (p *funds) bound(it *item) batholith.Amount {
	in := float64(len(it.input))
	if p.seen >= leastAnswers {
		in = math.Min(in, math.Ceil(in*p.ratio*5/4))
	}
	t := batholith.Tokens{Input: int64(in) + templateTokens, Output: unboundTokens}
	if it.prompt.MaxTokens > 0 {
		t.Output = int64(it.prompt.MaxTokens)
	}
	dear := p.price
	dear.Input = max(dear.Input, dear.Cached)
	return batholith.Amount{Tokens: batholith.Sum(t.Input, t.Output), Micros: dear.Cost(t).Micros()}
}

// counts moves the reservation of a record that has ended to kept. In a job with a cap, an answer without token counts gets the record's bound
// as its counts.
func (f *feed) counts(it *item, kind batholith.OutcomeKind, a *batholith.Answer) {
	f.queue.mu.Lock()
	defer f.queue.mu.Unlock()
	p := &f.funds
	if len(p.caps) == 0 {
		return
	}
	p.kept = p.kept.Add(it.reserved)
	if kind != batholith.OutcomeAnswer || it.attempts == 0 {
		return
	}
	if a.Tokens.Input == 0 && a.Tokens.Output == 0 {
		a.Tokens = batholith.Tokens{Input: int64(len(it.input)) + templateTokens, Output: int64(unboundTokens)}
		if it.prompt.MaxTokens > 0 {
			a.Tokens.Output = int64(it.prompt.MaxTokens)
		}
		return
	}
	p.seen++
	p.ratio = math.Max(p.ratio, float64(a.Tokens.Input)/math.Max(float64(len(it.input)), 1))
}

// fund reserves for as many of items as the caps permit, at least one, and returns them and the others. It waits while others of the job are in flight. A
// reached cap pauses the job; then the error is the cause of take.
func (f *feed) fund(take context.Context, items []*item) (funded, rest []*item, err error) {
	if len(f.funds.caps) == 0 || len(items) == 0 {
		return items, nil, nil
	}
	for {
		f.queue.mu.Lock()
		need := make([]batholith.Amount, len(items))
		var sum batholith.Amount
		for i, it := range items {
			need[i] = f.funds.bound(it)
			sum = sum.Add(need[i])
		}
		base := f.outstanding().Add(f.funds.kept)
		f.queue.mu.Unlock()
		a, err := f.reserve(take, base, sum)
		if err != nil {
			return nil, nil, err
		}
		n := len(items)
		if !a.Granted { // commit the records that have ended: they took less than their reservations
			if base, err = f.settled(take); err != nil {
				return nil, nil, err
			}
			if a, err = f.reserve(take, base, sum); err != nil {
				return nil, nil, err
			}
			if !a.Granted {
				if n, sum = fits(need, a.Left); n > 0 {
					if a, err = f.reserve(take, base, sum); err != nil {
						return nil, nil, err
					}
				}
			}
		}
		if a.Granted && n > 0 {
			failpoint.Here("dispatch.reserved")
			for i := range n {
				items[i].reserved = need[i]
			}
			return items[:n], items[n:], nil
		}
		f.queue.mu.Lock()
		busy, ended := f.outstanding() != (batholith.Amount{}), f.concluded
		uncommitted := f.funds.kept != (batholith.Amount{})
		f.queue.mu.Unlock()
		switch {
		case !busy && uncommitted: // the last record ended meanwhile; its reservation is larger than what it took
			continue
		case !busy && n == 0:
			return nil, nil, f.capped(take, a, need[0])
		}
		if err := f.until(take, f.d.o.Lease, func() bool { return f.concluded > ended }); err != nil {
			return nil, nil, err
		}
	}
}

// fits returns how many needs, from the first on, fit into left, and their sum.
func fits(need []batholith.Amount, left batholith.Amount) (n int, sum batholith.Amount) {
	for _, a := range need {
		if more := sum.Add(a); more.Tokens <= left.Tokens && more.Micros <= left.Micros {
			n, sum = n+1, more
			continue
		}
		break
	}
	return n, sum
}

// outstanding is what is reserved for records that have no outcome. The caller holds queue.mu.
func (f *feed) outstanding() (sum batholith.Amount) {
	for it := range f.unended {
		sum = sum.Add(it.reserved)
	}
	return sum
}

// settled commits the outcomes of records that have ended, and returns the amount that must stay reserved.
func (f *feed) settled(take context.Context) (batholith.Amount, error) {
	f.queue.mu.Lock()
	before := f.funds.kept
	f.queue.mu.Unlock()
	err := f.insist(take, "commit outcomes", func() error { return f.d.o.Sink.Flush(take, f.job.ID) })
	failpoint.Here("dispatch.settled")
	f.queue.mu.Lock()
	defer f.queue.mu.Unlock()
	if err == nil {
		f.funds.kept.Tokens -= before.Tokens
		f.funds.kept.Micros -= before.Micros
	}
	return f.outstanding().Add(f.funds.kept), err
}

// reserve replaces this worker's reservation for the job by base, and adds need if the caps permit it.
func (f *feed) reserve(take context.Context, base, need batholith.Amount) (a batholith.Allowance, err error) {
	err = f.insist(take, "reserve tokens", func() (err error) {
		a, err = f.d.o.Store.Reserve(take, f.d.o.Worker, f.job, base, need, f.funds.caps)
		return err
	})
	return a, err
}

// capped pauses the job, because the next record may take more than a cap leaves.
func (f *feed) capped(take context.Context, a batholith.Allowance, next batholith.Amount) error {
	c := a.Cap
	used := fmt.Sprintf("%d of %d tokens are used or reserved, and the next record may take %d", a.Used.Tokens, c.Tokens, next.Tokens)
	if fits := next.Tokens <= c.Tokens-min(a.Used.Tokens, c.Tokens); c.Tokens == 0 || c.Micros > 0 && fits {
		used = fmt.Sprintf("%s of %s %s are used or reserved, and the next record may cost %s", micros(a.Used.Micros), micros(c.Micros), c.Currency, micros(next.Micros))
	}
	remedy := "raise the budget in the settings, then resume the job"
	if c.Principal == "" {
		remedy = "raise the tag with aws bedrock tag-resource, then resume the job"
	}
	why := fmt.Sprintf("%s is reached: %s; %s", c.Name, used, remedy)
	f.d.o.Log.Info("a job is paused, because a cap is reached", "job", f.job.ID, "cap", c.Name)
	until := a.Next
	err := f.insist(take, "pause the job", func() error { return f.d.o.Store.PauseJobUntil(take, f.job.ID, why, until) })
	if err != nil && !errors.Is(err, batholith.ErrMoved) {
		return err
	}
	failpoint.Here("dispatch.capped")
	if told := f.d.o.Listener.Capped; told != nil && err == nil {
		told(batholith.Capped{Job: f.job.ID, Model: f.job.Model, Cap: c})
	}
	<-take.Done() // the lifecycle sees the pause, and ends take
	return context.Cause(take)
}

// micros writes an amount in 10^-6 of a currency as a decimal number.
func micros(n int64) string {
	whole, part := n/1e6, n%1e6
	m, err := batholith.ParseMoney(fmt.Sprintf("%d.%06d", whole, part))
	if err != nil {
		return fmt.Sprintf("%d.%06d", whole, part)
	}
	return m.String()
}

// putFunded offers records, in as many steps as the caps require.
func (f *feed) putFunded(take context.Context, items []*item) error {
	for len(items) > 0 {
		funded, rest, err := f.fund(take, items)
		if err != nil {
			return err
		}
		q := f.queue
		q.mu.Lock()
		funded = slices.DeleteFunc(funded, func(it *item) bool { return it.over() })
		f.tracks(funded)
		known, answers := f.put(funded)
		q.mu.Unlock()
		for i, it := range known {
			f.repeat(it, answers[i])
		}
		items = rest
	}
	return nil
}

// tracks stores in unended which records have a reservation. The caller holds queue.mu.
func (f *feed) tracks(items []*item) {
	if len(f.funds.caps) == 0 {
		return
	}
	for _, it := range items {
		f.unended[it] = true
	}
}

// unreserve gives up what this worker has reserved for a job that it does not send any more. A job that was sent without a cap has nothing
// reserved; a job without a feed may have a reservation of an earlier process.
func (d *Dispatcher) unreserve(ctx context.Context, f *feed, job string) error {
	if f != nil && len(f.funds.caps) == 0 {
		return nil
	}
	err := d.o.Store.Unreserve(ctx, d.o.Worker, job)
	if blob.Permanent(err) {
		return nil
	}
	return err
}
