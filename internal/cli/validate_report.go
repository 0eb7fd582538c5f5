package cli

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/jsonl"
	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/words"
)

// located is a problem with its place. Lines and columns count from 1.
type located struct {
	File   string `json:"file"` // path or URI
	Line   int64  `json:"line"`
	Column int    `json:"column,omitempty"`
	Reason string `json:"reason"`
}

// validated is the result of validate, and the output of --json. Token counts are estimates, with bounds for the
// differences between tokenizers.
type validated struct {
	OK      bool                     `json:"ok"` // a job over this input would be accepted
	Model   string                   `json:"modelId,omitempty"`
	Type    batholith.InvocationType `json:"modelInvocationType"`
	Files   int                      `json:"files"`
	Bytes   int64                    `json:"bytes"`
	Records int64                    `json:"records"`

	Errors    int64     `json:"errorCount"` // lines that are no records
	ErrorList []located `json:"errors"`     // the first ones
	Refusal   string    `json:"refusal,omitempty"`

	Warnings    int64     `json:"warningCount"`
	WarningList []located `json:"warnings"`
	Refused     int64     `json:"refusedBodyCount"` // bodies that would end as error lines
	Reasons     []counted `json:"refusedBodies"`    // why, the most frequent first
	Repeated    int64     `json:"repeatedRecordIdCount"`
	Missing     int64     `json:"missingRecordIdCount"`

	InputTokens  int64 `json:"estimatedInputTokens"`
	LeastTokens  int64 `json:"leastInputTokens"` // the number lies between these, whatever the model's tokenizer
	MostTokens   int64 `json:"mostInputTokens"`
	OutputTokens int64 `json:"maximumOutputTokens"`
	Unlimited    int64 `json:"recordsWithoutTokenLimit"`
	Counted      int64 `json:"recordsCountedByTheServer"` // by its tokenizer; the estimate is scaled by them
	Cost         *cost `json:"estimatedCost,omitempty"`   // of a model with a price in the settings

	Seconds float64                  `json:"seconds"`
	other   batholith.InvocationType // what refused bodies look like
}

// cost is what the estimated tokens cost, in decimal numbers of the currency. Estimates have three digits, as those of the tokens have.
type cost struct {
	Input    batholith.Money `json:"input"`
	Least    batholith.Money `json:"leastInput"`
	Most     batholith.Money `json:"mostInput"`
	Output   batholith.Money `json:"maximumOutput"` // of the bodies with a limit
	Currency string          `json:"currency"`
}

// counted corrects the estimate by what the model server's tokenizer counted in some records, for which likely thousandths of a token were
// estimated. If these are all records, the number is exact. The bounds are those of all tokenizers otherwise.
func (f *validated) counted(records, tokens, likely int64) {
	f.Counted = records
	switch {
	case records == 0 || likely == 0:
	case records == f.Records:
		f.InputTokens, f.LeastTokens, f.MostTokens = tokens, tokens, tokens
	default:
		scaled := float64(f.InputTokens) * 1000 * float64(tokens) / float64(likely)
		f.InputTokens = min(max(int64(scaled), f.LeastTokens), f.MostTokens)
	}
}

// costs returns what the tokens of f cost, or nil if the model has no price.
func (f *validated) costs(p batholith.Price) *cost {
	if !p.Known() {
		return nil
	}
	in := func(n int64, how int) batholith.Money {
		if f.LeastTokens < f.MostTokens {
			n = threeDigits(n, how)
		}
		return p.Cost(batholith.Tokens{Input: n})
	}
	return &cost{Input: in(f.InputTokens, half), Least: in(f.LeastTokens, down), Most: in(f.MostTokens, up), Output: p.Cost(batholith.Tokens{Output: f.OutputTokens}), Currency: p.Currency}
}

// String is the cost in words.
func (c *cost) String() string {
	if c.Least.Cmp(c.Most) == 0 {
		return fmt.Sprintf("%s in, at most %s out (%s)", c.Input, c.Output, c.Currency)
	}
	return fmt.Sprintf("about %s in (%s to %s), at most %s out (%s)", c.Input, c.Least, c.Most, c.Output, c.Currency)
}

// counted is a reason and the number of bodies or records that have it.
type counted struct {
	Reason string `json:"reason"`
	Count  int64  `json:"count"`
}

