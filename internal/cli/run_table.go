package cli

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/files"
	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/records"
	"github.com/batholith/batholith/internal/words"
)

// asked reports whether the answers are wanted as a table.
func (o *tableOptions) asked() bool { return o.to != "" || o.file != "" }

// outputsNamed returns outputs whose names are their paths.
func outputsNamed(paths []string) (all []records.Output) {
	for _, path := range paths {
		all = append(all, records.Output{Name: path, Path: path})
	}
	return all
}

// checkRunTable finds mistakes in the flags of run that concern tables, and reads the files of the texts.
func (a *app) checkRunTable(cmd *cobra.Command, args []string, r *recipe, t *tableOptions, asJSON bool) error {
	r.warm = cmd.Flags().Changed("temperature")
	if r.template == "" {
		for _, name := range recipeFlags {
			if cmd.Flags().Changed(name) {
				return &usageError{reason: fmt.Sprintf("--%s has no meaning without --template", name), remedy: "write --template TEXT to make records of the rows of a table"}
			}
		}
	}
	if r.template != "" && len(args) != 1 {
		return &usageError{reason: "--template takes one table", remedy: "join the tables to one, or run them one after another"}
	}
	if t.guard && !t.asked() {
		return &usageError{reason: "--guard-formulas has no meaning without --to or -o", remedy: "write --to csv"}
	}
	if t.asked() {
		if _, err := t.format(); err != nil {
			return err
		}
		if err := a.checkSink(t.file); err != nil {
			return err
		}
		if asJSON && (t.file == "" || t.file == "-") {
			return &usageError{reason: "--json and the table would both be on stdout", remedy: "write the table to a file: -o FILE"}
		}
		if t.file != "" && r.template != "" && sameFile(args[0], t.file) {
			return &usageError{reason: fmt.Sprintf("-o: %s is the table itself", t.file), remedy: "name another file"}
		}
	}
	return r.texts()
}

// tablesFolder is the folder, below that of the run's own files, with the records that run makes of tables. It has a folder for each
// table, until its answers are delivered:
//
//	NAME.jsonl   the records
//	source       the table, if it came on stdin
//	ended.json   the job's end, if the table of the answers was not written yet
const tablesFolder = "tables"

// work is the folder of one table, which this process has for itself.
type work struct {
	dir  string
	lock *config.Data
}

// folderOf returns the folder for a source, which is known by its path.
func folderOf(output, source string) (w work, err error) {
	if source != "-" {
		if source, err = filepath.Abs(source); err != nil {
			return w, err
		}
	}
	sum := sha256.Sum256([]byte(source))
	return work{dir: filepath.Join(output, state, tablesFolder, hex.EncodeToString(sum[:])[:16])}, nil
}

// openWork makes the folder for a source, and locks those of all sources.
func openWork(output, source string) (w work, err error) {
	if w, err = folderOf(output, source); err != nil {
		return w, err
	}
	w.lock, err = config.OpenData(filepath.Dir(w.dir))
	var inUse *config.InUseError
	if errors.As(err, &inUse) {
		return w, hint(err, "another run writes there: wait for it, or give this one a folder of its own with --output DIR")
	} else if err != nil {
		return w, startedFull(filepath.Dir(w.dir), err)
	}
	if err := os.MkdirAll(w.dir, 0o700); err != nil {
		w.lock.Close()
		return w, files.PathAndReason(err)
	}
	return w, nil
}

// remove removes the folder, when all is done. That it stays is no error: the next run of the table replaces what is in it.
func (w work) remove() { os.RemoveAll(w.dir) }

// placeFile gives a new file its name, unless the file there has the same content and keeps its time: then a job over it goes on. It reports
// whether the content is the same.
func placeFile(made, path string) (same bool, err error) {
	if same, err = equalFiles(made, path); err != nil {
		return false, err
	}
	if same {
		return true, os.Remove(made)
	}
	return false, os.Rename(made, path)
}

// endedTable is the content of ended.json.
type endedTable struct {
	Model   string                   `json:"modelId"`
	Type    batholith.InvocationType `json:"modelInvocationType"`
	Job     string                   `json:"jobId"`
	Status  batholith.Status         `json:"status"`
	Message string                   `json:"message,omitempty"`
	Outputs []string                 `json:"outputs"` // absolute paths
}

