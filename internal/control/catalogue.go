package control

import (
	"context"
	"slices"
	"strings"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/bedrock"
	"github.com/batholith/batholith/internal/dialect"
	"github.com/batholith/batholith/internal/words"
)

// ListFoundationModels returns all configured models. Bedrock has no inference type for batch,
// so all are ON_DEMAND.
func (a *API) ListFoundationModels(ctx context.Context, in *bedrock.ListFoundationModelsInput) (*bedrock.ListFoundationModelsOutput, error) {
	if err := a.mayAccount(ctx, "bedrock:ListFoundationModels", "*", nil); err != nil {
		return nil, err
	}
	out := &bedrock.ListFoundationModelsOutput{ModelSummaries: []bedrock.FoundationModel{}}
	for _, m := range a.Models.Models() {
		d := a.describe(m)
		switch {
		case in.ByProvider != "" && !strings.EqualFold(in.ByProvider, d.ProviderName),
			in.ByOutputModality != "" && !slices.Contains(d.OutputModalities, in.ByOutputModality),
			in.ByInferenceType != "" && !slices.Contains(d.InferenceTypesSupported, in.ByInferenceType),
			in.ByCustomizationType != "": // none is supported
			continue
		}
		out.ModelSummaries = append(out.ModelSummaries, d)
	}
	return out, nil
}

// GetFoundationModel returns one model, found by any of its names.
func (a *API) GetFoundationModel(ctx context.Context, in *bedrock.GetFoundationModelInput) (*bedrock.GetFoundationModelOutput, error) {
	if err := a.mayModel(ctx, "bedrock:GetFoundationModel", in.ModelIdentifier); err != nil {
		return nil, err
	}
	m, ok := a.Models.Lookup(in.ModelIdentifier)
	if !ok {
		return nil, a.noModel(in.ModelIdentifier)
	}
	d := a.describe(m)
	return &bedrock.GetFoundationModelOutput{ModelDetails: &d}, nil
}

// GetFoundationModelAvailability reports every configured model as available: there are no
// terms to agree to.
func (a *API) GetFoundationModelAvailability(ctx context.Context, in *bedrock.GetFoundationModelAvailabilityInput) (*bedrock.GetFoundationModelAvailabilityOutput, error) {
	if err := a.mayModel(ctx, "bedrock:GetFoundationModelAvailability", in.ModelID); err != nil {
		return nil, err
	}
	if _, ok := a.Models.Lookup(in.ModelID); !ok {
		return nil, a.noModel(in.ModelID)
	}
	const available = "AVAILABLE"
	return &bedrock.GetFoundationModelAvailabilityOutput{ModelID: in.ModelID, AuthorizationStatus: "AUTHORIZED",
		AgreementAvailability:   &bedrock.AgreementAvailability{Status: available},
		EntitlementAvailability: available, RegionAvailability: available}, nil
}

func (a *API) noModel(id string) error {
	return bedrock.NotFound("Could not find the model %s; configured are: %s.", id, a.modelsNear(id))
}

// modelsNear names the models that are configured, those that are spelled most like name first.
func (a *API) modelsNear(name string) string {
	var ids []string
	for _, m := range a.Models.Models() {
		ids = append(ids, m.ID)
	}
	return words.Nearest(name, ids)
}

// describe returns a model in Bedrock's format. The begin of its life is the date in its id; other
// dates are not known, and no model can be customized.
func (a *API) describe(m batholith.Model) bedrock.FoundationModel {
	return bedrock.FoundationModel{
		ModelARN: a.modelARN(m), ModelID: m.ID, ModelName: m.Name, ProviderName: m.Provider,
		InputModalities: modalities(m.Inputs), OutputModalities: modalities(m.Outputs),
		InferenceTypesSupported: []bedrock.InferenceType{bedrock.InferenceTypeOnDemand},
		ModelLifecycle:          &bedrock.ModelLifecycle{Status: "ACTIVE", StartOfLifeTime: bedrock.Timestamp{Time: m.Released}},
		CustomizationsSupported: []bedrock.ModelCustomization{}, ResponseStreamingSupported: m.Streams,
	}
}

// modelARN returns the ARN of a model.
func (a *API) modelARN(m batholith.Model) string { return a.foundationModel(m.ID) }

// foundationModel returns the ARN of a foundation model, which has no account (Bedrock:
// foundation model ARN).
func (a *API) foundationModel(id string) string {
	return batholith.ARN{Partition: "aws", Service: "bedrock", Region: a.Region, Resource: "foundation-model/" + id}.String()
}

