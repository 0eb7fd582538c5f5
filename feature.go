package batholith

import (
	"slices"
	"strings"
)

// Feature names something that a job asks for and that an older program would ignore. A job is stored with the features that it needs; a
// worker leaves a job alone that needs one it does not know. The names are stored, so none may change.
type Feature string

// The features of this program.
const (
	FeatureLines  Feature = "openai-lines" // input or output in OpenAI's lines
	FeatureCaps   Feature = "caps"         // the tags batholith:max-tokens and batholith:max-cost
	FeatureSample Feature = "canary"       // the tag batholith:canary
	FeatureEcho   Feature = "echo"         // the tag batholith:echo
	FeatureReuse  Feature = "reuse"        // the tag batholith:reuse
	// FeatureEndpoint is the tag batholith:endpoint: an endpoint of OpenAI's lines other than chat completions.
	FeatureEndpoint Feature = "openai-endpoint"
)

// tagFeatures are the tags that ask for a feature.
var tagFeatures = map[string]Feature{InputTag: FeatureLines, OutputTag: FeatureLines, MaxTokensTag: FeatureCaps, MaxCostTag: FeatureCaps,
	SampleTag: FeatureSample, EndpointTag: FeatureEndpoint, EchoTag: FeatureEcho, ReuseTag: FeatureReuse}

// Features returns the features that this program knows, sorted.
func Features() []Feature {
	all := []Feature{FeatureLines, FeatureCaps, FeatureSample, FeatureEcho, FeatureReuse, FeatureEndpoint}
	for _, f := range laterFeatures {
		all = append(all, f)
	}
	slices.Sort(all)
	return all
}

// Needs returns the features that a job with these tags needs, sorted.
func Needs(tags []Tag) (needs []Feature) {
	for _, t := range tags {
		for _, known := range []map[string]Feature{tagFeatures, laterFeatures} {
			if f, ok := known[t.Key]; ok {
				needs = append(needs, f)
			}
		}
	}
	return JoinFeatures(needs)
}

// Needs returns the features that a job of the request needs, sorted.
func (r Request) Needs() []Feature {
	needs := Needs(r.Tags)
	if r.Type.Endpoint() != "" && r.Type != ChatCompletions {
		needs = append(needs, FeatureEndpoint)
	}
	if r.InputLines != LinesBedrock || r.OutputLines != LinesBedrock {
		needs = append(needs, FeatureLines)
	}
	return JoinFeatures(needs)
}

// JoinFeatures returns the features of all lists, sorted and without duplicates. It returns nil if there are none.
func JoinFeatures(lists ...[]Feature) []Feature {
	all := slices.Concat(lists...)
	slices.Sort(all)
	if all = slices.Compact(all); len(all) == 0 {
		return nil
	}
	return all
}

// Lacks returns the features in needs that are not in known.
func Lacks(known, needs []Feature) (lacking []Feature) {
	for _, f := range needs {
		if !slices.Contains(known, f) {
			lacking = append(lacking, f)
		}
	}
	return lacking
}

// FeatureList returns the names of features, separated by commas.
func FeatureList(all []Feature) string {
	names := make([]string, len(all))
	for i, f := range all {
		names[i] = string(f)
	}
	return strings.Join(names, ", ")
}
