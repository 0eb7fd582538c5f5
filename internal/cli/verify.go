package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/files"
	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/words"
)

// verifyCommand is verify.
func (a *app) verifyCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify JOB",
		Short: "Check a finished job's output against its input and manifest",
		Long: `Check a finished job: read its manifest, its input and its output, and recompute all that they promise: checksums, bytes,
counts, and that every record has one line, in the order of the input, with its modelInput byte for byte. Tokens are compared
where the answers tell them.

JOB is an id, an ARN or a name on a server, or the directory of a job of batholith run or of submit --download.
The exit code is 0 when everything agrees, and 1 when something differs; the first ` + fmt.Sprint(shownDifferences) + ` differences are named with file and line.` + clientHelp,
		Example: `  batholith verify nightly
  batholith verify batholith-out/8fj2k4l6m8n0 --json`,
		Args: arguments(1, 1, "a JOB: an id, an ARN, a name, or a directory"),
	}
	t := bindTarget(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		v := &verifier{app: a, target: *t, gauge: gauge{live: a.live(), bar: a.newBar()}}
		err := v.run(cmd.Context(), args[0])
		v.gauge.bar.clear()
		if err != nil {
			return err
		}
		return a.closeVerify(v.found, asJSON)
	}
	return cmd
}

// shownDifferences is how many are told; all are counted.
const shownDifferences = 20

// difference is one thing that is not as the manifest or the input says.
type difference struct {
	File string `json:"file"`           // URI or path
	Line int64  `json:"line,omitempty"` // from 1; 0: it concerns the file as a whole
	What string `json:"what"`
}

func (d difference) String() string {
	if d.Line == 0 {
		return fmt.Sprintf("%s: %s", d.File, d.What)
	}
	return fmt.Sprintf("%s:%d: %s", d.File, d.Line, d.What)
}

// verification is what verify found out.
type verification struct {
	JobARN      string           `json:"jobArn"`
	Status      batholith.Status `json:"status"`
	OK          bool             `json:"ok"`
	Files       int              `json:"files"`
	Records     int64            `json:"records"`
	Answers     int64            `json:"answers"`
	Errors      int64            `json:"errors"`
	Tokens      bool             `json:"tokensChecked"`    // every answer tells its tokens
	InputSums   bool             `json:"inputSumsChecked"` // the manifest has checksums of the input
	Bytes       int64            `json:"bytes"`            // that were read
	Seconds     float64          `json:"seconds"`
	Count       int64            `json:"differenceCount"`
	Differences []difference     `json:"differences"` // the first ones
}

// differ notes a difference.
func (v *verification) differ(file string, line int64, format string, args ...any) {
	if v.Count++; len(v.Differences) < shownDifferences {
		v.Differences = append(v.Differences, difference{file, line, fmt.Sprintf(format, args...)})
	}
}

// closeVerify prints what was found.
func (a *app) closeVerify(v verification, asJSON bool) error {
	v.OK = v.Count == 0
	switch {
	case asJSON:
		if err := a.printJSON(v); err != nil {
			return err
		}
	case v.OK:
		plain.Fprintf(a.stdout, "OK: %s in %s, each once and in the order of the input: %s, %s; %s agree (%s read in %s)\n",
			words.Plural(v.Records, "record"), words.Plural(int64(v.Files), "file"), words.Plural(v.Answers, "answer"), words.Plural(v.Errors, "error"), v.agreed(),
			humanize.IBytes(uint64(v.Bytes)), words.Span(time.Duration(v.Seconds*float64(time.Second))))
	default:
		for _, d := range v.Differences {
			plain.Fprintf(a.stdout, "%s\n", d)
		}
	}
	if v.OK {
		return nil
	}
	told := ""
	if n := int64(len(v.Differences)); n < v.Count {
		told = fmt.Sprintf("; the first %d are above", n)
	}
	return hint(fmt.Errorf("%s%s", words.Plural(v.Count, "difference"), told), "what each kind means: docs/operations.md")
}

// agreed names what was compared.
func (v *verification) agreed() string {
	what := "checksums, counts"
	if !v.InputSums {
		what = "checksums of the output, counts"
	}
	if v.Tokens {
		return what + " and tokens"
	}
	return what
}

// verifier checks one job. It reads one file at a time, and holds no more than a line and what it looks ahead.
type verifier struct {
	app    *app
	target target
	gauge  gauge
	reach  *reach // of the server; nil until it is needed
	dir    string // local directory of the job; "": its objects are on the server
	found  verification
}