func modalities(names []string) []bedrock.ModelModality {
	all := make([]bedrock.ModelModality, len(names))
	for i, n := range names {
		all[i] = bedrock.ModelModality(n)
	}
	return all
}

// ListInferenceProfiles returns the models' names with a geography prefix, such as
// us.anthropic….
func (a *API) ListInferenceProfiles(ctx context.Context, in *bedrock.ListInferenceProfilesInput) (*bedrock.ListInferenceProfilesOutput, error) {
	if err := a.mayAccount(ctx, "bedrock:ListInferenceProfiles", "*", nil); err != nil {
		return nil, err
	}
	p := page{of: "inference profiles " + string(in.TypeEquals)}
	// The cursor is an index in the sorted list.
	from, err := p.cursor(in.NextToken)
	if err != nil {
		return nil, err
	}
	all := a.profiles(bedrock.CallerFrom(ctx).Account)
	if in.TypeEquals == bedrock.InferenceProfileTypeApplication {
		all = nil
	}
	all = all[min(int(from), len(all)):]
	out := &bedrock.ListInferenceProfilesOutput{InferenceProfileSummaries: all}
	if limit := in.MaxResults; limit > 0 && limit < len(all) {
		out.InferenceProfileSummaries = all[:limit]
		out.NextToken = p.token(from + int64(limit))
	}
	return out, nil
}

// GetInferenceProfile returns one such name. It also accepts a name that is not listed but that
// a job could use.
func (a *API) GetInferenceProfile(ctx context.Context, in *bedrock.GetInferenceProfileInput) (*bedrock.GetInferenceProfileOutput, error) {
	id := dialect.LastPart(in.InferenceProfileIdentifier)
	if err := a.mayModel(ctx, "bedrock:GetInferenceProfile", id); err != nil {
		return nil, err
	}
	m, ok := a.Models.Lookup(id)
	if _, geographic := dialect.CutGeography(id); !ok || !geographic {
		return nil, bedrock.NotFound("Could not find the inference profile %s.", in.InferenceProfileIdentifier)
	}
	p := a.profile(bedrock.CallerFrom(ctx).Account, id, m)
	return &p, nil
}

// profiles returns all inference profiles, sorted by id, so that pages have a stable order.
func (a *API) profiles(account string) []bedrock.InferenceProfile {
	var all []bedrock.InferenceProfile
	for _, m := range a.Models.Models() {
		for _, id := range append([]string{m.ID}, m.Aliases...) {
			if _, ok := dialect.CutGeography(id); ok {
				all = append(all, a.profile(account, id, m))
			}
		}
	}
	slices.SortFunc(all, func(x, y bedrock.InferenceProfile) int {
		return strings.Compare(x.InferenceProfileID, y.InferenceProfileID)
	})
	return all
}

// maxProfileName is the longest name of an inference profile in bytes (Bedrock: 64 characters).
const maxProfileName = 64

// plainWords returns s with only the characters that names of profiles have: letters and digits,
// and single spaces, dashes and underscores between them.
func plainWords(s string) string {
	var b strings.Builder
	parted := true // the last character is no letter or digit
	for i := range len(s) {
		c := s[i]
		word := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !word && c != '-' && c != '_' {
			c = ' '
		}
		if word || !parted {
			b.WriteByte(c)
		}
		parted = !word
	}
	return strings.TrimRight(b.String(), " -_")
}

// profile describes a name with a geography prefix. All its regions are this server's region.
func (a *API) profile(account, id string, m batholith.Model) bedrock.InferenceProfile {
	geography, _, _ := strings.Cut(id, ".")
	name := plainWords(strings.ToUpper(geography) + " " + m.Name)
	return bedrock.InferenceProfile{
		InferenceProfileName: name[:min(len(name), maxProfileName)],
		Description:          "Sends requests for " + plainWords(m.Name) + " to its model servers",
		CreatedAt:            bedrock.Timestamp{Time: m.Released}, UpdatedAt: bedrock.Timestamp{Time: m.Released},
		InferenceProfileID: id,
		InferenceProfileARN: batholith.ARN{Partition: "aws", Service: "bedrock", Region: a.Region, Account: account,
			Resource: "inference-profile/" + id}.String(),
		Models: []bedrock.InferenceProfileModel{{ModelARN: a.modelARN(m)}},
		Status: "ACTIVE", Type: bedrock.InferenceProfileTypeSystemDefined,
	}
}
