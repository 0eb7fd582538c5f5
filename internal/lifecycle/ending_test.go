package lifecycle

import (
	"testing"

	"github.com/batholith/batholith"
)

func TestTheLastMessageTellsWhatTheCacheSaved(t *testing.T) {
	job := batholith.Job{Counts: batholith.Counts{Total: 4, Processed: 4, Succeeded: 4}, Tokens: batholith.Tokens{Input: 3000, CacheRead: 2000}}
	if got, want := ending(job, batholith.StatusCompleted, nil, nil), "Every record was processed. 2000 of 3000 prompt tokens (66 %) were in the model server's cache."; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	job.Tokens.CacheRead = 0 // the server does not tell
	if got := ending(job, batholith.StatusCompleted, nil, nil); got != allProcessed {
		t.Errorf("%q", got)
	}
}
