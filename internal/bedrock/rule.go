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

// Profile selects the set of constraints.
type Profile string

// The profiles.
const (
	ProfileDefault Profile = "default" // accepts everything that Bedrock accepts, and more
	ProfileAWS     Profile = "aws"     // accepts exactly what Bedrock publishes
)

// textRule constrains a string: its length in characters (0: unbounded) and a pattern that must
// match the whole string.
type textRule struct {
	min, max int
	pattern  *regexp.Regexp // nil: any
	source   string         // the pattern as published, for messages
}

// text builds a rule. The pattern may contain alternatives and anchors, so it is wrapped in a
// group before it is anchored.
func text(minimum, maximum int, pattern string) textRule {
	r := textRule{min: minimum, max: maximum, source: pattern}
	if pattern != "" {
		r.pattern = regexp.MustCompile("^(?:" + pattern + ")$")
	}
	return r
}

// broken returns the violated constraints of v, in Bedrock's words.
func (r textRule) broken(v string) []string {
	said := rangeRule{r.min, r.max}.length(utf8.RuneCountInString(v))
	if r.pattern != nil && !r.pattern.MatchString(v) {
		said = append(said, "Member must satisfy regular expression pattern: "+r.source)
	}
	return said
}

// publishedModelID is the rule that Bedrock publishes for modelId.
var publishedModelID = sync.OnceValue(func() textRule {
	var r rules
	r.asPublished()
	return r.modelID
})

// IsModelID reports whether v matches Bedrock's published pattern of modelId, in every profile.
func IsModelID(v string) bool { return len(publishedModelID().broken(v)) == 0 }

// rangeRule bounds a number or a length. A maximum of 0 means unbounded.
type rangeRule struct{ min, max int }

// length checks the length n of a string or list.
func (r rangeRule) length(n int) []string { return r.broken(n, "length") }

// broken checks n; of is "value" or "length" in the message.
func (r rangeRule) broken(n int, of string) []string {
	switch {
	case n < r.min:
		return []string{"Member must have " + of + " greater than or equal to " + strconv.Itoa(r.min)}
	case r.max > 0 && n > r.max:
		return []string{"Member must have " + of + " less than or equal to " + strconv.Itoa(r.max)}
	}
	return nil
}

// enumRule lists the allowed values of a string.
type enumRule []string

// broken checks that v is one of the values.
func (r enumRule) broken(v string) []string {
	if slices.Contains(r, v) {
		return nil
	}
	return []string{"Member must satisfy enum value set: [" + strings.Join(r, ", ") + "]"}
}

// rulesFor returns the rules of a profile, with the configured bounds of the timeout.
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