// runTable makes records of a table, runs a job over them, and writes the answers as a table if that is wanted. An interrupted run goes on
// if the same command is run again, also one that ended between the job and the table.
func (a *app) runTable(ctx context.Context, o localOptions, r *recipe, t tableOptions, asJSON bool) (err error) {
	source := o.Inputs[0]
	if o.Model, err = a.pickModel(o.Config, o.Model); err != nil {
		return err
	}
	o.Type = cmp.Or(o.Type, batholith.InvokeModel)
	made, err := r.made(familyNamed(o.Config, o.Model), o.Type, o.Model)
	if err != nil {
		return err
	}
	if err := r.checkSource(ctx, source); err != nil { // before anything is written
		return err
	}
	w, err := openWork(o.Output, source)
	if err != nil {
		return err
	}
	defer w.lock.Close()
	o.Table, t.source, t.from, t.id = source, source, r.from, r.id
	if source == "-" {
		o.Table, t.source = "stdin", filepath.Join(w.dir, "source")
		if err := copyTo(t.source+".new", stdin(ctx)); err != nil {
			return err
		}
		if _, err := placeFile(t.source+".new", t.source); err != nil {
			return err
		}
	}
	before, err := lookAtTable(t.source)
	if err != nil {
		return err
	}
	path := filepath.Join(w.dir, stemOf(source)+inputSuffix)
	same, err := a.makeRecords(ctx, r, made, t.source, path)
	if err != nil {
		return err
	}
	note := filepath.Join(w.dir, "ended.json")
	if end, ok := readEnded(note, same, o); ok && t.asked() {
		plain.Fprintf(a.stderr, "the answers are there already, from job %s of an earlier run: only the table is written\n", end.Job)
		if err := a.writeTable(ctx, t, outputsNamed(end.Outputs)); err != nil {
			return err
		}
		w.remove()
		return endOf(batholith.Job{ID: end.Job, Status: end.Status, Message: end.Message, Counts: batholith.Counts{Processed: 1}})
	}
	os.Remove(note)
	o.Inputs = []string{path}
	sum, err := a.runJob(ctx, o)
	if err != nil {
		return err
	}
	if err := writeEnded(note, sum, o); err != nil {
		return err
	}
	if after, err := lookAtTable(t.source); err != nil || after != before {
		return hint(fmt.Errorf("%s changed while the job ran; the answers are in %s", o.Table, strings.Join(sum.result.Outputs, ", ")),
			"make the table of the answers alone: batholith table %s", words.Quote(sum.result.Dir))
	}
	err = a.closeRun(ctx, sum, t, asJSON)
	var unfinished *endedError
	if err == nil || errors.As(err, &unfinished) {
		w.remove()
	}
	return err
}

// checkSource finds mistakes in what names the table and its format.
func (r *recipe) checkSource(ctx context.Context, source string) error {
	if source == "-" && r.from == "" {
		return &usageError{reason: "the format of stdin is not known", remedy: "name it: --from " + strings.Join(records.Formats, "|")}
	}
	if _, err := formatFlag("from", r.from); err != nil || source == "-" {
		return err
	}
	s, err := r.source(ctx, source)
	if err == nil {
		s.Close()
	}
	return err
}

// makeRecords writes the records of a table to a file, and reports whether they are those of the file that was there.
func (a *app) makeRecords(ctx context.Context, r *recipe, made records.Recipe, source, path string) (same bool, err error) {
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return false, files.PathAndReason(err)
	}
	n, err := a.writeRecords(ctx, f, r, made, source)
	if err = errors.Join(err, f.Close()); err != nil {
		os.Remove(f.Name())
		return false, err
	}
	plain.Fprintf(a.stderr, "%s, one for each row\n", words.Plural(n, "record"))
	return placeFile(path+".new", path)
}

// stemOf returns the name of a table without its endings.
func stemOf(source string) string {
	if source == "-" {
		return "stdin"
	}
	base := records.Unpacked(filepath.Base(source))
	if stem := strings.TrimSuffix(base, filepath.Ext(base)); stem != "" {
		return stem
	}
	return "table"
}

// tableState identifies the content of a file by size and time.
type tableState struct {
	bytes    int64
	modified time.Time
}

// lookAtTable returns the present state of a file. A pipe has none: it cannot be read twice.
func lookAtTable(path string) (s tableState, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return s, files.PathAndReason(err)
	}
	if !info.Mode().IsRegular() {
		return s, hint(fmt.Errorf("%s is not a regular file", path), "the table is read twice: write it to a file, or send it to -")
	}
	return tableState{info.Size(), info.ModTime()}, nil
}

// readEnded returns the end of a job over the same records, whose table was not written; ok is false if there is none.
func readEnded(note string, same bool, o localOptions) (e endedTable, ok bool) {
	text, err := os.ReadFile(note)
	if err != nil || !same || json.Unmarshal(text, &e) != nil || e.Model != o.Model || e.Type != o.Type || len(e.Outputs) == 0 {
		return e, false
	}
	for _, path := range e.Outputs {
		if _, err := os.Stat(path); err != nil {
			return e, false
		}
	}
	return e, true
}

// writeEnded notes the end of a job.
func writeEnded(note string, s summary, o localOptions) error {
	e := endedTable{Model: o.Model, Type: o.Type, Job: s.result.Job.ID, Status: s.result.Job.Status, Message: s.result.Job.Message}
	for _, path := range s.result.Outputs {
		full, err := filepath.Abs(path)
		if err != nil {
			return err
		}
		e.Outputs = append(e.Outputs, full)
	}
	text, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return os.WriteFile(note, text, 0o600)
}
