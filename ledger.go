package batholith

// OutcomeKind says how a record came to its outcome. The numbers are those of docs/formats.md and never change.
type OutcomeKind byte

// The kinds of outcome. Every kind but an answer is an error line.
const (
	// OutcomeAnswer: the model answered.
	OutcomeAnswer OutcomeKind = iota
	// OutcomeError: an error that was journalled by a version that knew no more than this.
	OutcomeError
	// OutcomeInvalid: no request could be made of modelInput; the model server was not asked.
	OutcomeInvalid
	// OutcomeRefused: the model server took the request and refused it for good.
	OutcomeRefused
	// OutcomeExhausted: every attempt that the record was due failed.
	OutcomeExhausted

	outcomeKinds
)

// Known tells whether k is a kind that this program knows.
func (k OutcomeKind) Known() bool { return k < outcomeKinds }

// Outcomes counts a job's error lines by their kind. Answers are not counted here: they are Counts.Succeeded. Nor are errors of
// kind OutcomeError: they are what Counts.Errored has beyond this sum.
type Outcomes struct {
	Invalid, Refused, Exhausted int64
}

// Sum is how many error lines are of a kind that is known.
func (o Outcomes) Sum() int64 { return Sum(Sum(o.Invalid, o.Refused), o.Exhausted) }

// Ledger counts what a job's committed outcomes cost, and what became of the records. It is a function of the outcomes, as the
// output is.
type Ledger struct {
	Attempts int64 // requests that were counted, those that failed included
	Repeats  int64 // those among them that were not the first for their record
	// Reissued counts the outcomes of chunks that had been handed out before: after a crash, a shutdown or a lost lease. Which of
	// these records had been sent by then only the dead process knew; no more than these were asked again without being counted.
	Reissued int64
	// Reused counts the answers that were another record's of the job, with the same modelInput: no request was made for them.
	Reused int64
	// Canaries counts requests of our own, which told bad records from a bad server. They are not among the attempts. Those that were sent
	// before a crash about records that ended after it are not counted.
	Canaries int64
	Outcomes Outcomes
	Wasted   Tokens // spent on answers that could not be used, as far as the model server told
}

// Note adds one outcome to the ledger.
func (l *Ledger) Note(o *Outcome) {
	l.Attempts = Sum(l.Attempts, int64(o.Attempts))
	l.Repeats = Sum(l.Repeats, int64(o.Attempts)-1)
	if o.Epoch > 1 {
		l.Reissued++
	}
	l.Canaries = Sum(l.Canaries, int64(o.Canaries))
	l.Wasted = l.Wasted.Add(o.Wasted)
	switch o.Kind {
	case OutcomeAnswer:
		if o.Attempts == 0 {
			l.Reused++
		}
	case OutcomeInvalid:
		l.Outcomes.Invalid++
	case OutcomeRefused:
		l.Outcomes.Refused++
	case OutcomeExhausted:
		l.Outcomes.Exhausted++
	}
}

// Add returns the sum of two ledgers. It saturates: see [Sum].
func (l Ledger) Add(m Ledger) Ledger {
	return Ledger{Attempts: Sum(l.Attempts, m.Attempts), Repeats: Sum(l.Repeats, m.Repeats), Reissued: Sum(l.Reissued, m.Reissued), Reused: Sum(l.Reused, m.Reused), Canaries: Sum(l.Canaries, m.Canaries),
		Outcomes: Outcomes{Sum(l.Outcomes.Invalid, m.Outcomes.Invalid), Sum(l.Outcomes.Refused, m.Outcomes.Refused), Sum(l.Outcomes.Exhausted, m.Outcomes.Exhausted)},
		Wasted:   l.Wasted.Add(m.Wasted)}
}
