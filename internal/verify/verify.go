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

// Options say where the files of a job are.
type Options struct {
	// Open reads a file from its beginning: an input by its URI, an output by its path in Dir, or by its URI without one. A file that is
	// not there is os.ErrNotExist, batholith.ErrNoObject or batholith.ErrNoBucket.
	Open   func(ctx context.Context, uri string) (io.ReadCloser, error)
	Dir    string                  // local folder of the job; "": the job is in S3, and so are all of its files
	Counts *batholith.Counts       // what the server counts for the job; nil: that is not known
	Read   func(read, total int64) // told how many bytes of about how many were read; nil: nobody wants to know
}

// Difference is one thing that is not as the manifest or the input says.
type Difference struct {
	File string `json:"file"`           // URI or path
	Line int64  `json:"line,omitempty"` // from 1; 0: it concerns the file as a whole
	What string `json:"what"`
}

func (d Difference) String() string {
	if d.Line == 0 {
		return fmt.Sprintf("%s: %s", d.File, d.What)
	}
	return fmt.Sprintf("%s:%d: %s", d.File, d.Line, d.What)
}

// ShownDifferences is how many differences a Result names; it counts all.
const ShownDifferences = 20

// Result is what was found out about a job.
type Result struct {
	JobARN      string           `json:"jobArn"`
	Status      batholith.Status `json:"status"`
	OK          bool             `json:"ok"` // nothing differs
	Files       int              `json:"files"`
	Records     int64            `json:"records"`
	Answers     int64            `json:"answers"`
	Errors      int64            `json:"errors"`
	Tokens      bool             `json:"tokensChecked"`    // every answer tells its tokens
	InputSums   bool             `json:"inputSumsChecked"` // the manifest has checksums of the input
	Bytes       int64            `json:"bytes"`            // that were read
	Seconds     float64          `json:"seconds"`
	Count       int64            `json:"differenceCount"`
	Differences []Difference     `json:"differences"` // the first ones
}

// differ notes a difference.
func (r *Result) differ(file string, line int64, format string, args ...any) {
	if r.Count++; len(r.Differences) < ShownDifferences {
		r.Differences = append(r.Differences, Difference{file, line, fmt.Sprintf(format, args...)})
	}
}

// VersionError says that a manifest was written by a later program, and would be misread.
type VersionError struct {
	Version int // of the manifest
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("the manifest is of version %d; this program knows versions up to %d", e.Version, batholith.ManifestVersion)
}

// checker checks one job.
type checker struct {
	o           Options
	found       Result
	done, total int64 // bytes
}

// Job checks the job of a manifest. The error is a [*VersionError], that the manifest is none of ours, or what kept a file from being read.
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
	}
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

// known refuses a manifest that this program would misread.
func known(m batholith.Manifest) error {
	switch n := m.Batholith.Version; {
	case n == 0:
		return errors.New("the manifest is not one of Batholith's: it does not say which files belong to the job")
	case n > batholith.ManifestVersion:
		return &VersionError{n}
	}
	return nil
}

// counters compares what the manifest counts with what the server counts.
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

// sum compares the job's totals.
func (v *checker) sum(m batholith.Manifest, all totals) {
	name := v.output(m, batholith.ManifestName)
	count := func(member string, says, is int64) {
		if says != is {
			v.found.differ(name, 0, "%s is %d; the files have %d", member, says, is)
		}
	}
	if all.skipped {
		return
	}
	count("totalRecordCount", m.TotalRecordCount, all.records)
	count("processedRecordCount", m.ProcessedRecordCount, all.lines)
	v.found.Records, v.found.Answers, v.found.Errors = all.records, all.answers, all.errors
	v.found.Tokens = v.found.Tokens && all.untold+all.unread == 0
	if all.unread > 0 {
		return // what they were nobody knows
	}
	count("successRecordCount", m.SuccessRecordCount, all.answers)
	count("errorRecordCount", m.ErrorRecordCount, all.errors)
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
		count("inputTokenCount", m.InputTokenCount, all.tokens.Input)
		count("outputTokenCount", m.OutputTokenCount, all.tokens.Output)
	}
}

// believe refuses token counts that no job can have: negative ones, more than its requests can have taken, and more from a cache than was
// read at all. They can be wrong even where the answers do not tell their tokens, and then nothing else says so.
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

// output names a file of the job for people and for Options.Open: its path in the job's directory, or its URI.
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

// jobID is the last part of the job's ARN.
func jobID(m batholith.Manifest) string {
	return m.Batholith.JobARN[strings.LastIndexByte(m.Batholith.JobARN, '/')+1:]
}

// read counts bytes that pass by.
func (v *checker) read(n int) {
	v.done += int64(n)
	if v.o.Read != nil {
		v.o.Read(v.done, max(v.done, v.total))
	}
}
