package batholith

import (
	"slices"
	"strings"
	"testing"
)

// The names are stored with jobs, so that programs of other versions understand them.
func TestFeaturesKeepTheirNames(t *testing.T) {
	if got, want := FeatureList(Features()), "canary, caps, echo, openai-endpoint, openai-lines, reuse"; got != want {
		t.Errorf("the features are %s; want %s", got, want)
	}
}

// Every tag of ours that changes what a worker does asks for a feature; a tag of a user asks for none.
func TestAJobNeedsWhatItsTagsAskFor(t *testing.T) {
	for key, want := range map[string]Feature{InputTag: FeatureLines, OutputTag: FeatureLines, MaxTokensTag: FeatureCaps, MaxCostTag: FeatureCaps,
		SampleTag: FeatureSample, EchoTag: FeatureEcho, ReuseTag: FeatureReuse, "team": "", "batholith:priority": ""} {
		got := Request{Tags: []Tag{{Key: "a", Value: "b"}, {Key: key, Value: "x"}}}.Needs()
		if want == "" && got != nil || want != "" && !slices.Equal(got, []Feature{want}) {
			t.Errorf("the tag %s asks for %v; want %q", key, got, want)
		}
	}
	r := Request{InputLines: LinesOpenAI, OutputLines: LinesOpenAI, Tags: []Tag{{Key: MaxTokensTag}, {Key: InputTag}, {Key: MaxCostTag}}}
	if got := r.Needs(); !slices.Equal(got, []Feature{FeatureCaps, FeatureLines}) {
		t.Errorf("it needs %v", got)
	}
	if got := Lacks(Features(), []Feature{FeatureCaps, "of-a-later-version"}); !strings.Contains(FeatureList(got), "of-a-later-version") || len(got) != 1 {
		t.Errorf("this program lacks %v", got)
	}
}
