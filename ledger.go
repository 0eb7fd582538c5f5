package batholith

// OutcomeKind says how a record ended. The numbers are part of the file formats (docs/formats.md) and never
// change.
type OutcomeKind byte

// The kinds of outcome. All except OutcomeAnswer produce an error line in the output.
const (
	// OutcomeAnswer: the model answered.
	OutcomeAnswer OutcomeKind = iota
	// OutcomeError: an error that an old version journalled without its kind.
	OutcomeError
	// OutcomeInvalid: modelInput could not be translated into a request, so nothing was sent.
	OutcomeInvalid
	// OutcomeRefused: the model server rejected the record, and a retry would not help.
	OutcomeRefused
	// OutcomeExhausted: all allowed attempts failed.
	OutcomeExhausted

	outcomeKinds
)

// Known reports whether this program knows kind k. A newer version may have written a kind that it does not
// know.
func (k OutcomeKind) Known() bool { return k < outcomeKinds }

// Outcomes counts a job's error lines by kind. Answers are counted in Counts.Succeeded. Errors without a kind
// (OutcomeError) are not counted here: their number is Counts.Errored - Sum().
type Outcomes struct {
	Invalid, Refused, Exhausted int64
}

// Sum returns the number of error lines with a known kind.
func (o Outcomes) Sum() int64 { return Sum(Sum(o.Invalid, o.Refused), o.Exhausted) }

// Ledger counts the requests that a job's committed outcomes needed. Like the output, it depends only on the
// outcomes, so it is the same after a crash.
type Ledger struct {
	Attempts int64 // all counted requests, failed ones included
	Repeats  int64 // counted requests that were not the first for their record
	// Reissued counts the outcomes of chunks that had an earlier owner: after a crash, a shutdown or a lost
	// lease. Only the dead process knew which of these records it had already sent. Reissued is therefore an
	// upper bound for requests that were sent twice but counted once.
	Reissued int64
	// Reused counts the answers that were copied from another record of the job with the same modelInput,
	// without a request.
	Reused int64
	// Canaries counts Batholith's own test requests, which show whether a record or the server is at fault.
	// They are not part of Attempts. A canary sent before a crash is not counted if the records that it was for
	// ended after the crash.
	Canaries int64
	Outcomes Outcomes
	Wasted   Tokens // tokens of answers that could not be used, as far as the server reported them
}

// Note adds one outcome.
func (l *Ledger) Note(o *Outcome) {
	l.Attempts = Sum(l.Attempts, int64(o.Attempts))
	l.Repeats = Sum(l.Repeats, int64(o.Attempts)-1)
	if o.Epoch > 1 { // epoch 1 is the chunk's first owner
		l.Reissued++
	}
	l.Canaries = Sum(l.Canaries, int64(o.Canaries))
	l.Wasted = l.Wasted.Add(o.Wasted)
	switch o.Kind {
	case OutcomeAnswer:
		if o.Attempts == 0 { // no request was made: the answer is another record's
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

// Add returns the sum of two ledgers. It does not overflow: see [Sum].
func (l Ledger) Add(m Ledger) Ledger {
	return Ledger{Attempts: Sum(l.Attempts, m.Attempts), Repeats: Sum(l.Repeats, m.Repeats), Reissued: Sum(l.Reissued, m.Reissued), Reused: Sum(l.Reused, m.Reused), Canaries: Sum(l.Canaries, m.Canaries),
		Outcomes: Outcomes{Sum(l.Outcomes.Invalid, m.Outcomes.Invalid), Sum(l.Outcomes.Refused, m.Outcomes.Refused), Sum(l.Outcomes.Exhausted, m.Outcomes.Exhausted)},
		Wasted:   l.Wasted.Add(m.Wasted)}
}
