package authz

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
	"github.com/cedar-policy/cedar-go/x/exp/schema/validate"

	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/words"
)

// Set is the checked policies of one file. It never changes.
type Set struct {
	policies []policy
	known    *vocabulary
}

// policy is one statement that was checked.
type policy struct {
	id       string
	line     int
	spelling spelling
	compiled *cedar.Policy
	text     statement
}

// Parse checks the text of a policy file against the schema. Its error is an [*Error] with all mistakes, sorted by
// their place. A file with one mistake has no effect at all.
func Parse(file, text string) (*Set, error) {
	p := &parsing{set: &Set{known: known()}}
	if why := readable(text); why != "" {
		p.problems = append(p.problems, Problem{What: why, Remedy: "write Cedar policies into it"})
	} else {
		p.parse(text)
		p.check()
		p.name()
	}
	if len(p.problems) > 0 {
		slices.SortStableFunc(p.problems, func(a, b Problem) int {
			return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
		})
		return nil, &Error{File: file, Problems: slices.Compact(p.problems)}
	}
	return p.set, nil
}

// Len returns the number of policies.
func (s *Set) Len() int { return len(s.policies) }

// parsing collects the policies of a file and the problems in them.
type parsing struct {
	set      *Set
	problems []Problem
}

// maxWhat is the longest text of a problem in characters. A message of the type checker may repeat half of a policy.
const maxWhat = 300

// bad adds a problem, shortened to maxWhat characters.
func (p *parsing) bad(line, column int, remedy, what string, args ...any) {
	p.problems = append(p.problems, Problem{line, column, words.Shorten(plain.Line(fmt.Sprintf(what, args...)), maxWhat), remedy})
}

// parse reads the statements one by one, so that a mistake in one does not hide those in the others.
func (p *parsing) parse(text string) {
	for _, s := range statements(text) {
		if len(s.text) > maxPolicy {
			p.bad(s.line, s.column, "split it into several", "the policy is longer than 32 KiB")
			continue
		}
		if s.depth() > maxDepth {
			p.bad(s.line, s.column, "split it into several", "the policy has brackets within brackets, more than %d of them", maxDepth)
			continue
		}
		list, err := cedar.NewPolicyListFromBytes("", []byte(s.text))
		if err != nil {
			line, column, what := parseError(err)
			p.bad(s.line+line-1, columnIn(s, line, column), "", "%s", what)
			continue
		}
		for _, one := range list {
			p.set.policies = append(p.set.policies, policy{line: s.line, compiled: one, text: s})
		}
	}
}

var (
	parsePlace = regexp.MustCompile(`<input>:([0-9]+):([0-9]+):?`)
	parseExact = regexp.MustCompile(`^(?s)exact got .* want (.*)$`)
	parseWords = regexp.MustCompile(`^(?s)parser error: (?:parse error at )?<input>:[0-9]+:[0-9]+:? *("(?:[^"\\]|\\.)*": )?(.*)$`)
)

// parseError returns where in the statement the parser stopped, and why, in words that name no Go types. Lines and
// columns count from 1.
func parseError(err error) (line, column int, what string) {
	line, column, what = 1, 1, err.Error()
	if m := parsePlace.FindStringSubmatch(what); m != nil {
		line, _ = strconv.Atoi(m[1])
		column, _ = strconv.Atoi(m[2])
	}
	near := ""
	if m := parseWords.FindStringSubmatch(what); m != nil {
		near, what = strings.TrimSuffix(m[1], ": "), m[2]
	}
	if word, ok := strings.CutPrefix(what, "unexpected effect: "); ok {
		return 1, 1, fmt.Sprintf("a policy begins with permit or forbid, not with %q", word)
	}
	if m := parseExact.FindStringSubmatch(what); m != nil {
		what = fmt.Sprintf("%q is missing", m[1])
	}
	switch near {
	case "":
	case `""`:
		what = "the policy ends too early: " + what
	default:
		what = "at " + near + ": " + what
	}
	return max(line, 1), max(column, 1), what
}

// columnIn returns the column in the file for a place in a statement: only the statement's first line begins at
// another column.
func columnIn(s statement, line, column int) int {
	if line == 1 {
		return s.column + column - 1
	}
	return column
}

// check validates every policy against the schema.
func (p *parsing) check() {
	trees := make([]*ast.Policy, len(p.set.policies))
	for i, one := range p.set.policies {
		trees[i] = (*ast.Policy)(one.compiled.AST())
	}
	v := &validators{made: map[spelling]*validate.Validator{}}
	v.jobTags, v.requestTags = tagNames(trees)
	for i := range p.set.policies {
		p.checkOne(v, &p.set.policies[i], trees[i])
	}
}

// checkOne finds the first spelling for which a policy is valid. If it is valid for none, the errors for the first
// one are reported.
func (p *parsing) checkOne(v *validators, one *policy, tree *ast.Policy) {
	var first error
	for _, sp := range spellings {
		err := v.of(sp).Policy("", tree)
		if err == nil {
			one.spelling = sp
			return
		}
		if first == nil {
			first = err
		}
	}
	p.tell(v, one.text, tree, first)
}

// each returns the single errors of a joined error.
func each(err error) []error {
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) {
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, each(e)...)
	}
	return all
}

// name gives every policy its id: the annotation @id, or policyN with N counted from 1.
func (p *parsing) name() {
	taken := map[string]int{}
	for i := range p.set.policies {
		one := &p.set.policies[i]
		one.id = string(one.compiled.Annotations()["id"])
		if one.id == "" {
			one.id = fmt.Sprintf("policy%d", i+1)
		}
		if line, ok := taken[one.id]; ok {
			p.bad(one.text.line, one.text.column, "give each policy its own @id", "the id %q is there twice: the policy in line %d has it, too", one.id, line)
		}
		taken[one.id] = one.line
	}
}
