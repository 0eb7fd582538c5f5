package openai

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/batholith/batholith"
)

func TestTheNameOfAFileIsInItsKey(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.String().Draw(t, "name")
		key := escape(name)
		if got := unescape(key); got != name {
			t.Fatalf("%q became %q and %q", name, key, got)
		}
		if why := batholith.RefuseURI("s3://b/" + filesFolder + "x/" + key); why != "" {
			t.Fatalf("%q: %s", key, why)
		}
	})
	if got := escape("day 1.jsonl"); got != "day_201.jsonl" {
		t.Error(got)
	}
}

func TestIdsOfFilesSortByTime(t *testing.T) {
	var ids []string
	at := time.UnixMilli(1_700_000_000_000)
	for range 100 {
		at = at.Add(97 * time.Millisecond)
		id := newFileID(at)
		if got, ok := timeOf(id); !ok || !got.Equal(at) {
			t.Fatalf("%s is of %s, %v; want %s", id, got, ok, at)
		}
		ids = append(ids, id)
	}
	if !slices.IsSorted(ids) {
		t.Error("they do not")
	}
	for _, id := range []string{"", "file-", "file-../../x", newFileID(at) + "x", "file-abcdefghij01-out", "file-" + string(make([]byte, idLen))} {
		if _, ok := timeOf(id); ok {
			t.Errorf("%q is an upload's", id)
		}
	}
	for _, n := range []int64{0, 3600, 2_592_000} {
		if job, seconds, ok := jobOfOutput(outputID("abcdefghij01", batholith.ErrorSuffix, n)); !ok || job != "abcdefghij01" || seconds != n {
			t.Error(job, seconds, ok)
		}
	}
	for _, id := range []string{"file-abcdefghij01-out-", "file-abcdefghij01-out-7", "file-abcdefghij01-out-x", "file-abcdefghij01-log", "file-abcdefghij01"} {
		if _, _, ok := jobOfOutput(id); ok {
			t.Errorf("%q is an output's", id)
		}
	}
}

func TestEveryStatusIsAStateOfABatch(t *testing.T) {
	want := map[batholith.Status]string{
		batholith.StatusSubmitted: "validating", batholith.StatusValidating: "validating", batholith.StatusScheduled: "in_progress", batholith.StatusInProgress: "in_progress",
		batholith.StatusCompleted: "completed", batholith.StatusPartiallyCompleted: "expired", batholith.StatusFailed: "failed", batholith.StatusStopping: "cancelling",
		batholith.StatusStopped: "cancelled", batholith.StatusExpired: "expired",
	}
	for status, state := range want {
		if got := stateOf(batholith.Job{Status: status}); got != state {
			t.Errorf("%s is %s; want %s", status, got, state)
		}
	}
	if got := stateOf(batholith.Job{Status: batholith.StatusInProgress, Counts: batholith.Counts{Total: 2, Processed: 2}}); got != "finalizing" {
		t.Errorf("a job of which the publication is left is %s", got)
	}
}

func TestTagsHaveThreeForms(t *testing.T) {
	for _, text := range []string{`[{"key":"team","value":"blue"}]`, `{"team":"blue"}`, "team=blue"} {
		tags, err := tagsOf(text)
		if err != nil || len(tags) != 1 {
			t.Fatalf("%s: %v, %v", text, tags, err)
		}
		if tag := tags[0].(map[string]any); tag["key"] != "team" || tag["value"] != "blue" {
			t.Errorf("%s: %v", text, tag)
		}
	}
	if _, err := tagsOf("[7"); err == nil {
		t.Error("half of a list is taken")
	}
}

// Only objects that a batch names as its outputs are files of the purpose batch_output.
func TestOutputsOfBatchesAreFiles(t *testing.T) {
	const folder = outputFolder + "abcdefghijkl/"
	for _, tt := range []struct {
		o  batholith.Object
		id string // "": it is no file
	}{
		{batholith.Object{Key: folder + "a.jsonl.out", Bytes: 1}, "file-abcdefghijkl-out"},
		{batholith.Object{Key: folder + "a.jsonl.err", Bytes: 1}, "file-abcdefghijkl-err"},
		{batholith.Object{Key: folder + "a.jsonl.out"}, ""}, // stopped before its first answer
		{batholith.Object{Key: folder + "manifest.json.out", Bytes: 1}, ""},
		{batholith.Object{Key: folder + "validation.ndjson.out", Bytes: 1}, ""},
		{batholith.Object{Key: folder + ".batholith/a.jsonl.out", Bytes: 1}, ""},
		{batholith.Object{Key: outputFolder + "short/a.jsonl.out", Bytes: 1}, ""},
		{batholith.Object{Key: outputFolder + "expires-3600/abcdefghijkl/a.jsonl.out", Bytes: 1}, "file-abcdefghijkl-out-3600"},
		{batholith.Object{Key: outputFolder + "expires-36/abcdefghijkl/a.jsonl.out", Bytes: 1}, ""},
	} {
		if f, ok := written(tt.o); ok != (tt.id != "") || f.id != tt.id {
			t.Errorf("%s of %d bytes is the file %q", tt.o.Key, tt.o.Bytes, f.id)
		}
	}
}
