package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/lifecycle"
	"github.com/batholith/batholith/internal/managed"
	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/words"
)

// embeddedModel is the model that run uses if neither --model nor the settings name one.
const embeddedModel = "batholith.tiny-v1"

// runCommand returns the command run.
func (a *app) runCommand() *cobra.Command {
	var (
		model, output, typ, command string
		asJSON                      bool
		r                           recipe
		t                           tableOptions
	)
	cmd := &cobra.Command{
		Use:   "run INPUT…",
		Short: "Run one batch job over local files, without a server",
		Long: `Run one batch job over local files or folders, without a server: the same validation, the same dispatcher and the same
output files as the service, in DIR/<job id>/. The paths of the answers are printed on stdout.

After a kill or Ctrl-C, run the same command again to continue: no answered record is sent again. A second Ctrl-C ends
the process at once. The exit code is 3 if the job does not end Completed.

With --reuse finished, records take the answers that earlier runs in the same output directory gave to the same modelInput:
correct the input, run the command again, and only what changed or failed is sent.

With --template, the INPUT is a table (CSV, TSV, JSON, JSON lines or Parquet), and each row becomes a record: see batholith records. With
--to or -o, the answers come back as a table, beside the columns of that one: see batholith table.

An OpenAI batch file ({"custom_id", "method", "url", "body"} on each line) is recognised by its first line. Its answers are written in OpenAI's
lines, to NAME.jsonl.out, and requests that failed to NAME.jsonl.err. Without --model, the model is the one that the lines name; if it is not
served here, the model of the job answers in its place.

An INPUT may be compressed (.gz, .zst); - is stdin.
All flags of batholith serve that do not concern addresses are accepted too.`,
		Example: `  batholith run questions.jsonl
  batholith run ./records --output answers --model batholith.simulated-v1
  batholith run corrected.jsonl --reuse finished
  batholith run data.csv --template 'Translate: {{.text}}' --to csv > translated.csv
  batholith run questions.jsonl --exec "llama-server -m model.gguf --port {port}"
  batholith run questions.jsonl --config batholith.yaml --model anthropic.claude-3-haiku-20240307-v1:0`,
		Args: arguments(1, 0, "an INPUT: a file that ends in .jsonl, a folder of such files, or with --template a table"),
	}
	cmd.Flags().StringVar(&model, "model", "", "model `id` or alias (default: the first configured model, else "+embeddedModel+")")
	cmd.Flags().StringVar(&output, "output", "./batholith-out", "`directory` for the answers")
	cmd.Flags().StringVar(&command, "exec", "", "`command` that starts a model server for this run; a free port replaces {port}, and the server is stopped at the end")
	cmd.Flags().StringVar(&typ, "type", "", "InvokeModel or Converse (default: detected from the first record)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	r.bind(cmd)
	t.bindTable(cmd)
	s := a.bindSettings(cmd, "attempts", "reuse", "provenance", "strict_bodies", "log.level")
	cmd.Flags().Lookup("log-level").DefValue = "warn"
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		asked, err := parseType(typ)
		if err != nil {
			return err
		}
		if err := a.checkRunTable(cmd, args, &r, &t, asJSON); err != nil {
			return err
		}
		if command != "" {
			if s.exec, err = executed(command, model); err != nil {
				return err
			}
			model = s.exec.ID
		}
		c, err := a.load(s)
		if err != nil {
			return err
		}
		o := localOptions{Config: c, Inputs: args, Model: model, Type: asked, Output: output}
		if r.template != "" {
			return a.runTable(cmd.Context(), o, &r, t, asJSON)
		}
		return a.run(cmd.Context(), o, t, asJSON)
	}
	return cmd
}

// pickModel returns the named model, otherwise the only configured one, otherwise the embedded one, and says on
// stderr which it took. With several configured models it is a *usageError that lists them.
func (a *app) pickModel(c *config.Config, named string) (string, error) {
	switch {
	case named != "":
		return named, nil
	case len(c.Models) == 0:
		plain.Fprintf(a.stderr, "no model is named or configured: using the embedded %s\n", embeddedModel)
		return embeddedModel, nil
	case len(c.Models) == 1:
		plain.Fprintf(a.stderr, "using the configured model %s\n", c.Models[0].ID)
		return c.Models[0].ID, nil
	}
	var ids []string
	for _, m := range c.Models {
		ids = append(ids, m.ID)
	}
	return "", &usageError{reason: "several models are configured", remedy: "say which with --model: " + strings.Join(ids, ", ")}
}

