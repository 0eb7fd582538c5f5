package lifecycle

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/jsonl"
	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/words"
)

// Bodies that do not fit the model end as error lines, one by one, while the job runs. Validation warns of them before: it translates the
// first records of each file as the dispatcher would. With Options.StrictBodies it translates all records, and bodies that do not fit are bad
// lines, for which the job fails.

// Bounds of the records that are checked in each file, unless StrictBodies is set: those that begin in the first bytes of the file and are not
// large. Validation reads 600 MB per CPU-second and translation about 200, so 32 KiB cost 0.2 ms a file.
const (
	sampleBytes = 32 << 10
	sampleLine  = 1 << 20
)

// Misfits is in the note of a job with such records. It does not wait for anything.
const Misfits = "will end with an error, because their bodies do not fit the model"

// toldBodies is how many records a job's note names.
const toldBodies = 3

// misfit begins the reason of a bad line whose body does not fit the model. What follows may quote the body.
const misfit = "modelInput does not fit the model"

// bodies checks the bodies of one job.
type bodies struct {
	refused func(input []byte) string // why the model would refuse a body; "": it does not
	strict  bool
	checked atomic.Int64
	found   *jsonl.First // the first records that do not fit, if not strict
}

// bodiesOf returns the checks of a job's bodies, or nil if they are not checked.
func (l *Lifecycle) bodiesOf(job batholith.Job) *bodies {
	if l.o.Bodies == nil {
		return nil
	}
	refused := l.o.Bodies(job)
	if refused == nil {
		return nil
	}
	return &bodies{refused: refused, strict: l.o.Strict(), found: jsonl.NewFirst(toldBodies)}
}

// remark is the remark on a line. It is called for every line, by several goroutines.
func (b *bodies) remark(l jsonl.Line) (why string) {
	if !b.strict && (l.Offset >= sampleBytes || l.Length > sampleLine) {
		return ""
	}
	// A body that makes the translation panic is not judged here: its record ends with an error of its own.
	_ = batholith.Guard("check the body of a record", func() error {
		why = b.refused(l.Input)
		return nil
	})
	b.checked.Add(1)
	if why == "" {
		return ""
	}
	return misfit + ": " + why
}

// remarkOn is remark for a survey; nil for a job whose bodies are not checked.
func (b *bodies) remarkOn() func(jsonl.Line) string {
	if b == nil {
		return nil
	}
	return b.remark
}

// take takes in the problems and the remarks of a file. found gets those that are bad lines.
func (b *bodies) take(file int, found *jsonl.First, problems, remarks []jsonl.Problem) {
	found.Add(file, problems)
	switch {
	case b == nil:
	case b.strict:
		found.Add(file, remarks)
	default:
		b.found.Add(file, remarks)
	}
}

// invalid is how many of a file's lines are bad.
func (b *bodies) invalid(got jsonl.Surveyed) int64 {
	if b != nil && b.strict {
		return got.Problems + got.Remarks
	}
	return got.Problems
}

// warn writes the job's note about the answers of earlier jobs and about the bodies that do not fit, if there are some.
func (l *Lifecycle) warn(ctx context.Context, job batholith.Job, place blob.Place, plans []*plan, b *bodies, note string) {
	odd := int64(0)
	for _, p := range plans {
		odd += p.odd
	}
	if b != nil && !b.strict && odd > 0 {
		misfits := b.note(job, odd, l.discreet(job), func(f jsonl.Found) string { return blob.URI(place.Input, plans[f.File].file.Key) })
		note = batholith.CutMessage(strings.TrimSpace(note + " " + misfits))
	}
	if note == "" {
		return
	}
	if err := l.o.Store.Note(ctx, job.ID, note); err != nil {
		l.o.Log.Debug("note on job", "job", job.ID, "err", err)
	}
}

// note is the text of the note: how many records do not fit, and where the first are.
func (b *bodies) note(job batholith.Job, odd int64, discreet bool, name func(jsonl.Found) string) string {
	var s strings.Builder
	plain.Fprintf(&s, "%d of the %d records that were checked (the first ones of each file) "+Misfits+" %s:", odd, b.checked.Load(), job.ModelID)
	const remedy = " To correct them, stop the job. With strict_bodies: true in the settings, such jobs fail before they begin."
	told := int64(0)
	for _, f := range b.found.List() {
		one := plain.Sprintf(" %s line %d: %s.", name(f), f.Line, reasonOf(f, discreet))
		if s.Len()+len(one)+len(remedy)+len(" And  more.")+19 > batholith.MaxMessage { // 19: digits of the number
			break
		}
		s.WriteString(one)
		told++
	}
	if told < odd {
		fmt.Fprintf(&s, " And %d more.", odd-told)
	}
	return s.String() + remedy
}

// reasonOf is the reason of a bad line, without what may quote the line if discreet.
func reasonOf(f jsonl.Found, discreet bool) string {
	if discreet && strings.HasPrefix(f.Reason, misfit) {
		return misfit
	}
	return strings.TrimSuffix(f.Reason, ".")
}

// discreet reports whether texts about a job must not quote its records, because its data are encrypted and these texts are not.
func (l *Lifecycle) discreet(job batholith.Job) bool { return l.o.Discreet || job.KMSKeyID != "" }

// unfitLines returns what finds the lines of a job in OpenAI's form that validation refuses; nil: the lines of the job are Bedrock's.
func (l *Lifecycle) unfitLines(job batholith.Job) func(jsonl.Line) string {
	if job.InputLines != batholith.LinesOpenAI || l.o.Names == nil {
		return nil
	}
	var lacks error
	if l.o.Takes != nil {
		lacks = l.o.Takes(job)
	}
	return UnfitLines(job.ModelID, l.o.Names(job), job.Type, job.Batch != nil && job.Batch.File != "", lacks)
}

// UnfitLines returns what finds the lines in OpenAI's form that are of another endpoint than that of the type, of one that the model does not
// have (lacks says why), or that name another model: a job has one endpoint and one model. model is how the job names it, and names are all of
// its names. named: each line must name it.
func UnfitLines(model string, names []string, typ batholith.InvocationType, named bool, lacks error) func(jsonl.Line) string {
	endpoint := typ.Endpoint()
	return func(line jsonl.Line) string {
		name, ok := jsonl.ModelIn(line.Input)
		switch {
		case line.URL != "" && line.URL != endpoint:
			return fmt.Sprintf("url is %s, and the batch is of %s: a batch has one endpoint, so make a file for each", line.URL, endpoint)
		case lacks != nil:
			return plain.Sprintf("url is %s, which the model %s does not have: %v", endpoint, model, lacks)
		case !ok && named:
			return "body.model is missing: each line names the model"
		case !ok, slices.Contains(names, name):
			return ""
		}
		return plain.Sprintf("body.model is %q, and the batch is of the model %s: a batch has one model, so make a file for each", words.Shorten(name, 100), model)
	}
}
