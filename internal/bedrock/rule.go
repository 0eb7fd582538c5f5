package bedrock

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/batholith/batholith"
)

// Profile says which constraints hold.
type Profile string

// The profiles.
const (
	ProfileDefault Profile = "default" // a superset of Bedrock
	ProfileAWS     Profile = "aws"     // what Bedrock publishes
)

// textRule constrains a string: its length in characters, where 0 is no bound, and the pattern that it matches as a whole.
type textRule struct {
	min, max int
	pattern  *regexp.Regexp // nil: any
	source   string         // the pattern as published, for messages
}

// text makes a rule. A pattern may hold alternatives and inner anchors, so it is anchored as a whole.
func text(minimum, maximum int, pattern string) textRule {
	r := textRule{min: minimum, max: maximum, source: pattern}
	if pattern != "" {
		r.pattern = regexp.MustCompile("^(?:" + pattern + ")$")
	}
	return r
}

// broken lists what v breaks, in Bedrock's words.
func (r textRule) broken(v string) []string {
	said := rangeRule{r.min, r.max}.length(utf8.RuneCountInString(v))
	if r.pattern != nil && !r.pattern.MatchString(v) {
		said = append(said, "Member must satisfy regular expression pattern: "+r.source)
	}
	return said
}

// publishedModelID is what Bedrock publishes for modelId.
var publishedModelID = sync.OnceValue(func() textRule {
	var r rules
	r.asPublished()
	return r.modelID
})

// IsModelID tells whether Bedrock's published pattern of modelId takes v, whatever the profile.
func IsModelID(v string) bool { return len(publishedModelID().broken(v)) == 0 }

// rangeRule bounds a number or a count of elements. A maximum of 0 is none.
type rangeRule struct{ min, max int }

func (r rangeRule) length(n int) []string { return r.broken(n, "length") }

func (r rangeRule) broken(n int, of string) []string {
	switch {
	case n < r.min:
		return []string{"Member must have " + of + " greater than or equal to " + strconv.Itoa(r.min)}
	case r.max > 0 && n > r.max:
		return []string{"Member must have " + of + " less than or equal to " + strconv.Itoa(r.max)}
	}
	return nil
}

// enumRule lists the values that a string may have.
type enumRule []string

func (r enumRule) broken(v string) []string {
	if slices.Contains(r, v) {
		return nil
	}
	return []string{"Member must satisfy enum value set: [" + strings.Join(r, ", ") + "]"}
}

// rulesFor are the rules of a profile, with the bounds that the settings give.
func rulesFor(p Profile, l batholith.Limits) *rules {
	r := newRules()
	if p == ProfileAWS {
		r.asPublished()
	}
	if l.MinTimeoutHours > 0 {
		r.timeoutHours.min = l.MinTimeoutHours
	}
	if l.MaxTimeoutHours > 0 {
		r.timeoutHours.max = l.MaxTimeoutHours
	}
	return r
}
