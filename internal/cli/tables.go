package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/dialect"
	"github.com/batholith/batholith/internal/files"
	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/records"
	"github.com/batholith/batholith/internal/words"
)

// tableOptions say how answers become a table.
type tableOptions struct {
	source, from, id string // source "": there is none
	to, file         string
	guard            bool // cells that a spreadsheet runs as formulas get a ' before them
}

// bindTable adds the flags of the result to a command.
func (o *tableOptions) bindTable(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.to, "to", "", "`format` of the table: csv, tsv, json, jsonl, parquet (default: by the ending of -o, else csv)")
	f.StringVarP(&o.file, "file", "o", "", "write the table to this `file` instead of stdout; .gz is compressed")
	f.BoolVar(&o.guard, "guard-formulas", false, "write ' before answers that a spreadsheet would run as formulas")
	completeWords(cmd, "to", records.Formats...)
}

// format returns the format of the result.
func (o *tableOptions) format() (records.Format, error) {
	f, err := formatFlag("to", o.to)
	if err != nil || f != "" {
		return f, err
	}
	if o.file == "" || o.file == "-" {
		return records.CSV, nil
	}
	if f = records.FormatOf(o.file); f == "" {
		return "", &usageError{reason: fmt.Sprintf("the name of %s does not say which format the table is to have", o.file), remedy: "name the format: --to " + strings.Join(records.Formats, "|")}
	}
	return f, nil
}

// tableCommand returns the command table.
func (a *app) tableCommand() *cobra.Command {
	var o tableOptions
	cmd := &cobra.Command{
		Use:   "table OUTPUT…|JOB",
		Short: "Make a table of answers, beside the rows that they answer",
		Long: `Make a table of the output of a job: an output file (.jsonl.out, also .gz), a folder with the output of a job, - for stdin, or a JOB
(its id, ARN or name), whose output is fetched.

With --source, the table has the columns and rows of that table, in its order, and beside them answer, error, stop_reason, input_tokens and
output_tokens. Records belong to rows by the number of the row that batholith records gave them, or by the column with the recordIds.
A row without a record in the output has the error "` + records.NoAnswer + `". Without --source, each record is a row, with its recordId in record_id.

The answer is the text of the model, in any family; a tool call and an embedding are JSON. An output in OpenAI's lines is read as well.` + clientHelp,
		Example: `  batholith table batholith-out/8fj2k4l6m8n0 --source data.csv > answered.csv
  batholith table questions.jsonl.out --to jsonl
  batholith table nightly --source tickets.parquet --id ticket -o answered.parquet`,
		Args: arguments(1, 0, "an OUTPUT: a file, a folder or - for stdin; or a JOB"),
	}
	t := a.bindTarget(cmd)
	cmd.Flags().StringVar(&o.source, "source", "", "`table` that the records were made of")
	cmd.Flags().StringVar(&o.from, "from", "", "`format` of the source: csv, tsv, json, jsonl, parquet (default: by the file's ending)")
	cmd.Flags().StringVar(&o.id, "id", "", "`column` of the source with the recordIds (default: it is found)")
	completeWords(cmd, "from", records.Formats...)
	o.bindTable(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if o.source == "" && (o.id != "" || o.from != "") {
			return &usageError{reason: "--id and --from have no meaning without --source", remedy: "name the table that the records were made of: --source FILE"}
		}
		if _, err := o.format(); err != nil {
			return err
		}
		outputs, cleanup, err := a.findOutputs(cmd.Context(), *t, args)
		defer cleanup()
		if err != nil {
			return err
		}
		return a.writeTable(cmd.Context(), o, outputs)
	}
	return cmd
}

// outputSuffix ends the names of output files.
const outputSuffix = inputSuffix + ".out"

