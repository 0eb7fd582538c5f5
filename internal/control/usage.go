package control

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/bedrock"
)

// usageDays is how many days GetUsage goes back if the caller does not say.
const usageDays = 30

// GetUsage adds up what records of jobs took. Who may do it in the account sees all of it; who may only list jobs sees its own.
func (a *API) GetUsage(ctx context.Context, in *bedrock.GetUsageInput) (*bedrock.GetUsageOutput, error) {
	who := bedrock.CallerFrom(ctx)
	q := batholith.SpentQuery{Account: who.Account, Principal: in.Principal}
	if refused := a.mayAccount(ctx, "bedrock:GetUsage", "*", nil); refused != nil {
		if a.mayAccount(ctx, "bedrock:ListModelInvocationJobs", "*", nil) != nil || in.Principal != "" && in.Principal != who.Principal {
			return nil, refused
		}
		q.Principal = who.Principal
	}
	for _, by := range strings.FieldsFunc(in.GroupBy, func(r rune) bool { return r == ',' || r == ' ' }) {
		switch by {
		case "day":
			q.ByDay = true
		case "principal":
			q.ByPrincipal = true
		case "model":
			q.ByModel = true
		case "job":
			q.ByJob = true
		default:
			return nil, bedrock.Validation("groupBy has %q; it may have principal, model, day and job, with commas between them", by)
		}
	}
	q.Since = batholith.DayOf(a.Clock()) - usageDays
	if !in.StartTime.IsZero() {
		q.Since = batholith.DayOf(in.StartTime.Time)
	}
	if !in.EndTime.IsZero() {
		q.Until = batholith.DayOf(in.EndTime.Time.Add(24*time.Hour - time.Nanosecond)) // the day of the end counts, unless it ends as that day begins
	}
	all, err := a.Store.Spent(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("add up the usage: %w", err)
	}
	return &bedrock.GetUsageOutput{Usage: a.usageGroups(q, all)}, nil
}

// usageGroups adds up groups that differ in their prices only. Those with another currency, or without a price, stay apart.
func (a *API) usageGroups(q batholith.SpentQuery, all []batholith.Spent) (groups []bedrock.UsageGroup) {
	type total struct {
		batholith.Spent
		cost     batholith.Money
		currency string
	}
	var totals []*total
	for _, s := range all {
		cost, currency, _ := s.Cost()
		var of *total
		for i := len(totals) - 1; i >= 0 && sameGroup(totals[i].Spent, s); i-- { // the groups are sorted
			if totals[i].currency == currency {
				of = totals[i]
			}
		}
		if of == nil {
			totals = append(totals, &total{Spent: s, cost: cost, currency: currency})
			continue
		}
		of.Spent, of.cost = of.Spent.Add(s), of.cost.Add(cost)
	}
	for _, t := range totals {
		g := bedrock.UsageGroup{Principal: t.Principal, ModelID: t.Model, RecordCount: t.Records, ErrorRecordCount: t.Errors, AttemptCount: t.Attempts,
			RepeatCount: t.Repeats, CanaryCount: t.Canaries, InputTokens: t.Tokens.Input, OutputTokens: t.Tokens.Output, CachedTokens: t.Tokens.CacheRead,
			WastedInputTokens: t.Wasted.Input, WastedOutputTokens: t.Wasted.Output, Currency: t.currency}
		if q.ByDay {
			g.Day = time.Unix(t.Day*24*3600, 0).UTC().Format(time.DateOnly)
		}
		if q.ByJob {
			g.JobARN = batholith.JobARN(a.Region, t.Account, t.Job).String()
		}
		if t.currency != "" {
			g.Cost = t.cost.String()
		}
		groups = append(groups, g)
	}
	return groups
}

func sameGroup(a, b batholith.Spent) bool {
	return a.Day == b.Day && a.Principal == b.Principal && a.Model == b.Model && a.Job == b.Job
}

// tellUsage adds what a job took to an answer; nil: nothing yet.
func tellUsage(s *bedrock.JobSummary, u *bedrock.JobUsage) {
	if u == nil {
		return
	}
	if s.Batholith == nil {
		s.Batholith = &bedrock.JobNotes{}
	}
	s.Batholith.Usage = u
}

// jobUsage returns what the records of jobs took so far, by job. After an error the jobs are told without it.
func (a *API) jobUsage(ctx context.Context, account string, jobs ...batholith.Job) map[string]*bedrock.JobUsage {
	usage := map[string]*bedrock.JobUsage{}
	var ids []string
	for _, j := range jobs {
		if j.Status != batholith.StatusSubmitted && j.Status != batholith.StatusValidating && j.Status != batholith.StatusScheduled { // before, no record is stored
			ids = append(ids, j.ID)
		}
	}
	if len(ids) == 0 {
		return usage
	}
	all, err := a.Store.Spent(ctx, batholith.SpentQuery{Account: account, Jobs: ids, ByJob: true})
	if err != nil {
		return usage
	}
	costs := map[string]map[string]batholith.Money{}
	for _, s := range all {
		u := cmp.Or(usage[s.Job], &bedrock.JobUsage{})
		usage[s.Job] = u
		u.InputTokens, u.OutputTokens, u.CachedTokens = batholith.Sum(u.InputTokens, s.Tokens.Input), batholith.Sum(u.OutputTokens, s.Tokens.Output), batholith.Sum(u.CachedTokens, s.Tokens.CacheRead)
		u.WastedInputTokens, u.WastedOutputTokens = batholith.Sum(u.WastedInputTokens, s.Wasted.Input), batholith.Sum(u.WastedOutputTokens, s.Wasted.Output)
		if cost, currency, known := s.Cost(); known {
			if costs[s.Job] == nil {
				costs[s.Job] = map[string]batholith.Money{}
			}
			costs[s.Job][currency] = costs[s.Job][currency].Add(cost)
		}
	}
	for job, sums := range costs {
		if len(sums) == 1 { // a job whose currency was changed has no one cost; GetUsage by job has all
			for currency, cost := range sums {
				usage[job].Cost, usage[job].Currency = cost.String(), currency
			}
		}
	}
	return usage
}
