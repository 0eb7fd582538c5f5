package storetest

import (
	"testing"

	"github.com/batholith/batholith"
)

func using() []law {
	return []law{
		{"UsageIsTheSumOfAllProcesses", usage},
		{"UsageOfOldDaysIsForgotten", oldUsage},
	}
}

// used is what a process counted.
func used(account, principal, process string, day, in, out int64) batholith.Usage {
	return batholith.Usage{Account: account, Principal: principal, Process: process, Day: day, Calls: 1, Tokens: batholith.Tokens{Input: in, Output: out}}
}

func usage(t *testing.T, p Port) {
	beside := func(account, principal string, day int64, process string, want int64) {
		t.Helper()
		got, err := p.UsedBeside(t.Context(), account, principal, day, process)
		no(t, err)
		if got != want {
			t.Errorf("%s of %s on day %d beside %s: %d, want %d", principal, account, day, process, got, want)
		}
	}
	beside("1", "alice", 7, "a", 0)
	first := []batholith.Usage{used("1", "alice", "a", 7, 10, 5), used("1", "bob", "a", 7, 100, 0), used("2", "alice", "a", 7, 1000, 0), used("1", "alice", "a", 8, 7, 0)}
	no(t, p.PutUsage(t.Context(), first))
	no(t, p.PutUsage(t.Context(), first)) // its answer may have been lost
	no(t, p.PutUsage(t.Context(), []batholith.Usage{used("1", "alice", "b", 7, 1, 2)}))
	no(t, p.PutUsage(t.Context(), []batholith.Usage{used("1", "alice", "a", 7, 20, 6)}))
	no(t, p.PutUsage(t.Context(), nil))
	beside("1", "alice", 7, "c", 29)
	beside("1", "alice", 7, "a", 3)
	beside("1", "alice", 7, "b", 26)
	beside("1", "alice", 8, "b", 7)
	beside("2", "alice", 7, "b", 1000)
}

func oldUsage(t *testing.T, p Port) {
	no(t, p.PutUsage(t.Context(), []batholith.Usage{used("1", "a", "x", 5, 1, 0), used("1", "a", "x", 6, 2, 0)}))
	no(t, p.PutUsage(t.Context(), []batholith.Usage{used("1", "b", "x", 7, 1, 0)}))
	for day, want := range map[int64]int64{5: 0, 6: 2} {
		got, err := p.UsedBeside(t.Context(), "1", "a", day, "")
		no(t, err)
		if got != want {
			t.Errorf("day %d: %d, want %d", day, got, want)
		}
	}
}
