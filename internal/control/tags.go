package control

import (
	"context"
	"errors"
	"strings"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/bedrock"
)

// maxTags is the maximum number of tags of a job: 200 as in the service model or, with the
// profile "aws", 50 as for every AWS resource.
func (a *API) maxTags() int {
	if a.Profile == bedrock.ProfileAWS {
		return 50
	}
	return 200
}

// TagResource adds tags to a job in any status. An existing key gets the new value.
func (a *API) TagResource(ctx context.Context, in *bedrock.TagResourceInput) (*bedrock.TagResourceOutput, error) {
	tags := tagsFrom(in.Tags)
	account, id, err := a.job(ctx, "bedrock:TagResource", in.ResourceARN, tags...)
	if err != nil {
		return nil, err
	}
	if err := checkTagKeys(tags); err != nil {
		return nil, err
	}
	for _, t := range tags {
		if err := fixedTag(t.Key); err != nil {
			return nil, err
		}
	}
	if err := a.heeded("set the tags", batholith.Needs(tags)); err != nil {
		return nil, err
	}
	err = a.Store.PutTags(ctx, account, id, tags, a.maxTags())
	if errors.Is(err, batholith.ErrTooManyTags) {
		return nil, bedrock.TooManyTags(in.ResourceARN, "The job would have more than %d tags.", a.maxTags())
	}
	if err != nil {
		return nil, refuse("tag job", in.ResourceARN, err)
	}
	return &bedrock.TagResourceOutput{}, nil
}

// UntagResource removes tags from a job.
func (a *API) UntagResource(ctx context.Context, in *bedrock.UntagResourceInput) (*bedrock.UntagResourceOutput, error) {
	account, id, err := a.job(ctx, "bedrock:UntagResource", in.ResourceARN)
	if err != nil {
		return nil, err
	}
	for _, key := range in.TagKeys {
		if err := fixedTag(key); err != nil {
			return nil, err
		}
	}
	if err := a.Store.DeleteTags(ctx, account, id, in.TagKeys); err != nil {
		return nil, refuse("untag job", in.ResourceARN, err)
	}
	return &bedrock.UntagResourceOutput{}, nil
}

// ListTagsForResource returns a job's tags, sorted by key.
func (a *API) ListTagsForResource(ctx context.Context, in *bedrock.ListTagsForResourceInput) (*bedrock.ListTagsForResourceOutput, error) {
	account, id, err := a.job(ctx, "bedrock:ListTagsForResource", in.ResourceARN)
	if err != nil {
		return nil, err
	}
	tags, err := a.Store.Tags(ctx, account, id)
	if err != nil {
		return nil, refuse("list tags of job", in.ResourceARN, err)
	}
	out := &bedrock.ListTagsForResourceOutput{Tags: make([]bedrock.Tag, len(tags))}
	for i, t := range tags {
		out.Tags[i] = bedrock.Tag(t)
	}
	return out, nil
}

// fixedTag rejects a change of the tags that say in which form the lines of a job are, after the job was created.
func fixedTag(key string) error {
	if key == batholith.InputTag || key == batholith.OutputTag || key == batholith.EndpointTag {
		return bedrock.Validation("The tag '%s' counts when the job is created and cannot be changed. Create another job with it.", key)
	}
	return nil
}

// checkTagKeys rejects keys that begin with aws:, which AWS reserves, duplicate keys, and values of
// batholith:reuse and batholith:canary that cannot be read: a job with a misspelt id would pay for all its answers again.
func checkTagKeys(tags []batholith.Tag) error {
	seen := make(map[string]bool, len(tags))
	for _, t := range tags {
		if len(t.Key) >= 4 && strings.EqualFold(t.Key[:4], "aws:") {
			return bedrock.Validation("The tag key '%s' is reserved: keys must not begin with aws:.", t.Key)
		}
		if seen[t.Key] {
			return bedrock.Validation("The tag key '%s' is there twice.", t.Key)
		}
		seen[t.Key] = true
		if t.Key == batholith.SampleTag {
			if _, err := batholith.ParseSample(t.Value); err != nil {
				return bedrock.Validation("The value of the tag '%s' cannot be used: %v.", t.Key, err)
			}
		}
		if t.Key == batholith.EchoTag {
			if _, err := batholith.ParseEcho(t.Value); err != nil {
				return bedrock.Validation("The value of the tag '%s' cannot be used: %v.", t.Key, err)
			}
		}
		if t.Key == batholith.InputTag || t.Key == batholith.OutputTag {
			if _, err := batholith.ParseLines(t.Value); err != nil {
				return bedrock.Validation("The value of the tag '%s' cannot be used: %v.", t.Key, err)
			}
		}
		if t.Key == batholith.EndpointTag {
			if _, err := batholith.ParseEndpoint(t.Value); err != nil {
				return bedrock.Validation("The value of the tag '%s' cannot be used: %v.", t.Key, err)
			}
		}
		if t.Key == batholith.MaxTokensTag {
			if _, err := batholith.ParseMaxTokens(t.Value); err != nil {
				return bedrock.Validation("The value of the tag '%s' cannot be used: %v.", t.Key, err)
			}
		}
		if t.Key == batholith.MaxCostTag {
			if _, err := batholith.ParseMaxCost(t.Value); err != nil {
				return bedrock.Validation("The value of the tag '%s' cannot be used: %v.", t.Key, err)
			}
		}
		if t.Key == batholith.ReuseTag {
			if _, err := batholith.ParseReuse(t.Value); err != nil {
				return bedrock.Validation("The value of the tag '%s' cannot be used: %v.", t.Key, err)
			}
		}
	}
	return nil
}

func tagsFrom(in []bedrock.Tag) []batholith.Tag {
	tags := make([]batholith.Tag, len(in))
	for i, t := range in {
		tags[i] = batholith.Tag(t)
	}
	return tags
}
