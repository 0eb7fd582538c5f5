package batholith_test

import (
	"slices"
	"testing"

	"github.com/batholith/batholith"
)

// The value of the tag is read as it is written, and a word that means nothing is an error: a job with a misspelt id would pay for all answers again.
func TestWhatAJobTakesIsReadOrRefused(t *testing.T) {
	for value, want := range map[string]batholith.Reuse{
		"finished":                     {Finished: true},
		"off":                          {},
		"abcdefghij01":                 {Jobs: []string{"abcdefghij01"}},
		" abcdefghij01  x1x1x1x1x1x1 ": {Jobs: []string{"abcdefghij01", "x1x1x1x1x1x1"}},
		"arn:aws:bedrock:us-east-1:000000000000:model-invocation-job/abcdefghij01 any-model": {Jobs: []string{"abcdefghij01"}, AnyModel: true},
		"abcdefghij01 finished abcdefghij01":                                                 {Jobs: []string{"abcdefghij01"}, Finished: true},
	} {
		got, err := batholith.ParseReuse(value)
		same := func(r batholith.Reuse) bool {
			return r.Finished == want.Finished && r.AnyModel == want.AnyModel && slices.Equal(r.Jobs, want.Jobs)
		}
		if err != nil || !same(got) {
			t.Errorf("%q is read as %+v, %v; want %+v", value, got, err, want)
		}
		if again, err := batholith.ParseReuse(got.String()); err != nil || !same(again) {
			t.Errorf("%q is written as %q, which is read as %+v, %v", value, got, again, err)
		}
	}
	for _, value := range []string{"", "any-model", "off finished", "off any-model", "Finished", "abcdefghij0", "nightly"} {
		if got, err := batholith.ParseReuse(value); err == nil || got.Any() {
			t.Errorf("%q is read as %+v, %v", value, got, err)
		}
	}
	byDefault := batholith.Reuse{Finished: true}
	for value, want := range map[string]bool{"off": false, "nonsense": false, "abcdefghij01": true} {
		if got := batholith.ReuseOf([]batholith.Tag{{Key: batholith.ReuseTag, Value: value}}, byDefault); got.Any() != want {
			t.Errorf("a job with the tag %q takes %+v", value, got)
		}
	}
	if !batholith.ReuseOf(nil, byDefault).Finished {
		t.Error("a job without the tag does not do what the settings say")
	}
}

// An answer stands for another if the same settings gave it, whatever address they name. Without a recipe, its model's name decides.
func TestAnAnswerStandsForAnotherOfItsRecipe(t *testing.T) {
	now := []batholith.Serving{{Model: "qwen", Recipe: "a1"}, {Model: "qwen", Recipe: "b2"}}
	for _, tt := range []struct {
		model, recipe string
		want          bool
	}{{"anything", "a1", true}, {"qwen", "b2", true}, {"qwen", "c3", false}, {"qwen", "", true}, {"other", "", false}, {"", "", false}} {
		if got := batholith.Serves(now, tt.model, tt.recipe); got != tt.want {
			t.Errorf("an answer of %q with the recipe %q may be taken: %v", tt.model, tt.recipe, got)
		}
	}
}
