package batholith

import (
	"fmt"
	"slices"
	"strings"
)

// ReuseTag is the tag of a job that says which finished answers of earlier jobs it takes. Its value consists of
// words with spaces between them: see [ParseReuse].
const ReuseTag = "batholith:reuse"

// The words of [ReuseTag] beside ids of jobs.
const (
	ReuseFinished = "finished"  // of the ended jobs of the same owner and model, the newest first
	ReuseOff      = "off"       // of no job, whatever the settings say
	ReuseAnyModel = "any-model" // also answers that another model, or other settings of the model, gave
)

// Reuse says which finished answers of earlier jobs a job takes instead of asking the model. The zero value is
// none.
type Reuse struct {
	Finished bool     // those of ended jobs of the same owner and model
	Jobs     []string // ids of the jobs that are named
	AnyModel bool     // whatever served model and settings gave them
}

// Any reports whether answers of earlier jobs are taken at all.
func (r Reuse) Any() bool { return r.Finished || len(r.Jobs) > 0 }

// String returns the value of [ReuseTag] with this meaning.
func (r Reuse) String() string {
	words := slices.Clone(r.Jobs)
	if r.Finished {
		words = append(words, ReuseFinished)
	}
	if !r.Any() {
		words = append(words, ReuseOff)
	}
	if r.AnyModel {
		words = append(words, ReuseAnyModel)
	}
	return strings.Join(words, " ")
}

// ParseReuse reads the value of [ReuseTag]. A job is named by its id or its ARN. The error says which word is
// wrong, and what is possible.
func ParseReuse(value string) (r Reuse, err error) {
	off := false
	for _, word := range strings.Fields(value) {
		switch id := word[strings.LastIndexByte(word, '/')+1:]; {
		case word == ReuseFinished:
			r.Finished = true
		case word == ReuseOff:
			off = true
		case word == ReuseAnyModel:
			r.AnyModel = true
		case !ValidJobID(id):
			return Reuse{}, fmt.Errorf("%q is neither %s, %s, %s nor the id of a job", word, ReuseFinished, ReuseAnyModel, ReuseOff)
		case !slices.Contains(r.Jobs, id):
			r.Jobs = append(r.Jobs, id)
		}
	}
	switch {
	case off && (r.Any() || r.AnyModel):
		return Reuse{}, fmt.Errorf("%s stands alone", ReuseOff)
	case !off && !r.Any():
		return Reuse{}, fmt.Errorf("it names no job: write ids of jobs, or %s", ReuseFinished)
	}
	return r, nil
}

// ReuseOf returns what a job takes by its tags, or what byDefault says if it has no [ReuseTag]. A value that
// cannot be read, which Create refuses, is none.
func ReuseOf(tags []Tag, byDefault Reuse) Reuse {
	for _, t := range tags {
		if t.Key == ReuseTag {
			r, _ := ParseReuse(t.Value)
			return r
		}
	}
	return byDefault
}

// Serving is what decides an answer beside the record and the job's model id: the name of the model at its server,
// and the recipe, a hash of the settings that shape requests and answers. Answers of different recipes are not
// exchangeable.
type Serving struct {
	Model  string
	Recipe string
}

// Serves reports whether an answer from a source may stand for an answer of one of these servings. A source that
// an older version recorded has no recipe; then the model's name decides.
func Serves(now []Serving, model, recipe string) bool {
	return slices.ContainsFunc(now, func(s Serving) bool {
		if recipe == "" {
			return model != "" && s.Model == model
		}
		return s.Recipe == recipe
	})
}