// findOutputs returns the output files of the arguments. cleanup removes copies.
func (a *app) findOutputs(ctx context.Context, t target, args []string) (outputs []records.Output, cleanup func(), err error) {
	dir := ""
	cleanup = func() {
		if dir != "" {
			os.RemoveAll(dir)
		}
	}
	temporary := func() (err error) {
		if dir == "" {
			dir, err = os.MkdirTemp("", "batholith-table-")
		}
		return err
	}
	for _, arg := range args {
		info, err := os.Stat(arg)
		switch {
		case isS3(arg):
			return nil, cleanup, &usageError{reason: fmt.Sprintf("%s is not read from here", arg), remedy: "name the job, or fetch its output first: batholith download JOB DIR"}
		case arg == "-":
			if err := temporary(); err != nil {
				return nil, cleanup, err
			}
			path := filepath.Join(dir, "stdin")
			if err := copyTo(path, stdin(ctx)); err != nil {
				return nil, cleanup, err
			}
			outputs = append(outputs, records.Output{Name: "stdin", Path: path})
		case err == nil && info.IsDir():
			found, err := outputsBelow(arg)
			if err != nil {
				return nil, cleanup, err
			}
			outputs = append(outputs, found...)
		case err == nil:
			if err := files.Regular(arg, info); err != nil {
				return nil, cleanup, hint(err, "the output is read twice: send it to - instead")
			}
			outputs = append(outputs, records.Output{Name: arg, Path: arg})
		case len(args) > 1, strings.ContainsAny(arg, `/\`) && !strings.HasPrefix(arg, "arn:"), strings.HasSuffix(records.Unpacked(arg), ".out"):
			return nil, cleanup, hint(files.PathAndReason(err), "name an output file, which ends in %s, or a folder with the output of a job", outputSuffix)
		default:
			if err := temporary(); err != nil {
				return nil, cleanup, err
			}
			found, err := a.fetchTable(ctx, t, arg, dir)
			return found, cleanup, err
		}
	}
	return outputs, cleanup, nil
}

// copyTo copies a stream to a new file.
func copyTo(path string, r io.Reader) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return files.PathAndReason(err)
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}

// outputsBelow returns the output files of a folder, in the order of their names, and after them those with the errors of OpenAI's lines.
func outputsBelow(dir string) (all []records.Output, err error) {
	manifests := 0
	var failed []records.Output
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == batholith.InternalFolder:
			return fs.SkipDir
		case d.Name() == batholith.ManifestName:
			manifests++
		case !d.IsDir() && strings.HasSuffix(records.Unpacked(path), outputSuffix):
			all = append(all, records.Output{Name: path, Path: path})
		case !d.IsDir() && strings.HasSuffix(records.Unpacked(path), inputSuffix+batholith.ErrorSuffix):
			failed = append(failed, records.Output{Name: path, Path: path})
		}
		return nil
	})
	all = append(all, failed...)
	switch {
	case err != nil:
		return nil, files.PathAndReason(err)
	case manifests > 1:
		return nil, hint(fmt.Errorf("%s has the output of %d jobs", dir, manifests), "name the folder of one job below it, or an output file")
	case len(all) == 0:
		return nil, hint(fmt.Errorf("no file in %s ends in %s", dir, outputSuffix), "name a folder with the output of a job, as batholith run and batholith download make it")
	}
	return all, nil
}

// fetchTable fetches the output of a job to a folder.
func (a *app) fetchTable(ctx context.Context, t target, job, dir string) ([]records.Output, error) {
	c, j, err := a.connectTo(ctx, t, job)
	if err != nil {
		return nil, err
	}
	if err := a.fetchOutput(ctx, c, j, dir, func(string) {}); err != nil {
		return nil, err
	}
	if !j.Status.Terminal() {
		a.tell("warning", fmt.Sprintf("the job is %s: its output has %s of %s records at most", j.Status, words.Number(j.Processed), words.Number(j.Total)))
	}
	found, err := outputsBelow(dir)
	for i := range found {
		found[i].Name = strings.TrimPrefix(found[i].Path, filepath.Join(dir, j.id())+string(filepath.Separator))
	}
	if err != nil {
		return nil, hint(fmt.Errorf("the job %s has no output: it is %s", j.id(), j.Status), "wait for it with: batholith watch %s", words.Quote(j.id()))
	}
	return found, nil
}

// readSaid reads a modelOutput for a table.
func readSaid(output []byte) records.Said {
	r := dialect.Read(output)
	return records.Said{Text: r.Text, Vector: r.Vector, Stop: r.Stop, In: r.Tokens.Input, Out: r.Tokens.Output, HasTokens: r.Counts}
}

// writeTable joins source and outputs, and writes the result. What was found is said on stderr.
func (a *app) writeTable(ctx context.Context, o tableOptions, outputs []records.Output) error {
	format, err := o.format()
	if err != nil {
		return err
	}
	if format == records.Parquet && a.paged && (o.file == "" || o.file == "-") {
		return &usageError{reason: "Parquet is not for a terminal", remedy: "name a file: -o answered.parquet"}
	}
	j := &records.Join{Outputs: outputs, ID: o.id, Read: readSaid}
	defer j.Close()
	if o.source != "" {
		from, err := formatFlag("from", o.from)
		if err != nil {
			return err
		}
		path, cleanup, err := readTwice(o.source)
		if err != nil {
			return err
		}
		defer cleanup()
		if o.file != "" && sameFile(path, o.file) {
			return &usageError{reason: fmt.Sprintf("-o: %s is the source itself", o.file), remedy: "name another file"}
		}
		j.Source = func() (*records.Source, error) { return openTable(ctx, path, from) }
	}
	plan, err := j.Plan()
	if err != nil {
		return tableFault(err)
	}
	for _, renamed := range plan.Renamed {
		plain.Fprintf(a.stderr, "%s\n", renamed)
	}
	to, err := a.openSink(o.file)
	if err != nil {
		return err
	}
	defer to.discard()
	w, err := records.NewWriter(to, format, plan.Columns)
	if err != nil {
		return err
	}
	told := tableTold{answerAt: len(plan.Columns) - records.AnswerColumns, guard: o.guard, cells: format == records.CSV || format == records.TSV}
	for values, err := range j.Rows(format == records.Parquet) {
		if err != nil {
			return tableFault(err)
		}
		if err := context.Cause(ctx); err != nil {
			return err
		}
		told.row(values)
		if err := w.Write(values); err != nil {
			return fmt.Errorf("write the table: %w", err)
		}
	}
	if err := errors.Join(w.Close()); err != nil {
		return fmt.Errorf("write the table: %w", err)
	}
	if err := to.commit(); err != nil {
		return err
	}
	a.tellTable(told, plan)
	return nil
}

// readTwice returns the path of a table that can be read twice: a file is, anything else is copied.
func readTwice(path string) (string, func(), error) {
	info, err := os.Stat(path)
	if path != "-" && (err != nil || info.Mode().IsRegular() || info.IsDir()) {
		return path, func() {}, nil // a missing file is named where it is opened
	}
	if path == "-" {
		return "", nil, &usageError{reason: "--source: stdin is not read", remedy: "write it to a file first"}
	}
	return "", nil, hint(fmt.Errorf("--source: %s is not a regular file", path), "the source is read twice: write it to a file first")
}

// tableTold counts what the rows of a table have.
type tableTold struct {
	answerAt                                int
	guard, cells                            bool
	rows, answers, errors, without, formula int64
}

// row counts a row, and guards its answer.
func (t *tableTold) row(values []any) {
	t.rows++
	answer, failed := values[t.answerAt], values[t.answerAt+1]
	switch {
	case failed == nil:
		t.answers++
	case failed == records.NoAnswer:
		t.without++
	default:
		t.errors++
	}
	if text, ok := answer.(string); ok && t.cells && records.IsFormula(text) {
		if t.formula++; t.guard {
			values[t.answerAt] = "'" + text
		}
	}
}

// tellTable says what the table has.
func (a *app) tellTable(t tableTold, plan records.Plan) {
	parts := []string{words.Plural(t.answers, "answer")}
	if t.errors > 0 {
		parts = append(parts, words.Plural(t.errors, "error"))
	}
	if t.without > 0 {
		parts = append(parts, words.Number(t.without)+" without a record in the output")
	}
	plain.Fprintf(a.stderr, "%s: %s; %s\n", words.Plural(t.rows, "row"), strings.Join(parts, ", "), plan.How)
	if t.formula > 0 && !t.guard {
		plain.Fprintf(a.stderr, "%s with =, +, - or @ at the beginning: a spreadsheet may run such a cell as a formula; --guard-formulas writes ' before it\n", words.Plural(t.formula, "answer"))
	}
}
