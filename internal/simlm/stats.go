package simlm

import (
	"slices"
	"time"
)

// Stats are exact figures since the start or the last [Server.Reset]. Times are in seconds, and means are over time.
type Stats struct {
	Seconds float64 `json:"seconds"`
	Slots   int     `json:"slots"` // now; -1: no bound
	Running int     `json:"running"`
	Waiting int     `json:"waiting"`
	// Busy is the share of the slots' time in which they were taken, Idle the rest; both are 0 without a bound on slots. The server
	// cannot tell whether its clients had work for a free slot.
	Busy float64 `json:"busy_fraction"`
	Idle float64 `json:"idle_fraction"`
	// Loaded is the same from the first request of a client to the last answer.
	Loaded Loaded `json:"loaded"`
	// Work is the time from the first request of a client to the last answer of more than one token, and the number of such answers: a client
	// that only asks whether the server is there asks for one.
	Work Work `json:"work"`

	RunningMean  float64 `json:"running_mean"`
	RunningMax   int     `json:"running_max"`
	WaitingMean  float64 `json:"waiting_mean"`
	WaitingMax   int     `json:"waiting_max"`
	InFlightMean float64 `json:"in_flight_mean"` // requests of clients, running or waiting
	InFlightMax  int     `json:"in_flight_max"`

	Totals
	Wait   Waits  `json:"queue_wait_s"`
	Others Others `json:"others"`

	Series *Series `json:"series,omitzero"`
}

// Loaded is the time from the first request of a client to the last answer.
type Loaded struct {
	Seconds     float64 `json:"seconds"`
	Busy        float64 `json:"busy_fraction"`
	RunningMean float64 `json:"running_mean"`
	WaitingMean float64 `json:"waiting_mean"`
}

// Work is the time of a number of answers.
type Work struct {
	Seconds  float64 `json:"seconds"`
	Answered int64   `json:"answered"`
}

// Totals are counters: requests of clients only; tokens and steps also of the background.
type Totals struct {
	Requests        int64 `json:"requests"`
	Answered        int64 `json:"answered"`
	Refused         int64 `json:"refused"` // because the queue was full or the quota used up
	Failed          int64 `json:"failed"`  // with a fault
	Cancelled       int64 `json:"cancelled"`
	PromptTokens    int64 `json:"prompt_tokens"`
	CachedTokens    int64 `json:"cached_tokens"`
	PrefilledTokens int64 `json:"prefilled_tokens"`
	GeneratedTokens int64 `json:"generated_tokens"`
	Steps           int64 `json:"steps"`
	Preempted       int64 `json:"preempted"` // times that a request lost its memory, see [Roofline]
}

// minus is the difference of two totals.
func (t Totals) minus(u Totals) Totals {
	return Totals{Requests: t.Requests - u.Requests, Answered: t.Answered - u.Answered, Refused: t.Refused - u.Refused,
		Failed: t.Failed - u.Failed, Cancelled: t.Cancelled - u.Cancelled, PromptTokens: t.PromptTokens - u.PromptTokens,
		CachedTokens: t.CachedTokens - u.CachedTokens, PrefilledTokens: t.PrefilledTokens - u.PrefilledTokens,
		GeneratedTokens: t.GeneratedTokens - u.GeneratedTokens, Steps: t.Steps - u.Steps, Preempted: t.Preempted - u.Preempted}
}

// Waits are quantiles of the time in the queue, over the latest 65,536 requests.
type Waits struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	Max float64 `json:"max"`
}

// Others are the figures of the background.
type Others struct {
	OtherTotals
	Wait Waits `json:"queue_wait_s"`
}

// OtherTotals are counters of the background's requests.
type OtherTotals struct {
	Requests int64 `json:"requests"`
	Answered int64 `json:"answered"`
	Refused  int64 `json:"refused"`
}

// Stats returns the present figures. They include a series if [Options.Series] is set.
func (s *Server) Stats() Stats {
	s.batch.mu.Lock()
	defer s.batch.mu.Unlock()
	a := s.accountNow()
	o, p := a.others, a.otherBase
	st := Stats{Seconds: a.at.Sub(a.began).Seconds(), Slots: a.slots, Running: a.running, Waiting: a.waiting,
		RunningMax: a.most.running, WaitingMax: a.most.waiting, InFlightMax: a.most.flying,
		Totals: a.total.minus(a.base), Wait: a.waits.figures(),
		Others: Others{Wait: a.otherW.figures(),
			OtherTotals: OtherTotals{Requests: o.Requests - p.Requests, Answered: o.Answered - p.Answered, Refused: o.Refused - p.Refused}}}
	st.Busy = ratio(a.sums.busy, a.sums.offered)
	st.Idle = ratio(a.sums.offered-a.sums.busy, a.sums.offered)
	st.RunningMean, st.WaitingMean, st.InFlightMean =
		ratio(a.sums.running, st.Seconds), ratio(a.sums.waiting, st.Seconds), ratio(a.sums.flying, st.Seconds)
	if f, l := a.firstSums, a.lastSums; a.last.After(a.first) {
		d := a.last.Sub(a.first).Seconds()
		st.Loaded = Loaded{Seconds: d, Busy: ratio(l.busy-f.busy, l.offered-f.offered),
			RunningMean: (l.running - f.running) / d, WaitingMean: (l.waiting - f.waiting) / d}
	}
	if a.longs > 0 {
		st.Work = Work{Seconds: a.long.Sub(a.first).Seconds(), Answered: a.longs}
	}
	if a.series.every > 0 {
		m := a.series.moments
		st.Series = &Series{Interval: a.series.every.Seconds(), Running: slices.Clone(m.Running), Waiting: slices.Clone(m.Waiting), Slots: slices.Clone(m.Slots)}
	}
	return st
}

// ratio is a / b, 0 if b is 0.
func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// Reset starts the figures and the schedule of slots again. The counters of /metrics continue.
func (s *Server) Reset() {
	s.batch.mu.Lock()
	defer s.batch.mu.Unlock()
	now := time.Now()
	s.accountNow().reset(now)
	s.batch.proceed(now)
}

// accountNow returns the account up to now, including the counters in quick. The caller holds the batch's mutex.
func (s *Server) accountNow() *account {
	a := &s.batch.account
	a.advance(time.Now())
	n := s.quick.requests.Swap(0)
	a.total.Requests += n
	a.total.Answered += n
	prompt := s.quick.prompt.Swap(0)
	a.total.PromptTokens += prompt
	a.total.PrefilledTokens += prompt
	a.total.GeneratedTokens += s.quick.generated.Swap(0)
	a.total.Failed += s.quick.failed.Swap(0)
	turned := s.quick.turned.Swap(0)
	a.total.Requests += turned
	a.total.Refused += turned
	return a
}
