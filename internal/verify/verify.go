package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/words"
)

// Options tell where the files of a job are.
type Options struct {
	// Open opens a file: an input by its URI, an output by its path in Dir, or by its URI if
	// Dir is empty. For a missing file it returns os.ErrNotExist, batholith.ErrNoObject or
	// batholith.ErrNoBucket.
	Open   func(ctx context.Context, uri string) (io.ReadCloser, error)
	Dir    string                  // local folder of the job; "": the job and all its files are in S3
	Counts *batholith.Counts       // the server's counts of the job; nil: unknown
	Read   func(read, total int64) // called with the bytes read so far and the estimated total; nil: no progress
}

// Difference is one mismatch between the files and the manifest or the input.
type Difference struct {
	File string `json:"file"`           // URI or path
	Line int64  `json:"line,omitempty"` // from 1; 0: the whole file
	What string `json:"what"`
}

// String formats the difference as "file:line: what".
func (d Difference) String() string {
	if d.Line == 0 {
		return fmt.Sprintf("%s: %s", d.File, d.What)
	}
	return fmt.Sprintf("%s:%d: %s", d.File, d.Line, d.What)
}

// ShownDifferences is the maximum number of differences listed in a Result. All are counted.
const ShownDifferences = 20

// Result is the result of a check.
type Result struct {
	JobARN      string           `json:"jobArn"`
	Status      batholith.Status `json:"status"`
	OK          bool             `json:"ok"` // no difference was found
	Files       int              `json:"files"`
	Records     int64            `json:"records"`
	Answers     int64            `json:"answers"`
	Errors      int64            `json:"errors"`
	Unprocessed int64            `json:"unprocessed"`      // records that were never tried, of a job that did not end Completed
	Tokens      bool             `json:"tokensChecked"`    // token counts were compared: every answer contains them
	InputSums   bool             `json:"inputSumsChecked"` // the manifest contains checksums of the input
	Bytes       int64            `json:"bytes"`            // bytes read
	Seconds     float64          `json:"seconds"`
	Count       int64            `json:"differenceCount"`
	Differences []Difference     `json:"differences"` // the first ones
}

// differ adds a difference.
func (r *Result) differ(file string, line int64, format string, args ...any) {
	if r.Count++; len(r.Differences) < ShownDifferences {
		r.Differences = append(r.Differences, Difference{file, line, fmt.Sprintf(format, args...)})
	}
}

// VersionError means that a newer program wrote the manifest, and this one might misread it.
type VersionError struct {
	Version int // the manifest's version
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("the manifest is of version %d; this program knows versions up to %d", e.Version, batholith.LinesManifestVersion)
}

// checker is the state of one check.
type checker struct {
	o           Options
	found       Result
	done, total int64 // bytes read, and bytes to read
}

// Job checks the job that manifest m describes. It returns a [*VersionError], an error if m was
// not written by Batholith, or the error that prevented reading a file.
func Job(ctx context.Context, m batholith.Manifest, o Options) (Result, error) {
	began := time.Now()
	v := &checker{o: o, found: Result{Tokens: true, InputSums: true, Differences: []Difference{}}}
	if err := known(m); err != nil {
		return v.found, err
	}
	v.found.JobARN, v.found.Status, v.found.Files = m.Batholith.JobARN, m.Batholith.Status, len(m.Batholith.Files)
	v.counters(m)
	for _, f := range m.Batholith.Files {
		v.total += f.InputBytes + f.Bytes
		if f.Errors != nil {
			v.total += f.Errors.Bytes
		}
	}
	// Files are checked one after the other; the totals are compared at the end.
	all := totals{}
	for n, f := range m.Batholith.Files {
		if err := v.file(ctx, m, n, f, &all); err != nil {
			return v.found, err
		}
	}
	v.sum(m, all)
	v.believe(m)
	v.found.OK, v.found.Bytes, v.found.Seconds = v.found.Count == 0, v.done, time.Since(began).Seconds()
	return v.found, nil
}

// known rejects a manifest that this program would misread.
func known(m batholith.Manifest) error {
	switch n := m.Batholith.Version; {
	case n == 0:
		return errors.New("the manifest is not one of Batholith's: it does not say which files belong to the job")
	case n > batholith.LinesManifestVersion:
		return &VersionError{n}
	}
	return nil
}

// counters compares the manifest's counts with the server's.
func (v *checker) counters(m batholith.Manifest) {
	c := v.o.Counts
	if c == nil {
		return
	}
	if told := (batholith.Counts{Total: m.TotalRecordCount, Processed: m.ProcessedRecordCount, Succeeded: m.SuccessRecordCount, Errored: m.ErrorRecordCount}); told != *c {
		v.found.differ(v.output(m, batholith.ManifestName), 0, "it counts %d, %d, %d, %d records (total, processed, success, error) and the job %d, %d, %d, %d",
			told.Total, told.Processed, told.Succeeded, told.Errored, c.Total, c.Processed, c.Succeeded, c.Errored)
	}
}