// sum adds up the results of the files, and applies the quotas of the settings to the totals. Tokens were counted
// in thousandths, so that rounding errors of many short records do not add up:
//
//	least = floor(Σ / 1000), most = ceil(Σ / 1000)
func (v *validator) sum(files []batholith.File, sums []jsonl.Surveyed) *validated {
	b := v.bodies
	f := &validated{Model: b.model, Type: b.typ, Files: len(files), Missing: v.ids.missing, InputTokens: b.likely.Load() / 1000,
		LeastTokens: b.least.Load() / 1000, MostTokens: (b.most.Load() + 999) / 1000, OutputTokens: b.out.Load(), Unlimited: b.unlimited.Load(), Reasons: frequent(b.reasons), other: b.otherType()}
	for i, s := range sums {
		f.Bytes += files[i].Bytes
		f.Records += files[i].Records
		f.Errors += s.Problems
		f.Refused += s.Remarks
	}
	if v.strict {
		f.Errors += f.Refused
	} else {
		f.Warnings = f.Refused
	}
	f.Refusal = cmp.Or(v.limits.RefuseBytes(files), v.limits.RefuseRecords(files))
	if f.Errors > 0 && f.Records == 0 {
		f.Refusal = "" // the lines say it better
	}
	f.OK = f.Errors == 0 && f.Refusal == ""
	return f
}

// frequent returns reasons with their counts, the most frequent first, equal counts in alphabetical order.
func frequent(counts map[string]int64) []counted {
	all := []counted{}
	for _, why := range slices.Sorted(maps.Keys(counts)) {
		all = append(all, counted{why, counts[why]})
	}
	slices.SortStableFunc(all, func(a, b counted) int { return cmp.Compare(b.Count, a.Count) })
	return all
}

// located returns the listed problems with the names of their files.
func (v *validator) located(first *jsonl.First) []located {
	all := []located{}
	for _, f := range first.List() {
		all = append(all, located{v.inputs[f.File].name, f.Line, f.Column(), f.Reason})
	}
	return all
}

// closeValidate prints the result and returns an error with a remedy if a job over the input would fail. Problems
// of lines are printed first and the verdict last, where a person looks.
func (a *app) closeValidate(f *validated, asJSON bool) error {
	if asJSON {
		if err := a.printJSON(f); err != nil {
			return err
		}
	} else if err := a.reportValidated(f); err != nil {
		return err
	}
	if f.other != "" {
		a.tell("hint", fmt.Sprintf("bodies look like those of %s: check them as such with --type %s, and create the job with it", f.other, f.other))
	}
	switch {
	case f.Errors > 0:
		return hint(fmt.Errorf("%s not a valid record: a job over this input would fail", isOrAre(f.Errors, "line")), "fix the lines that are listed, and validate again")
	case f.Refusal != "" && f.Records == 0:
		return hint(fmt.Errorf("a job over this input would fail: %s", f.Refusal), `there is no record in it: write one a line, {"recordId": "1", "modelInput": {…}}`)
	case f.Refusal != "":
		return hint(fmt.Errorf("a job over this input would fail: %s", f.Refusal), "the quotas are those of limits in the settings: batholith config")
	}
	return nil
}

// isOrAre returns a count with its noun and verb: "1 line is", "2 lines are".
func isOrAre(n int64, noun string) string {
	if n == 1 {
		return words.Plural(n, noun) + " is"
	}
	return words.Plural(n, noun) + " are"
}

// reportValidated prints the problems with their places, then a table of counts and estimates, all on stdout.
func (a *app) reportValidated(v *validated) error {
	s := a.page()
	for _, p := range v.ErrorList {
		if err := p.write(s, ""); err != nil {
			return err
		}
	}
	for _, p := range onePerFile(v.WarningList, v.Warnings) {
		if err := p.write(s, "warning: "); err != nil {
			return err
		}
	}
	f := facts{screen: s, indent: len("recordIds") + gap}
	row := func(name, format string, args ...any) { f.row(name, cell{text: plain.Sprintf(format, args...)}) }
	row("records", "%s in %s, %s (read in %s)", words.Number(v.Records), words.Plural(int64(v.Files), "file"), humanize.IBytes(uint64(v.Bytes)), words.Span(max(time.Millisecond, time.Duration(v.Seconds*float64(time.Second)))))
	f.row("errors", cell{more(v.Errors, len(v.ErrorList)), some(v.Errors, red)})
	f.row("warnings", cell{more(v.Warnings, len(v.WarningList)), some(v.Warnings, yellow)})
	if v.Model != "" {
		row("bodies", "%s (%s of %s)", refusedBodies(v.Refused), v.Type, v.Model)
	}
	for _, r := range v.Reasons[:min(len(v.Reasons), reasonCount)] {
		count := words.Number(r.Count) + " × "
		row("", "%s", count+s.preview(r.Reason, s.width()-f.indent-len(count), pipedLength))
	}
	row("recordIds", "%s missing, %s repeated", words.Number(v.Missing), words.Number(v.Repeated))
	row("tokens", "%s, %s", v.inputTokens(), v.outputTokens())
	if v.Cost != nil {
		row("cost", "%s", v.Cost)
	}
	return f.err
}

