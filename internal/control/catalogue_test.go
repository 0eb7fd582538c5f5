package control

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/batholith/batholith/internal/bedrock"
)

const haikuARN = "arn:aws:bedrock:us-east-1::foundation-model/" + haiku

func TestModelsAreFiltered(t *testing.T) {
	a := newTester(nil)
	titan := "amazon.titan-embed-text-v2:0"
	for name, c := range map[string]struct {
		in   bedrock.ListFoundationModelsInput
		want []string
	}{
		"all":             {bedrock.ListFoundationModelsInput{}, []string{haiku, titan}},
		"by provider":     {bedrock.ListFoundationModelsInput{ByProvider: "amazon"}, []string{titan}},
		"by output":       {bedrock.ListFoundationModelsInput{ByOutputModality: "TEXT"}, []string{haiku}},
		"on demand":       {bedrock.ListFoundationModelsInput{ByInferenceType: "ON_DEMAND"}, []string{haiku, titan}},
		"provisioned":     {bedrock.ListFoundationModelsInput{ByInferenceType: "PROVISIONED"}, nil},
		"customization":   {bedrock.ListFoundationModelsInput{ByCustomizationType: "FINE_TUNING"}, nil},
		"nobody's models": {bedrock.ListFoundationModelsInput{ByProvider: "Nobody"}, nil},
	} {
		out, err := a.ListFoundationModels(a.ctx, &c.in)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, m := range out.ModelSummaries {
			got = append(got, m.ModelID)
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestAModelIsFoundByAnyName(t *testing.T) {
	a := newTester(nil)
	for _, id := range []string{haiku, haikuARN, "us." + haiku} {
		out, err := a.GetFoundationModel(a.ctx, &bedrock.GetFoundationModelInput{ModelIdentifier: id})
		if err != nil || out.ModelDetails.ModelARN != haikuARN || out.ModelDetails.ModelLifecycle.Status != "ACTIVE" {
			t.Errorf("%s: %v %v", id, out, err)
		}
	}
	_, err := a.GetFoundationModel(a.ctx, &bedrock.GetFoundationModelInput{ModelIdentifier: "x.y"})
	refused(t, err, bedrock.CodeResourceNotFound, "x.y")
	out, err := a.GetFoundationModelAvailability(a.ctx, &bedrock.GetFoundationModelAvailabilityInput{ModelID: haiku})
	if err != nil || out.AuthorizationStatus != "AUTHORIZED" || out.AgreementAvailability.Status != "AVAILABLE" {
		t.Error(out, err)
	}
	_, err = a.GetFoundationModelAvailability(a.ctx, &bedrock.GetFoundationModelAvailabilityInput{ModelID: "x.y"})
	refused(t, err, bedrock.CodeResourceNotFound, "x.y")
}

func TestAliasesWithAGeographyAreInferenceProfiles(t *testing.T) {
	a := newTester(nil)
	var got []string
	in := bedrock.ListInferenceProfilesInput{MaxResults: 1}
	for more := true; more; more = in.NextToken != "" {
		out, err := a.ListInferenceProfiles(a.ctx, &in)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range out.InferenceProfileSummaries {
			got = append(got, p.InferenceProfileID)
		}
		in.NextToken = out.NextToken
	}
	if d := cmp.Diff([]string{"eu." + haiku, "us." + haiku}, got); d != "" {
		t.Error(d)
	}
	none, err := a.ListInferenceProfiles(a.ctx, &bedrock.ListInferenceProfilesInput{TypeEquals: "APPLICATION"})
	if err != nil || len(none.InferenceProfileSummaries) != 0 {
		t.Error(none, err)
	}
	want := bedrock.InferenceProfile{
		InferenceProfileName: "US Claude 3 Haiku", InferenceProfileID: "us." + haiku, Status: "ACTIVE", Type: "SYSTEM_DEFINED",
		Description:         "Sends requests for Claude 3 Haiku to its model servers",
		InferenceProfileARN: "arn:aws:bedrock:us-east-1:000000000000:inference-profile/us." + haiku,
		Models:              []bedrock.InferenceProfileModel{{ModelARN: haikuARN}},
	}
	for _, id := range []string{want.InferenceProfileID, want.InferenceProfileARN} {
		out, err := a.GetInferenceProfile(a.ctx, &bedrock.GetInferenceProfileInput{InferenceProfileIdentifier: id})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(&want, out); d != "" {
			t.Error(d)
		}
	}
	for _, id := range []string{haiku, "us.x.y"} {
		_, err := a.GetInferenceProfile(a.ctx, &bedrock.GetInferenceProfileInput{InferenceProfileIdentifier: id})
		refused(t, err, bedrock.CodeResourceNotFound, id)
	}
}