// sum compares the manifest's totals with the recomputed ones.
func (v *checker) sum(m batholith.Manifest, all totals) {
	name := v.output(m, batholith.ManifestName)
	count := func(member string, says, is int64) { // reports a difference between manifest and files
		if says != is {
			v.found.differ(name, 0, "%s is %d; the files have %d", member, says, is)
		}
	}
	if all.skipped { // some files were not read, so totals are incomplete
		return
	}
	count("totalRecordCount", m.TotalRecordCount, all.records)
	count("processedRecordCount", m.ProcessedRecordCount, all.lines)
	v.found.Records, v.found.Answers, v.found.Errors, v.found.Unprocessed = all.records, all.answers, all.errors, max(0, all.records-all.lines)
	v.found.Tokens = v.found.Tokens && all.untold+all.unread == 0
	if all.unread > 0 {
		return // without knowing what these lines were, the other totals cannot be compared
	}
	count("successRecordCount", m.SuccessRecordCount, all.answers)
	count("errorRecordCount", m.ErrorRecordCount, all.errors)
	count("withoutInputCount", m.Batholith.WithoutInput, all.withoutInput)
	sourced := int64(0)
	for _, s := range m.Batholith.Sources {
		sourced += s.Records
	}
	if sourced > all.answers {
		v.found.differ(name, 0, "sources has %d answers; the files have %d", sourced, all.answers)
	}
	if o := m.Batholith.Outcomes; m.Batholith.Version > 1 {
		count("outcomes.answer", o.Answer, all.answers)
		count("the sum of the errors in outcomes", o.Invalid+o.Refused+o.Exhausted+o.Other, all.errors)
	}
	if v.found.Tokens {
		v.tokens(m, all.tokens)
	}
}

// tokens compares the sums of tokens. Answers of earlier jobs are counted apart. Answers that another
// record of the job had got before are not counted at all, so with them the sum may be less.
func (v *checker) tokens(m batholith.Manifest, is batholith.Tokens) {
	told, taken := batholith.Tokens{Input: m.InputTokenCount, Output: m.OutputTokenCount}, int64(0)
	for _, from := range m.Batholith.ReusedFrom {
		told, taken = told.Add(batholith.Tokens{Input: from.Input, Output: from.Output}), taken+from.Records
	}
	for _, c := range []struct {
		member   string
		told, is int64
	}{{"inputTokenCount", told.Input, is.Input}, {"outputTokenCount", told.Output, is.Output}} {
		if c.told != c.is && (m.Batholith.Reused == taken || c.told > c.is) {
			v.found.differ(v.output(m, batholith.ManifestName), 0, "%s is %d; the files have %d", c.member, c.told, c.is)
		}
	}
}

// believe reports token counts that are impossible: negative, above MaxRequestTokens per
// request, or more cached tokens than input tokens. This also finds errors if the answers
// contain no token counts.
func (v *checker) believe(m batholith.Manifest) {
	name, d := v.output(m, batholith.ManifestName), m.Batholith
	count := func(member string, n, requests int64) {
		if n < 0 || n/batholith.MaxRequestTokens > max(requests, 0) {
			v.found.differ(name, 0, "%s is %d, which %s cannot have taken", member, n, words.Plural(requests, "request"))
		}
	}
	count("inputTokenCount", m.InputTokenCount, m.SuccessRecordCount)
	count("outputTokenCount", m.OutputTokenCount, m.SuccessRecordCount)
	count("cacheReadInputTokenCount", m.CacheReadTokenCount, m.SuccessRecordCount)
	count("cacheWriteInputTokenCount", m.CacheWriteTokenCount, m.SuccessRecordCount)
	count("wastedTokens.inputTokenCount", d.Wasted.Input, d.Attempts+d.Reissued)
	count("wastedTokens.outputTokenCount", d.Wasted.Output, d.Attempts+d.Reissued)
	if m.CacheReadTokenCount > m.InputTokenCount {
		v.found.differ(name, 0, "cacheReadInputTokenCount is %d, more than inputTokenCount, %d", m.CacheReadTokenCount, m.InputTokenCount)
	}
}

// output returns the name of one of the job's files, for messages and Options.Open: its path in
// Dir, or its URI.
func (v *checker) output(m batholith.Manifest, name string) string {
	if v.o.Dir != "" {
		return filepath.Join(v.o.Dir, filepath.FromSlash(name))
	}
	id := jobID(m)
	for _, f := range m.Batholith.Files {
		if before, _, ok := strings.Cut(f.Output, "/"+id+"/"); ok {
			return before + "/" + id + "/" + name
		}
	}
	return name
}

// jobID returns the last part of the job's ARN.
func jobID(m batholith.Manifest) string {
	return m.Batholith.JobARN[strings.LastIndexByte(m.Batholith.JobARN, '/')+1:]
}

// read reports progress.
func (v *checker) read(n int) {
	v.done += int64(n)
	if v.o.Read != nil {
		v.o.Read(v.done, max(v.done, v.total))
	}
}
