package storetest

import (
	"testing"

	"github.com/batholith/batholith"
)

func tagging() []law {
	return []law{
		{"TagsAreReadByKey", tagsByKey},
		{"AKeyHasOneValue", oneValue},
		{"TooManyTagsChangeNothing", tooManyTags},
		{"TagsBelongToTheirAccount", tagsOfAccount},
		{"ATagIsReadOfEveryUnfinishedJobThatHasIt", tagOfAll},
	}
}

func tagged(t *testing.T, p Port) string {
	t.Helper()
	j := newJob(1)
	j.Tags = []batholith.Tag{{Key: "b", Value: "2"}, {Key: "a", Value: "1"}}
	return create(t, p, j).ID
}

func tags(t *testing.T, p Port, id string, want ...batholith.Tag) {
	t.Helper()
	got, err := p.Tags(t.Context(), account, id)
	no(t, err)
	same(t, got, want)
}

func tagsByKey(t *testing.T, p Port) {
	tags(t, p, tagged(t, p), batholith.Tag{Key: "a", Value: "1"}, batholith.Tag{Key: "b", Value: "2"})
	tags(t, p, create(t, p, newJob(2)).ID)
}

func oneValue(t *testing.T, p Port) {
	id := tagged(t, p)
	no(t, p.PutTags(t.Context(), account, id, []batholith.Tag{{Key: "b", Value: ""}, {Key: "A", Value: "3"}}, 3))
	tags(t, p, id, batholith.Tag{Key: "A", Value: "3"}, batholith.Tag{Key: "a", Value: "1"}, batholith.Tag{Key: "b"})
	no(t, p.DeleteTags(t.Context(), account, id, []string{"a", "b", "never"}))
	tags(t, p, id, batholith.Tag{Key: "A", Value: "3"})
}

func tooManyTags(t *testing.T, p Port) {
	id := tagged(t, p)
	err := p.PutTags(t.Context(), account, id, []batholith.Tag{{Key: "a", Value: "x"}, {Key: "c", Value: "3"}}, 2)
	refused(t, err, batholith.ErrTooManyTags)
	tags(t, p, id, batholith.Tag{Key: "a", Value: "1"}, batholith.Tag{Key: "b", Value: "2"})
	no(t, p.PutTags(t.Context(), account, id, []batholith.Tag{{Key: "a", Value: "x"}}, 2))
	refused(t, p.PutTags(t.Context(), account, id, []batholith.Tag{{Key: "a", Value: "y"}}, 1), batholith.ErrTooManyTags) // it has two already
	no(t, p.PutTags(t.Context(), account, id, []batholith.Tag{{Key: "c"}, {Key: "d"}}, 0))                                // no limit
}

func tagsOfAccount(t *testing.T, p Port) {
	id := tagged(t, p)
	const other = "999999999999"
	_, err := p.Tags(t.Context(), other, id)
	refused(t, err, batholith.ErrNotFound)
	refused(t, p.PutTags(t.Context(), other, id, []batholith.Tag{{Key: "a"}}, 9), batholith.ErrNotFound)
	refused(t, p.DeleteTags(t.Context(), other, id, []string{"a"}), batholith.ErrNotFound)
	tags(t, p, id, batholith.Tag{Key: "a", Value: "1"}, batholith.Tag{Key: "b", Value: "2"})
}

func tagOfAll(t *testing.T, p Port) {
	has := func(want map[string]string) {
		t.Helper()
		got, err := p.Tagged(t.Context(), "a")
		no(t, err)
		same(t, got, want)
	}
	has(map[string]string{})
	first := tagged(t, p)
	second, third := create(t, p, newJob(2)).ID, create(t, p, newJob(3)).ID
	no(t, p.PutTags(t.Context(), account, second, []batholith.Tag{{Key: "a", Value: "x"}}, 0))
	no(t, p.PutTags(t.Context(), account, third, []batholith.Tag{{Key: "b", Value: "x"}}, 0))
	has(map[string]string{first: "1", second: "x"})
	no(t, p.PutTags(t.Context(), account, second, []batholith.Tag{{Key: "a", Value: "y"}}, 0))
	no(t, p.DeleteTags(t.Context(), account, first, []string{"a"}))
	has(map[string]string{second: "y"})
	no(t, p.Move(t.Context(), second, batholith.StatusSubmitted, batholith.StatusStopping, "", start()))
	has(map[string]string{second: "y"})
	no(t, p.Move(t.Context(), second, batholith.StatusStopping, batholith.StatusStopped, "", start()))
	has(map[string]string{})
}
