package batholith_test

import (
	"testing"

	"github.com/batholith/batholith"
)

func TestALedgerAccountsForEveryRequestAndEveryOutcome(t *testing.T) {
	var l batholith.Ledger
	for _, o := range []batholith.Outcome{
		{Attempts: 1, Epoch: 1},
		{Attempts: 3, Epoch: 1, Wasted: batholith.Tokens{Input: 5, Output: 2}},
		{Attempts: 0, Epoch: 2, Kind: batholith.OutcomeInvalid},
		{Attempts: 1, Epoch: 1, Kind: batholith.OutcomeRefused},
		{Attempts: 4, Epoch: 3, Kind: batholith.OutcomeExhausted},
		{Attempts: 1, Epoch: 1, Kind: batholith.OutcomeError},
	} {
		l.Note(&o)
	}
	want := batholith.Ledger{Attempts: 10, Repeats: 5, Reissued: 2, Outcomes: batholith.Outcomes{Invalid: 1, Refused: 1, Exhausted: 1},
		Wasted: batholith.Tokens{Input: 5, Output: 2}}
	if l != want {
		t.Errorf("%+v, want %+v", l, want)
	}
	sum := l.Add(l)
	if sum.Attempts != 20 || sum.Repeats != 10 || sum.Reissued != 4 || sum.Outcomes.Sum() != 6 || sum.Wasted.Output != 4 {
		t.Errorf("twice that is %+v", sum)
	}
}

func TestAManifestsOutcomesAddUpToItsLines(t *testing.T) {
	j := batholith.Job{Counts: batholith.Counts{Total: 9, Processed: 8, Succeeded: 3, Errored: 5}}
	m := batholith.NewManifest(j, batholith.Ledger{Attempts: 12, Outcomes: batholith.Outcomes{Invalid: 1, Refused: 1, Exhausted: 1}}, nil)
	if o := m.Batholith.Outcomes; o != (batholith.ManifestOutcomes{Answer: 3, Invalid: 1, Refused: 1, Exhausted: 1, Other: 2}) {
		t.Errorf("%+v", o)
	}
	if m.Batholith.Version != batholith.ManifestVersion {
		t.Errorf("version %d", m.Batholith.Version)
	}
}