// run runs a job over files and folders. Compressed ones and stdin are unpacked below the output directory, where they stay until the job
// has ended.
func (a *app) run(ctx context.Context, o localOptions, t tableOptions, asJSON bool) error {
	unpacked, err := a.keepUnpacked(ctx, o.Output, o.Inputs)
	if err != nil {
		return err
	}
	defer unpacked.close()
	o.Inputs = unpacked.inputs
	sum, err := a.runJob(ctx, o)
	if err != nil {
		return err
	}
	unpacked.remove()
	return a.closeRun(ctx, sum, t, asJSON)
}

// runJob checks the inputs, and runs the job with a progress display. Nothing is written before
// the inputs have been checked. After Ctrl-C the error says that the same command continues the job.
func (a *app) runJob(ctx context.Context, o localOptions) (sum summary, err error) {
	files, form, err := a.gather(o.Inputs)
	if err != nil {
		return sum, err
	}
	if o.Type, err = form.typed(a, o.Type, ": the answers are written in OpenAI's lines, too"); err != nil {
		return sum, err
	}
	if o.Model, err = a.modelFor(o.Config, form, o.Model); err != nil {
		return sum, err
	}
	o.Type = a.invocationType(o.Type, familyNamed(o.Config, o.Model), form)
	p := a.newProgress()
	defer p.done()
	defer p.followSize()()
	o.Log = a.runLogger(o.Config, p)
	defer captureLibraryLog(o.Log)()
	o.Resuming = func(j batholith.Job) { a.tellResuming(p, j) }
	o.Superseding = func(j batholith.Job, path string) { a.tellSuperseding(p, j, cmp.Or(o.Table, path), o) }
	// The message appears at the first Ctrl-C, while records in flight are finished.
	defer context.AfterFunc(ctx, func() {
		plain.Fprintf(p, "finishing what is in flight, at most %s; Ctrl-C again ends at once, and nothing that was finished is lost\n", words.Span(o.Config.Drain))
	})()
	a.tellStarts(p, o)
	began := time.Now()
	var first *batholith.Counts
	waits, flying, taking := false, 0, ""
	o.Flying = func(requests int) { flying = requests }
	res, err := runLocal(ctx, o, func(j batholith.Job) {
		if first == nil && j.Counts.Total > 0 {
			first = &j.Counts
		}
		if strings.HasPrefix(j.Note, lifecycle.Taking) || strings.HasPrefix(j.Note, lifecycle.NothingTaken) {
			if j.Note != taking {
				taking = j.Note
				p.done()
				plain.Fprintf(a.stderr, "%s\n", taking)
			}
		} else if j.Note != "" && !waits && !strings.Contains(j.Note, lifecycle.Misfits) && !strings.Contains(j.Note, managed.BeingStarted) { // the log has said for what
			waits = true
			p.done()
			a.tell("hint", "the records wait, and continue once that is fixed; to change the settings, press Ctrl-C and run the same command again")
		}
		p.show(standing{status: j.Status, counts: j.Counts, tokens: j.Tokens, flying: flying})
	})
	p.done()
	switch {
	case err != nil && ctx.Err() != nil:
		return sum, hint(errors.Join(ctx.Err(), err), "run the same command again, and it goes on where it was")
	case err != nil:
		return sum, err
	}
	res.Job.Message = inPaths(laidOut(plain.Line(res.Job.Message), localURI), files, plain.Line(res.Invalid))
	sum = summary{result: res, took: time.Since(began)}
	if first != nil {
		sum.before = *first
	}
	return sum, nil
}

// tellResuming says that the job of an earlier run is continued, and how many of its records are done.
func (a *app) tellResuming(p *progress, j batholith.Job) {
	p.done()
	how := ""
	if j.Counts.Total > 0 {
		how = fmt.Sprintf(": %s of %s are done", words.Number(j.Counts.Processed), words.Plural(j.Counts.Total, "record"))
	}
	plain.Fprintf(a.stderr, "going on with job %s, which an earlier run began%s\n", j.ID, how)
}

