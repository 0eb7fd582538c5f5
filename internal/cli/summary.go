package cli

import (
	"bufio"
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/files"
	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/preview"
	"github.com/batholith/batholith/internal/words"
)

// summary is the result of a local job in the form that people and programs read.
type summary struct {
	result localResult
	took   time.Duration    // of this command
	before batholith.Counts // what was done already when this command began
}

// How much of the answers a summary shows.
const (
	sampleCount = 3
	reasonCount = 3
	// pipedLength is how many characters a prompt or an answer has at most in a pipe; on a terminal it has a line.
	pipedLength = 500
	// mostReasons bounds the different error texts that are counted; messages that hold an id each would fill the memory.
	mostReasons = 1000
)

// write prints the result on stderr: the counts, the speed, the tokens, the first answers and the most frequent
// errors. The paths of the answers are printed elsewhere, on stdout.
func (s summary) write(to *screen) {
	j := s.result.Job
	if j.Counts.Total == 0 {
		to.ended(j.Status, fmt.Sprintf(" after %s, before any record was sent", words.Span(s.took)))
		return
	}
	to.ended(j.Status, fmt.Sprintf(": %s of %s records answered, %s, in %s%s", words.Number(j.Counts.Succeeded), words.Number(j.Counts.Total),
		words.Plural(j.Counts.Errored, "error"), words.Span(s.took), s.speed()))
	f := facts{screen: to, indent: len("manifest") + gap}
	if _, note := j.Told(); note != "" && j.Status == batholith.StatusCompleted && j.Counts.Errored > 0 {
		f.row("note", cell{text: note})
	}
	f.row("model", cell{text: j.ModelID})
	if n := s.result.Taken; n > 0 {
		f.row("taken", cell{text: fmt.Sprintf("%s of %s answers are of earlier runs", words.Number(n), words.Number(j.Counts.Succeeded))})
	}
	if t := j.Tokens; t.Input+t.Output > 0 {
		f.row("tokens", cell{text: fmt.Sprintf("%s in%s, %s out", words.Number(t.Input), cached(t), words.Number(t.Output))})
	}
	f.row("manifest", cell{text: s.result.Manifest})
	writeSamples(to, s.samples())
	writeReasons(to, s.reasons())
}

// cached returns the share of the prompts' tokens that the model server had in its cache, in words, or "" if it
// reports none.
func cached(t batholith.Tokens) string {
	if t.CacheRead == 0 || t.Input == 0 {
		return ""
	}
	return fmt.Sprintf(" (%d %% of them from the model server's cache)", 100*t.CacheRead/t.Input)
}

// speed returns the records per second of this run. Records that an earlier run finished are not counted and named
// separately.
func (s summary) speed() string {
	done := s.result.Job.Counts.Processed - s.before.Processed
	text := ""
	if done > 0 {
		text = fmt.Sprintf(" (%s records/s)", words.Rate(done, s.took))
	}
	if s.result.Resumed {
		text += fmt.Sprintf("; %s were done before", words.Number(s.before.Processed))
	}
	return text
}

// runFacts is the output of run --json. Tokens are sums over all answers, times are seconds of this run.
type runFacts struct {
	ARN       string           `json:"jobArn"`
	Status    batholith.Status `json:"status"`
	Message   string           `json:"message,omitempty"`
	Note      string           `json:"note,omitempty"`
	Model     string           `json:"modelId"`
	Total     int64            `json:"totalRecordCount"`
	Processed int64            `json:"processedRecordCount"`
	Succeeded int64            `json:"successRecordCount"`
	Errored   int64            `json:"errorRecordCount"`
	Input     int64            `json:"inputTokenCount"`
	Output    int64            `json:"outputTokenCount"`
	CacheRead int64            `json:"cacheReadInputTokenCount,omitempty"`
	Seconds   float64          `json:"seconds"`
	Resumed   bool             `json:"resumed"`
	Taken     int64            `json:"takenRecordCount,omitempty"` // answers of earlier runs
	Dir       string           `json:"directory"`
	Outputs   []string         `json:"outputs"`
	Errors    []string         `json:"errorOutputs,omitempty"` // of OpenAI's lines
	Manifest  string           `json:"manifest,omitempty"`
	Invalid   string           `json:"invalidLines,omitempty"` // path of the list
}

// facts returns the summary for programs.
func (s summary) facts() runFacts {
	j := s.result.Job
	message, note := j.Told()
	return runFacts{ARN: j.ARN().String(), Status: j.Status, Message: message, Note: note, Model: j.ModelID,
		Total: j.Counts.Total, Processed: j.Counts.Processed, Succeeded: j.Counts.Succeeded, Errored: j.Counts.Errored,
		Input: j.Tokens.Input, Output: j.Tokens.Output, CacheRead: j.Tokens.CacheRead, Seconds: s.took.Seconds(), Resumed: s.result.Resumed, Taken: s.result.Taken,
		Dir: s.result.Dir, Outputs: s.result.Outputs, Errors: s.result.Errors, Manifest: s.result.Manifest, Invalid: s.result.Invalid}
}

