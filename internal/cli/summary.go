package cli

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/files"
	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/words"
)

// summary is what is worth reading when a local job has ended.
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

// write tells people what became of the job: the counts first, then a taste of the answers. Where these are is data, and goes to stdout.
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
	if t := j.Tokens; t.Input+t.Output > 0 {
		f.row("tokens", cell{text: fmt.Sprintf("%s in%s, %s out", words.Number(t.Input), cached(t), words.Number(t.Output))})
	}
	f.row("manifest", cell{text: s.result.Manifest})
	writeSamples(to, s.samples())
	writeReasons(to, s.reasons())
}

// cached tells how much of the prompts the model server had in its cache, where it says so.
func cached(t batholith.Tokens) string {
	if t.CacheRead == 0 || t.Input == 0 {
		return ""
	}
	return fmt.Sprintf(" (%d %% of them from the model server's cache)", 100*t.CacheRead/t.Input)
}

// speed is of the records that this command did, not of those that an earlier one had done.
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

// runFacts is the summary for programs.
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
	Dir       string           `json:"directory"`
	Outputs   []string         `json:"outputs"`
	Manifest  string           `json:"manifest,omitempty"`
	Invalid   string           `json:"invalidLines,omitempty"` // path of the list
}

// facts tells programs the same.
func (s summary) facts() runFacts {
	j := s.result.Job
	message, note := j.Told()
	return runFacts{ARN: j.ARN().String(), Status: j.Status, Message: message, Note: note, Model: j.ModelID,
		Total: j.Counts.Total, Processed: j.Counts.Processed, Succeeded: j.Counts.Succeeded, Errored: j.Counts.Errored,
		Input: j.Tokens.Input, Output: j.Tokens.Output, CacheRead: j.Tokens.CacheRead, Seconds: s.took.Seconds(), Resumed: s.result.Resumed,
		Dir: s.result.Dir, Outputs: s.result.Outputs, Manifest: s.result.Manifest, Invalid: s.result.Invalid}
}

// answerLine is a line of an output file.
type answerLine struct {
	RecordID    string                 `json:"recordId"`
	ModelInput  json.RawMessage        `json:"modelInput"`
	ModelOutput json.RawMessage        `json:"modelOutput"`
	Error       *batholith.RecordError `json:"error"`
}

// sample is one record in short.
type sample struct {
	id, prompt, answer string
}

// samples reads the first answers of the first files.
func (s summary) samples() []sample {
	var all []sample
	for _, path := range s.result.Outputs {
		eachLine(path, func(line []byte) bool {
			var l answerLine
			if json.Unmarshal(line, &l) == nil && l.ModelOutput != nil {
				all = append(all, sample{id: l.RecordID, prompt: inShort(l.ModelInput, promptOf), answer: inShort(l.ModelOutput, answerOf)})
			}
			return len(all) < sampleCount
		})
		if len(all) >= sampleCount {
			break
		}
	}
	return all
}

// sampleBytes is the longest body that is decoded to be shown; a decoded one takes twenty times its memory.
const sampleBytes = 1 << 20

// inShort is the text of a body, or its size where it is long.
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

// writeSamples prints each record as its id, the prompt, and the answer below the prompt. On a terminal each takes one line.
func writeSamples(to *screen, all []sample) {
	for _, s := range all {
		id := to.text(s.id)
		if to.columns != nil {
			id = to.cut(id, idWidth)
		}
		left := sampleIndent + widthOf(id) + gap
		arrow := to.text("→ ")
		_ = plain.Draw(to.out, newline)
		_ = plain.Draw(to.out, strings.Repeat(" ", sampleIndent), id, strings.Repeat(" ", gap), to.preview(s.prompt, to.width()-left, pipedLength), newline)
		_ = plain.Draw(to.out, strings.Repeat(" ", left-gap), arrow, to.preview(s.answer, to.width()-left+gap-widthOf(arrow), pipedLength), newline)
	}
}

// reason is why records failed, and how many did.
type reason struct {
	text  string
	count int64
}

// reasons counts the error lines by their text, the most frequent first. It reads no file when no record failed.
func (s summary) reasons() []reason {
	left := s.result.Job.Counts.Errored
	counts := map[string]int64{}
	for _, path := range s.result.Outputs {
		if left <= 0 {
			break
		}
		eachLine(path, func(line []byte) bool {
			if !bytes.Contains(line, []byte(`"errorCode"`)) {
				return true
			}
			var l answerLine
			if json.Unmarshal(line, &l) == nil && l.Error != nil {
				left--
				if text := l.Error.Error(); counts[text] > 0 || len(counts) < mostReasons {
					counts[text]++
				}
			}
			return left > 0
		})
	}
	var all []reason
	for _, text := range slices.Sorted(maps.Keys(counts)) {
		all = append(all, reason{text, counts[text]})
	}
	slices.SortStableFunc(all, func(a, b reason) int { return cmp.Compare(b.count, a.count) })
	return all[:min(len(all), reasonCount)]
}

// writeReasons prints why records failed.
func writeReasons(to *screen, all []reason) {
	if len(all) > 0 {
		_ = plain.Draw(to.out, newline)
		_ = plain.Draw(to.out, "why records failed, the most frequent first:", newline)
	}
	before, after := to.paint(red)
	for _, r := range all {
		count := fmt.Sprintf("  %s %s ", words.Number(r.count), to.text("×"))
		_ = plain.Draw(to.out, count, before, to.preview(r.text, to.width()-widthOf(count), pipedLength), after, newline)
	}
}

// eachLine calls visit with the lines of a file until it returns false. A summary is no place to fail: what cannot be read is left
// out of it.
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
		if err != nil || errors.Is(err, io.EOF) {
			return
		}
	}
}
