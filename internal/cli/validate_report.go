package cli

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/jsonl"
	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/words"
)

// located is a problem at its place.
type located struct {
	File   string `json:"file"` // path or URI
	Line   int64  `json:"line"`
	Column int    `json:"column,omitempty"`
	Reason string `json:"reason"`
}

// validated is what validate found out.
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
	OutputTokens int64 `json:"maximumOutputTokens"`
	Unlimited    int64 `json:"recordsWithoutTokenLimit"`

	Seconds float64                  `json:"seconds"`
	other   batholith.InvocationType // what refused bodies look like
}

// counted is a reason and how often it holds.
type counted struct {
	Reason string `json:"reason"`
	Count  int64  `json:"count"`
}

// bytesPerToken is the usual estimate for text in Latin letters.
const bytesPerToken = 4

// sum adds up what the files have.
func (v *validator) sum(files []batholith.File, sums []jsonl.Surveyed) *validated {
	b := v.bodies
	f := &validated{Model: b.model, Type: b.typ, Files: len(files), Missing: v.ids.missing, InputTokens: b.text.Load() / bytesPerToken,
		OutputTokens: b.most.Load(), Unlimited: b.unlimited.Load(), Reasons: b.frequent(), other: b.otherType()}
	for i, s := range sums {
		f.Bytes += files[i].Bytes
		f.Records += files[i].Records
		f.Errors += s.Problems
		f.Refused += s.Remarks
	}
	f.Warnings = f.Refused
	f.Refusal = cmp.Or(v.limits.RefuseBytes(files), v.limits.RefuseRecords(files))
	if f.Errors > 0 && f.Records == 0 {
		f.Refusal = "" // the lines say it better
	}
	f.OK = f.Errors == 0 && f.Refusal == ""
	return f
}

// frequent are the reasons of refused bodies, the most frequent first.
func (b *bodies) frequent() []counted {
	all := []counted{}
	for _, why := range slices.Sorted(maps.Keys(b.reasons)) {
		all = append(all, counted{why, b.reasons[why]})
	}
	slices.SortStableFunc(all, func(a, b counted) int { return cmp.Compare(b.Count, a.Count) })
	return all
}

// located are problems with the names of their files.
func (v *validator) located(first *jsonl.First) []located {
	all := []located{}
	for _, f := range first.List() {
		all = append(all, located{v.inputs[f.File].name, f.Line, f.Column(), f.Reason})
	}
	return all
}

// closeValidate prints what was found. Whatever concerns a line comes first, and what is the matter on the whole stands at the end.
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
		return hint(fmt.Errorf("%s not a valid record: a job over this input would fail", isOrAre(f.Errors, "line")), "mend what is named, and validate again")
	case f.Refusal != "":
		return hint(fmt.Errorf("a job over this input would fail: %s", f.Refusal), "the quotas are those of limits in the settings: batholith config")
	}
	return nil
}

func isOrAre(n int64, noun string) string {
	if n == 1 {
		return words.Plural(n, noun) + " is"
	}
	return words.Plural(n, noun) + " are"
}

func (a *app) reportValidated(f *validated) error {
	for _, p := range f.ErrorList {
		plain.Fprintf(a.stdout, "%s:%d: %s\n", p.File, p.Line, p.Reason)
	}
	for _, p := range f.WarningList {
		plain.Fprintf(a.stdout, "%s:%d: warning: %s\n", p.File, p.Line, p.Reason)
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		plain.Fprintf(w, "%s\t%s\n", name, plain.Sprintf(format, args...))
	}
	row("records", "%s in %s, %s (read in %s)", words.Number(f.Records), words.Plural(int64(f.Files), "file"), humanize.IBytes(uint64(f.Bytes)), words.Span(max(time.Millisecond, time.Duration(f.Seconds*float64(time.Second)))))
	row("errors", "%s", more(f.Errors, len(f.ErrorList)))
	row("warnings", "%s", more(f.Warnings, len(f.WarningList)))
	if f.Model != "" {
		row("bodies", "%s (%s of %s)", refusedBodies(f.Refused), f.Type, f.Model)
	}
	for _, r := range f.Reasons[:min(len(f.Reasons), reasonCount)] {
		row("", "%s × %s", words.Number(r.Count), words.Shorten(r.Reason, 2*sampleLength))
	}
	row("recordIds", "%s missing, %s repeated", words.Number(f.Missing), words.Number(f.Repeated))
	row("tokens", "about %s in, %s", words.Number(f.InputTokens), f.outputTokens())
	return w.Flush()
}

func (f *validated) outputTokens() string {
	switch {
	case f.Unlimited == f.Records:
		return "no limit named for what comes out"
	case f.Unlimited > 0:
		return fmt.Sprintf("at most %s out, not counting %s without a limit", words.Number(f.OutputTokens), words.Plural(f.Unlimited, "record"))
	}
	return fmt.Sprintf("at most %s out", words.Number(f.OutputTokens))
}

func refusedBodies(n int64) string {
	switch n {
	case 0:
		return "all fit"
	case 1:
		return "1 would end as an error line"
	}
	return fmt.Sprintf("%s would end as error lines", words.Number(n))
}

// more is a count, and how many of it are listed when that is not all.
func more(n int64, listed int) string {
	if n == int64(listed) {
		return words.Number(n)
	}
	return fmt.Sprintf("%s; the first %s are listed", words.Number(n), words.Number(int64(listed)))
}