// sample is one answered record, shortened.
type sample struct {
	id, prompt, answer string
}

// samples returns up to sampleCount answers from the beginning of the output files. It reads no further than it
// must.
func (s summary) samples() []sample {
	var all []sample
	for _, path := range s.result.Outputs {
		eachLine(path, func(line []byte) bool {
			if l, err := preview.ParseLine(line); err == nil && l.Output != nil {
				all = append(all, sample{id: l.ID, prompt: inShort(l.Input, preview.Prompt), answer: inShort(l.Output, answerOf)})
			}
			return len(all) < sampleCount
		})
		if len(all) >= sampleCount {
			break
		}
	}
	return all
}

// sampleBytes is the largest body in bytes that is decoded for a sample. A decoded body takes about twenty times
// its size in memory.
const sampleBytes = 1 << 20

// inShort returns the text of a body, or its size in words if it has more than sampleBytes.
func inShort(body []byte, text func([]byte) string) string {
	if len(body) > sampleBytes {
		return fmt.Sprintf("(%s)", humanize.IBytes(uint64(len(body))))
	}
	return text(body)
}

// Samples are indented, and a long id takes no more than this.
const (
	sampleIndent = 2
	idWidth      = 20
)

// writeSamples prints each sample as its id, the prompt and, below it, the answer. On a terminal the prompt and
// the answer have one line each, cut to the width.
func writeSamples(to *screen, all []sample) {
	for _, s := range all {
		id := to.text(s.id)
		if to.columns != nil {
			id = to.cut(id, idWidth)
		}
		left := sampleIndent + widthOf(id) + gap
		arrow := to.text("→ ")
		_ = plain.Draw(to.out, newline)
		if s.prompt == "" { // OpenAI's lines do not repeat it
			_ = plain.Draw(to.out, strings.Repeat(" ", sampleIndent), id, strings.Repeat(" ", gap), arrow, to.preview(s.answer, to.width()-left-gap, pipedLength), newline)
			continue
		}
		_ = plain.Draw(to.out, strings.Repeat(" ", sampleIndent), id, strings.Repeat(" ", gap), to.preview(s.prompt, to.width()-left, pipedLength), newline)
		_ = plain.Draw(to.out, strings.Repeat(" ", left-gap), arrow, to.preview(s.answer, to.width()-left+gap-widthOf(arrow), pipedLength), newline)
	}
}

// reasons returns the reasonCount most frequent error texts. It stops reading when it has seen as many errors as
// the job counted, and reads nothing if there are none.
func (s summary) reasons() []counted {
	left := s.result.Job.Counts.Errored
	counts := map[string]int64{}
	for _, path := range slices.Concat(s.result.Outputs, s.result.Errors) {
		if left <= 0 {
			break
		}
		eachLine(path, func(line []byte) bool {
			// Most lines have no error, and are not decoded.
			if !bytes.Contains(line, []byte(`"errorCode"`)) && !strings.HasSuffix(path, batholith.ErrorSuffix) {
				return true
			}
			if l, err := preview.ParseLine(line); err == nil && l.Error != nil {
				left--
				if text := l.Error.Error(); counts[text] > 0 || len(counts) < mostReasons {
					counts[text]++
				}
			}
			return left > 0
		})
	}
	all := frequent(counts)
	return all[:min(len(all), reasonCount)]
}

// writeReasons prints the error texts with their counts.
func writeReasons(to *screen, all []counted) {
	if len(all) > 0 {
		_ = plain.Draw(to.out, newline)
		_ = plain.Draw(to.out, "why records failed, the most frequent first:", newline)
	}
	before, after := to.paint(red)
	for _, r := range all {
		count := fmt.Sprintf("  %s %s ", words.Number(r.Count), to.text("×"))
		_ = plain.Draw(to.out, count, before, to.preview(r.Reason, to.width()-widthOf(count), pipedLength), after, newline)
	}
}

// eachLine calls visit with each line of a file until visit returns false. Read errors end it silently: a summary
// that cannot be complete is still useful, and verify finds damaged files.
func eachLine(path string, visit func(line []byte) bool) {
	f, err := files.Open(path)
	if err != nil {
		return
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 1<<20)
	for {
		line, err := r.ReadBytes('\n')
		if len(line) > 0 && !visit(line) {
			return
		}
		if err != nil {
			return
		}
	}
}
