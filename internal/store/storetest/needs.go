package storetest

import (
	"testing"
	"time"

	"github.com/batholith/batholith"
)

func needing() []law {
	return []law{
		{"AJobThatNeedsWhatTheProgramDoesNotKnowIsLeftAlone", needsUnknown},
		{"AJobNeedsWhatItsTagsAskFor", needsTags},
	}
}

// later is a feature that this program does not know.
const later batholith.Feature = "of-a-later-version"

func needsUnknown(t *testing.T, p Port) {
	j := newJob(1)
	j.Needs = []batholith.Feature{later}
	id := create(t, p, j).ID
	moveTo(t, p, id, batholith.StatusValidating)
	files, chunks := plan(id, 2)
	no(t, p.Plan(t.Context(), id, files, chunks, 20))
	no(t, p.Move(t.Context(), id, batholith.StatusValidating, batholith.StatusScheduled, "", start()))
	no(t, p.Move(t.Context(), id, batholith.StatusScheduled, batholith.StatusInProgress, "", start()))
	alive(t, p, "w1")
	same(t, len(claim(t, p, "w1", id, 2)), 0)
	lost, err := p.ClaimLost(t.Context(), "w1", id, 2)
	no(t, err)
	same(t, len(lost), 0)
	sample, passed, err := p.ClaimSample(t.Context(), "w1", id, 2)
	no(t, err)
	same(t, len(sample), 0)
	same(t, passed, false)
	_, err = p.ClaimPublication(t.Context(), id, "w1", false, time.Now())
	refused(t, err, batholith.ErrHeld)
	epoch, err := p.SealToPublish(t.Context(), id, "", "w1")
	no(t, err)
	same(t, epoch, int64(0))
	_, err = p.ClaimPublication(t.Context(), id, "w1", true, time.Now())
	refused(t, err, batholith.ErrHeld)
	got, err := p.Job(t.Context(), account, id)
	no(t, err)
	same(t, got.Needs, []batholith.Feature{later})
}

func needsTags(t *testing.T, p Port) {
	j := newJob(1)
	j.Tags = []batholith.Tag{{Key: batholith.SampleTag, Value: "5"}, {Key: "team", Value: "a"}}
	j.InputLines = batholith.LinesOpenAI
	made := create(t, p, j)
	same(t, made.Needs, []batholith.Feature{batholith.FeatureSample, batholith.FeatureLines})
	no(t, p.PutTags(t.Context(), account, j.ID, []batholith.Tag{{Key: batholith.MaxTokensTag, Value: "7"}, {Key: "team", Value: "b"}}, 0))
	no(t, p.DeleteTags(t.Context(), account, j.ID, []string{batholith.MaxTokensTag})) // it may have been reserved for
	all, err := p.Unfinished(t.Context())
	no(t, err)
	same(t, all[0].Needs, []batholith.Feature{batholith.FeatureSample, batholith.FeatureCaps, batholith.FeatureLines})
	plain := create(t, p, newJob(2))
	same(t, plain.Needs, []batholith.Feature(nil))
}