// run finds the job that the word means and checks it.
func (v *verifier) run(ctx context.Context, word string) error {
	began := time.Now()
	v.found = verification{Tokens: true, InputSums: true, Differences: []difference{}}
	m, err := v.locate(ctx, word)
	if err != nil {
		return err
	}
	if err := known(m); err != nil {
		return err
	}
	v.found.JobARN, v.found.Status, v.found.Files = m.Batholith.JobARN, m.Batholith.Status, len(m.Batholith.Files)
	for _, f := range m.Batholith.Files {
		v.gauge.total += f.InputBytes + f.Bytes
	}
	all := totals{}
	for n, f := range m.Batholith.Files {
		if err := v.file(ctx, m, n, f, &all); err != nil {
			return err
		}
	}
	v.sum(m, all)
	v.believe(m)
	v.found.Bytes, v.found.Seconds = v.gauge.done, time.Since(began).Seconds()
	return nil
}

// known refuses a manifest that this program would misread.
func known(m batholith.Manifest) error {
	switch n := m.Batholith.Version; {
	case n == 0:
		return errors.New("the manifest is not one of Batholith's: it does not say which files belong to the job")
	case n > batholith.ManifestVersion:
		return hint(fmt.Errorf("the manifest is of version %d; this program knows versions up to %d", n, batholith.ManifestVersion), "run a newer batholith")
	}
	return nil
}

// locate reads the manifest of a directory, or of a job on the server, whose counters it compares at once.
func (v *verifier) locate(ctx context.Context, word string) (m batholith.Manifest, err error) {
	if info, err := os.Stat(word); err == nil {
		v.dir = word
		if !info.IsDir() {
			v.dir = filepath.Dir(word)
		}
		path := filepath.Join(v.dir, batholith.ManifestName)
		text, err := readFile(path)
		if errors.Is(err, os.ErrNotExist) {
			return m, hint(fmt.Errorf("there is no %s in %s", batholith.ManifestName, v.dir),
				"name the directory of a finished job, DIR/<job id>; an unfinished one goes on with the same batholith run")
		}
		if err != nil {
			return m, plainPath(err)
		}
		return m, decodeManifest(path, text, &m)
	}
	if v.reach, err = v.app.reachServer(ctx, v.target); err != nil {
		return m, err
	}
	j, err := v.reach.find(ctx, word)
	if err != nil {
		return m, err
	}
	if !j.Status.Terminal() {
		return m, hint(fmt.Errorf("the job is %s: its output still grows", j.Status), "wait for its end with: batholith watch %s", words.Quote(j.id()))
	}
	uri := j.outputPrefix() + batholith.ManifestName
	text, err := v.reach.all(ctx, uri)
	if errors.Is(err, batholith.ErrNoObject) {
		return m, hint(fmt.Errorf("the job ended %s and has no manifest: there is nothing to verify", j.Status), "what became of it: batholith get %s", words.Quote(j.id()))
	}
	if err != nil {
		return m, err
	}
	if err := decodeManifest(uri, text, &m); err != nil {
		return m, err
	}
	if m.TotalRecordCount != j.Total || m.ProcessedRecordCount != j.Processed || m.SuccessRecordCount != j.Succeeded || m.ErrorRecordCount != j.Errored {
		v.found.differ(uri, 0, "it counts %d, %d, %d, %d records (total, processed, success, error) and the job %d, %d, %d, %d",
			m.TotalRecordCount, m.ProcessedRecordCount, m.SuccessRecordCount, m.ErrorRecordCount, j.Total, j.Processed, j.Succeeded, j.Errored)
	}
	return m, nil
}

// readFile reads a whole regular file.
func readFile(path string) ([]byte, error) {
	f, err := files.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

func decodeManifest(name string, text []byte, m *batholith.Manifest) error {
	if err := json.Unmarshal(text, m); err != nil {
		return fmt.Errorf("read the manifest %s: %w", name, err)
	}
	return nil
}

// sum compares the job's totals.
func (v *verifier) sum(m batholith.Manifest, all totals) {
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
func (v *verifier) believe(m batholith.Manifest) {
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

// output names a file of the job for people and for open: its path in the job's directory, or its URI.
func (v *verifier) output(m batholith.Manifest, name string) string {
	if v.dir != "" {
		return filepath.Join(v.dir, filepath.FromSlash(name))
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

// gauge shows on a terminal how much was read.
type gauge struct {
	live        bool
	bar         bar
	done, total int64
	drawn       int64
}

// gaugeStep is how many bytes are worth another drawing.
const gaugeStep = 4 << 20

// Write counts bytes that pass by.
func (g *gauge) Write(p []byte) (int, error) {
	g.done += int64(len(p))
	if g.live && g.done-g.drawn >= gaugeStep {
		g.drawn = g.done
		g.bar.draw(g.done, max(g.done, g.total), fmt.Sprintf("checked %s of %s", humanize.IBytes(uint64(g.done)), humanize.IBytes(uint64(max(g.done, g.total)))))
	}
	return len(p), nil
}

var _ io.Writer = (*gauge)(nil)