// tellSuperseding warns that an input file has changed since an earlier run, so a new job starts from the
// beginning. The answers of the earlier job belong to other records.
func (a *app) tellSuperseding(p *progress, j batholith.Job, path string, o localOptions) {
	p.done()
	how := ""
	if j.Counts.Total > 0 {
		how = fmt.Sprintf(", with at least %s of %s done", words.Number(j.Counts.Processed), words.Plural(j.Counts.Total, "record"))
	}
	a.tell("warning", plain.Sprintf("%s has changed since an earlier run began job %s over it%s: starting over as a new job", path, j.ID, how))
	if o.Config.Reuse == reuseFinished {
		a.tell("hint", "the earlier job is stopped, and the new one takes its answers to records that are the same")
		return
	}
	a.tell("hint", plain.Sprintf("nothing of the earlier job is used any more; to free its room: rm -r %s; to take its answers instead, run with --reuse %s", words.Quote(filepath.Join(o.Output, j.ID)), reuseFinished))
}

// inPaths replaces the s3://input/ URIs in a message by the paths that the user gave, and the URI of the list of
// bad lines by the path list. The message is escaped for a terminal already, so the URIs are looked for in their
// escaped form.
func inPaths(message string, files []localFile, list string) string {
	if i := strings.LastIndex(message, " file://"); i >= 0 && list != "" {
		message = message[:i+1] + list
	}
	if !strings.Contains(message, localURI) {
		return message
	}
	for _, f := range files {
		message = strings.ReplaceAll(message, plain.Line(localURI+f.key)+" ", plain.Line(f.name())+" ")
	}
	return message
}

// laidOut breaks a message of the validation into lines: one for each bad line of the input, and one for the place
// where all are listed. input is the beginning of the URIs that mark the lines. Other messages are returned
// unchanged.
func laidOut(message, input string) string {
	if !strings.Contains(message, " not a valid record.") {
		return message
	}
	where := ""
	if i := strings.LastIndex(message, ". "); i >= 0 && strings.HasSuffix(message, "/"+batholith.ValidationName) {
		message, where = message[:i+1], "\n  "+message[i+2:]
	}
	return strings.ReplaceAll(message, " "+input, "\n  "+input) + where
}

// runLogger returns the logger of run, which removes the bar before each line. By default it logs warnings only,
// in the form of the command's messages. log.level and log.format, if they are set, select the level and the
// server's format.
func (a *app) runLogger(c *config.Config, p *progress) *slog.Logger {
	if c.Origin("log.level").Source == "default" {
		c.Log.Level = "warn"
	}
	if c.Origin("log.format").Source == "default" {
		return slog.New(&talkHandler{a: a, level: logLevel(c.Log), room: p.done, mu: new(sync.Mutex)})
	}
	return newLogger(p, c.Log)
}

// closeRun prints the summary on stderr and the paths of the answers on stdout, or all as one JSON value. The
// paths are printed for a job that was stopped or failed, too: finished records are in its output. If a table was asked for, it is
// written in the place of the paths. It returns an *endedError if the job did not end Completed.
func (a *app) closeRun(ctx context.Context, s summary, t tableOptions, asJSON bool) error {
	job := s.result.Job
	switch {
	case asJSON:
		if err := a.printJSON(s.facts()); err != nil {
			return err
		}
	default:
		s.write(a.talk())
		if len(s.result.Outputs) > 0 && a.terminal && a.paged && !t.asked() { // else the paths are not below it
			plain.Fprintf(a.stderr, "\nanswers:\n")
		}
		for _, path := range s.result.Outputs {
			if t.asked() {
				break
			}
			if _, err := plain.Fprintf(a.stdout, "%s\n", path); err != nil {
				return err
			}
		}
	}
	if t.asked() && len(s.result.Outputs) > 0 {
		if err := a.writeTable(ctx, t, outputsNamed(slices.Concat(s.result.Outputs, s.result.Errors))); err != nil {
			return hint(fmt.Errorf("the job has ended %s, and its answers are in %s; the table is not made: %w", job.Status, s.result.Dir, err), "%s", a.onlyTable(s, t, err))
		}
	}
	return endOf(job)
}

// onlyTable returns the remedy when the job has ended and its table could not be written.
func (a *app) onlyTable(s summary, t tableOptions, err error) string {
	remedy := "make the table alone: batholith table " + words.Quote(s.result.Dir)
	if t.source != "" {
		remedy = "run the same command again, and only the table is written"
	}
	var h *hintedError
	if errors.As(err, &h) {
		remedy = h.remedy + "; then " + remedy
	}
	return remedy
}

// endOf returns an *endedError if a job did not end Completed.
func endOf(job batholith.Job) error {
	ended := &endedError{status: job.Status, message: job.Message}
	switch {
	case job.Status == batholith.StatusFailed && job.Counts.Processed == 0:
		return hint(ended, "fix what the message names, and run the same command again; no record was sent")
	case job.Status != batholith.StatusCompleted:
		return ended
	}
	return nil
}
