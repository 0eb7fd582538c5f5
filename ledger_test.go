package batholith_test

import (
	"math"
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
		{Attempts: 4, Epoch: 3, Kind: batholith.OutcomeExhausted, Canaries: 3},
		{Attempts: 1, Epoch: 1, Kind: batholith.OutcomeError},
	} {
		l.Note(&o)
	}
	want := batholith.Ledger{Attempts: 10, Repeats: 5, Reissued: 2, Canaries: 3, Outcomes: batholith.Outcomes{Invalid: 1, Refused: 1, Exhausted: 1},
		Wasted: batholith.Tokens{Input: 5, Output: 2}}
	if l != want {
		t.Errorf("%+v, want %+v", l, want)
	}
	sum := l.Add(l)
	if sum.Attempts != 20 || sum.Repeats != 10 || sum.Reissued != 4 || sum.Canaries != 6 || sum.Outcomes.Sum() != 6 || sum.Wasted.Output != 4 {
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

// Whatever model servers report, no total is negative, and none is less than what was added to it.
func TestSumsNeitherOverflowNorFallBelowZero(t *testing.T) {
	const most = math.MaxInt64
	for _, c := range []struct{ a, b, want int64 }{{2, 3, 5}, {most, 0, most}, {most, 1, most}, {most, most, most}, {most - 1, 1, most},
		{-1, 5, 5}, {-most - 1, -most - 1, 0}, {most, -1, most}} {
		for _, got := range []int64{batholith.Sum(c.a, c.b), batholith.Sum(c.b, c.a)} {
			if got != c.want {
				t.Errorf("%d and %d are %d; want %d", c.a, c.b, got, c.want)
			}
		}
	}
	tokens := batholith.Tokens{Input: most, Output: -5, CacheRead: most, CacheWrite: most}
	o := batholith.Outcome{Attempts: math.MaxInt, Wasted: tokens}
	var l batholith.Ledger
	for range 3 {
		l.Note(&o)
	}
	want := batholith.Tokens{Input: most, CacheRead: most, CacheWrite: most}
	if l.Wasted != want || l.Attempts != most || l.Repeats != most || l.Add(l).Wasted != want || tokens.Add(tokens) != want {
		t.Errorf("the ledger is %+v", l)
	}
	counts := batholith.Counts{Total: most, Processed: most, Succeeded: -1, Errored: most}
	if got, want := counts.Add(counts), (batholith.Counts{Total: most, Processed: most, Errored: most}); got != want {
		t.Errorf("the counts are %+v", got)
	}
	if n := (batholith.Outcomes{Invalid: most, Refused: most, Exhausted: 1}).Sum(); n != most {
		t.Errorf("%d error lines", n)
	}
}