// onePerFile returns the warnings with one entry for all bodies of the other invocation type in a file. The entry counts the other lines. all
// is the number of warnings; if list is shorter, the counts are lower bounds.
func onePerFile(list []located, all int64) (merged []located) {
	first, more := map[string]int{}, map[string]int64{} // by file: index of the first such entry in merged, and the number of the others
	for _, p := range list {
		_, seen := first[p.File]
		switch {
		case !strings.HasPrefix(p.Reason, otherShape):
		case seen:
			more[p.File]++
			continue
		default:
			first[p.File] = len(merged)
		}
		merged = append(merged, p)
	}
	least := ""
	if int64(len(list)) < all {
		least = "at least "
	}
	for file, n := range more {
		merged[first[file]].Reason += fmt.Sprintf("; the same holds for %s%s of this file", least, words.Plural(n, "other line"))
	}
	return merged
}

// write prints a problem as FILE:LINE: REASON, the form of compilers, so that editors find the place. On a
// terminal, further lines are indented.
func (l located) write(s *screen, kind string) error {
	place := plain.Sprintf("%s:%d: ", l.File, l.Line)
	colour := red
	if kind != "" {
		colour = yellow
	}
	before, after := s.paint(colour)
	lines := wrap(s.text(place+kind+l.Reason), max(s.width()-len(problemIndent), 0))
	first, rest := lines[0], ""
	if tail, ok := strings.CutPrefix(first, s.text(place)); ok {
		first, rest = s.text(place), tail
	}
	if err := plain.Draw(s.out, before, first, after, rest, newline); err != nil {
		return err
	}
	for _, line := range lines[1:] {
		if err := plain.Draw(s.out, problemIndent+line, newline); err != nil {
			return err
		}
	}
	return nil
}

// problemIndent stands before the further lines of a problem.
const problemIndent = "  "

// some returns the colour for a count, or none if the count is 0.
func some(n int64, c plain.Control) plain.Control {
	if n == 0 {
		return ""
	}
	return c
}

// inputTokens returns the estimate and its bounds, each with three digits, because more digits would claim a
// precision that it does not have. For the embedded model the tokens are counted exactly, and there are no bounds.
func (f *validated) inputTokens() string {
	if f.LeastTokens == f.MostTokens {
		return words.Number(f.InputTokens) + " in"
	}
	if f.Counted > 0 {
		return fmt.Sprintf("about %s in (the model server's tokenizer counted %s)", words.Number(threeDigits(f.InputTokens, half)), words.Plural(f.Counted, "record"))
	}
	return fmt.Sprintf("about %s in (%s to %s, by the model's tokenizer)", words.Number(threeDigits(f.InputTokens, half)),
		words.Number(threeDigits(f.LeastTokens, down)), words.Number(threeDigits(f.MostTokens, up)))
}

// outputTokens returns the maximum of output tokens, the sum of the limits in the bodies. Bodies without a limit
// are counted apart, because the model alone decides how long their answers are.
func (f *validated) outputTokens() string {
	switch {
	case f.Unlimited == f.Records:
		return "no limit named for what comes out"
	case f.Unlimited > 0:
		return fmt.Sprintf("at most %s out, not counting %s without a limit", words.Number(f.OutputTokens), words.Plural(f.Unlimited, "record"))
	}
	return fmt.Sprintf("at most %s out", words.Number(f.OutputTokens))
}

// How a number is rounded: a bound must not be moved to the inside.
const (
	// The ways to round. A lower bound is rounded down and an upper bound up, so that the interval still holds.
	down = iota
	half
	up
)

// threeDigits rounds n to a multiple of the power of ten that leaves it three digits.
func threeDigits(n int64, how int) int64 {
	unit := int64(1)
	for n/unit >= 1000 {
		unit *= 10
	}
	switch how {
	case half:
		n += unit / 2
	case up:
		n += unit - 1
	}
	return n / unit * unit
}

// refusedBodies returns the number of bodies that would end as error lines, in words.
func refusedBodies(n int64) string {
	switch n {
	case 0:
		return "all fit"
	case 1:
		return "1 would end as an error line"
	}
	return fmt.Sprintf("%s would end as error lines", words.Number(n))
}

// more returns a count, and how many are listed if not all are.
func more(n int64, listed int) string {
	if n == int64(listed) {
		return words.Number(n)
	}
	return fmt.Sprintf("%s; the first %s are listed", words.Number(n), words.Number(int64(listed)))
}
