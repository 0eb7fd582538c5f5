package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/dialect"
	"github.com/batholith/batholith/internal/jsonl"
	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/records"
	"github.com/batholith/batholith/internal/words"
)

// recipe holds the flags that say how records are made of rows.
type recipe struct {
	template, system string // a text, or @FILE
	maxTokens        int64
	temperature      float64
	warm             bool // temperature was given
	id, from         string
}

// defaultMaxTokens is the limit of output tokens of a record that is made of a row, in the families that have one.
const defaultMaxTokens = 1024

// bind adds the flags to a command.
func (r *recipe) bind(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&r.template, "template", "", "`text` of the prompt, a template over the columns such as 'Translate: {{.text}}', or @FILE")
	f.StringVar(&r.system, "system", "", "`text` of the system prompt, or @FILE")
	f.Int64Var(&r.maxTokens, "max-tokens", defaultMaxTokens, "limit of output `tokens` for each record; 0: the model's own")
	f.Float64Var(&r.temperature, "temperature", 0, "temperature of the sampling (default: the model's own)")
	f.StringVar(&r.id, "id", "", "`column` with the recordIds (default: the rows are numbered)")
	f.StringVar(&r.from, "from", "", "`format` of the table: csv, tsv, json, jsonl, parquet (default: by the file's ending)")
	completeWords(cmd, "from", records.Formats...)
}

// recipeFlags are the names of those flags that have no meaning without a template.
var recipeFlags = []string{"system", "max-tokens", "temperature", "id", "from"}

// source opens a table for reading. - is stdin.
func (r *recipe) source(ctx context.Context, path string) (*records.Source, error) {
	from, err := formatFlag("from", r.from)
	if err != nil {
		return nil, err
	}
	return openTable(ctx, path, from)
}

// formatFlag returns the format that a flag names; "" if it names none.
func formatFlag(flag, value string) (records.Format, error) {
	if value == "" {
		return "", nil
	}
	f, err := records.ParseFormat(value)
	if err != nil {
		return "", &usageError{reason: fmt.Sprintf("--%s: %v", flag, err)}
	}
	return f, nil
}

// openTable opens a table, whose reading ends with ctx. - is stdin.
func openTable(ctx context.Context, path string, from records.Format) (*records.Source, error) {
	o := records.Options{From: from, Check: func() error { return context.Cause(ctx) }}
	if path == "-" {
		if from == "" {
			return nil, &usageError{reason: "the format of stdin is not known", remedy: "name it: --from " + strings.Join(records.Formats, "|")}
		}
		s, err := records.Open("stdin", stdin(ctx), o)
		return s, tableFault(err)
	}
	f, err := openPlain(path, "name a file with a table: CSV, TSV, JSON or Parquet")
	if err != nil {
		return nil, err
	}
	s, err := records.Open(path, f, o)
	if err != nil {
		f.Close()
		return nil, tableFault(err)
	}
	s.OnClose(func() { f.Close() })
	return s, nil
}

// tableFault adds the remedy of an error about a table.
func tableFault(err error) error {
	var e *records.Error
	if errors.As(err, &e) && e.Remedy != "" {
		return hint(err, "%s", e.Remedy)
	}
	return err
}

// texts reads the flags that are a text or @FILE.
func (r *recipe) texts() (err error) {
	if r.template, err = textOrFile("template", r.template); err != nil {
		return err
	}
	r.system, err = textOrFile("system", r.system)
	return err
}

// maxPromptFile is the largest file of a template or a system prompt, in bytes.
const maxPromptFile = 10 << 20

// textOrFile returns a flag's text, or that of the file whose name is behind an @, without the last newline.
func textOrFile(flag, value string) (string, error) {
	name, ok := strings.CutPrefix(value, "@")
	if !ok {
		return value, nil
	}
	f, err := openPlain(name, "a text that begins with @ names a file; write the text in the file if it is to begin so")
	if err != nil {
		return "", fmt.Errorf("--%s: %w", flag, err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxPromptFile+1))
	if err == nil && len(text) > maxPromptFile {
		err = fmt.Errorf("--%s: %s has more than %d bytes", flag, name, maxPromptFile)
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r"), err
}

// made returns the recipe for a model of a family. It fails if the template or the flags are wrong, before any row is read.
func (r *recipe) made(family string, typ batholith.InvocationType, model string) (records.Recipe, error) {
	if family == "" {
		return records.Recipe{}, &usageError{reason: fmt.Sprintf("the family of the model %q is not known", model), remedy: "name it as the setting family of the model, one of " + strings.Join(dialect.Families(), ", ")}
	}
	t, err := records.ParseTemplate(r.template)
	if err != nil {
		return records.Recipe{}, &usageError{reason: "--template: " + strings.Replace(err.Error(), "template:", "line ", 1), remedy: `columns are written {{.text}} or {{index . "a b"}}; functions: ` + strings.Join(records.Functions, ", ") + ", and those of Go's text/template"}
	}
	if r.maxTokens < 0 {
		return records.Recipe{}, &usageError{reason: fmt.Sprintf("--max-tokens: %d is not possible", r.maxTokens), remedy: "write 1 or more, or 0 to leave the limit to the model"}
	}
	if r.warm && !(r.temperature >= 0 && r.temperature <= 100) {
		return records.Recipe{}, &usageError{reason: fmt.Sprintf("--temperature: %v is not possible", r.temperature), remedy: "write a number from 0 on"}
	}
	ask := dialect.Ask{System: r.system, MaxTokens: r.maxTokens}
	if r.warm {
		ask.Temperature = &r.temperature
	}
	if !dialect.Takes(family, batholith.Converse) && r.maxTokens == defaultMaxTokens {
		ask.MaxTokens = 0 // embeddings have no limit
	}
	if _, err := dialect.Compose(family, typ, ask); err != nil {
		return records.Recipe{}, &usageError{reason: err.Error(), remedy: "leave the flag out, or choose another --model"}
	}
	return records.Recipe{Template: t, ID: r.id, Body: func(text string) ([]byte, error) {
		ask := ask
		ask.Text = text
		return dialect.Compose(family, typ, ask)
	}}, nil
}

// recordsCommand returns the command records.
func (a *app) recordsCommand() *cobra.Command {
	var (
		r               recipe
		model, typ, out string
	)
	cmd := &cobra.Command{
		Use:   "records TABLE --template TEXT",
		Short: "Make records of the rows of a table",
		Long: `Make an input line of each row of a table, in the body of the model's family. The table is CSV, TSV, JSON (an array of objects), JSON
lines or Parquet, also compressed (.gz, .zst); - reads stdin.

The template is that of Go's text/template over the columns of the row: {{.text}}, or {{index . "a b"}} for names with other signs. Beside
its own functions it has json, trim, upper, lower, replace, default, cut and number: {{default "none" .note | trim}}.
A column that is not there is an error. Rows are numbered, or --id names the column with the recordIds, which must be different.

To run the records and have the answers as a table at once: batholith run TABLE --template TEXT --to csv.`,
		Example: `  batholith records data.csv --template 'Translate to English: {{.text}}' -o records.jsonl
  batholith records tickets.parquet --template @prompt.txt --system 'Answer in one word.' --id ticket --model us.amazon.nova-lite-v1:0
  zcat data.json.gz | batholith records - --from json --template '{{.title}}: {{json .tags}}' > records.jsonl`,
		Args: arguments(1, 1, "a TABLE: a file that ends in .csv, .tsv, .json, .jsonl or .parquet, or - for stdin"),
	}
	r.bind(cmd)
	cmd.Flags().StringVar(&model, "model", "", "model `id` or alias that the bodies are for (default: the first configured model, else "+embeddedModel+")")
	cmd.Flags().StringVar(&typ, "type", "", "InvokeModel (default) or Converse")
	cmd.Flags().StringVarP(&out, "file", "o", "", "write to this `file` instead of stdout; .gz is compressed")
	completeWords(cmd, "type", string(batholith.InvokeModel), string(batholith.Converse))
	s := a.bindSettings(cmd, "profile")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if r.template == "" {
			return &usageError{reason: "records needs --template TEXT", remedy: "for example --template 'Translate: {{.text}}'"}
		}
		r.warm = cmd.Flags().Changed("temperature")
		asked, err := parseType(typ)
		if err != nil {
			return err
		}
		if err := r.texts(); err != nil {
			return err
		}
		c, err := a.loadBy(config.LoadClient, s)
		if err != nil {
			return err
		}
		if model == "" {
			model, _ = firstModel(c)
		}
		made, err := r.made(familyNamed(c, model), asked, model)
		if err != nil {
			return err
		}
		if out != "" && sameFile(args[0], out) {
			return &usageError{reason: fmt.Sprintf("-o: %s is the table itself", out), remedy: "name another file"}
		}
		to, err := a.openSink(out)
		if err != nil {
			return err
		}
		defer to.discard()
		n, err := a.writeRecords(cmd.Context(), to, &r, made, args[0])
		if err == nil {
			err = to.commit()
		}
		if err != nil {
			return err
		}
		plain.Fprintf(a.stderr, "%s for %s (family %s)\n", words.Plural(n, "record"), model, familyNamed(c, model))
		return nil
	}
	return cmd
}

// writeRecords writes the records of a table and returns their number. Repeated recordIds are an error, which names them.
func (a *app) writeRecords(ctx context.Context, to io.Writer, r *recipe, made records.Recipe, path string) (n int64, err error) {
	s, err := r.source(ctx, path)
	if err != nil {
		return 0, err
	}
	defer s.Close()
	if s.Note != "" {
		plain.Fprintf(a.stderr, "%s: %s\n", s.Name, s.Note)
	}
	ids := &idSet{most: memoryIDs}
	defer ids.close()
	w := bufio.NewWriterSize(to, 256<<10)
	for rec, err := range made.Lines(s) {
		if err != nil {
			return n, tableFault(errors.Join(err, w.Flush()))
		}
		if _, err := w.Write(rec.Line); err != nil {
			return n, err
		}
		n++
		if r.id == "" {
			continue
		}
		line := rec.At
		if line == 0 {
			line = rec.Row
		}
		if err := ids.add(0, []jsonl.Entry{{IDHash: jsonl.HashID([]byte(rec.ID)), Line: line}}); err != nil {
			return n, err
		}
	}
	if err := w.Flush(); err != nil {
		return n, err
	}
	first := jsonl.NewFirst(shownRepeats)
	again, err := ids.repeated(first, func(int) string { return s.Name })
	if err != nil || again == 0 {
		return n, err
	}
	for _, f := range first.List() {
		plain.Fprintf(a.stderr, "%s:%d: %s\n", s.Name, f.Line, f.Reason)
	}
	return n, hint(fmt.Errorf("%s of the column %s repeat an earlier one", words.Plural(again, "recordId"), r.id), "name a column whose values are different, or leave out --id, and the rows are numbered")
}

// shownRepeats is how many repeated recordIds are named.
const shownRepeats = 20
