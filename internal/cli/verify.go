package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/files"
	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/verify"
	"github.com/batholith/batholith/internal/words"
)

// verifyCommand returns the command verify. It only reads: local files for a directory, otherwise objects with the
// keys of this shell. It returns an error, exit code 1, if anything differs.
func (a *app) verifyCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify JOB",
		Short: "Check a finished job's output against its input and manifest",
		Long: `Check a finished job: read its manifest, input and output, and recompute everything that the manifest states: checksums,
sizes and counts. Every record must have one line, in input order, with its modelInput byte for byte. Token counts are
compared if the answers contain them.

JOB is an id, an ARN or a name on a server, or the directory of a job of batholith run or of submit --download.
The exit code is 0 if everything matches, and 1 if something differs; the first ` + fmt.Sprint(verify.ShownDifferences) + ` differences are listed with file and line.` + clientHelp,
		Example: `  batholith verify nightly
  batholith verify batholith-out/8fj2k4l6m8n0 --json`,
		Args: arguments(1, 1, "a JOB: an id, an ARN, a name, or a directory"),
	}
	t := a.bindTarget(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		v := &verification{app: a, target: *t, gauge: gauge{live: a.live(), bar: a.newBar()}}
		found, err := v.run(cmd.Context(), args[0])
		v.gauge.bar.clear()
		if err != nil {
			return err
		}
		return a.closeVerify(found, asJSON)
	}
	return cmd
}

// verification finds the job that a word names and checks its files, on this machine or on the server. A word that
// is a path of this machine is a directory; everything else is asked of the server.
type verification struct {
	app    *app
	target target
	gauge  gauge
	reach  *clients          // of the server; nil until it is needed
	dir    string            // local directory of the job; "": its objects are on the server
	counts *batholith.Counts // as the server has them
}

// run finds the job and checks its output against its input and manifest. An error means that the check could not
// be made, for example because the input is gone; differences are part of the result. A manifest of a newer
// version is an error with the remedy to use a newer batholith.
func (v *verification) run(ctx context.Context, word string) (verify.Result, error) {
	m, err := v.locate(ctx, word)
	if err != nil {
		return verify.Result{}, err
	}
	found, err := verify.Job(ctx, m, verify.Options{Open: v.openURI, Dir: v.dir, Counts: v.counts, Read: v.gauge.show})
	if _, ok := errors.AsType[*verify.VersionError](err); ok {
		return found, hint(err, "run a newer batholith")
	}
	return found, err
}

// locate returns the manifest of a local job directory, or of a job on the server. For the latter it also keeps
// the job's counters, which are compared too. A job that has not ended is an error: its output still grows.
func (v *verification) locate(ctx context.Context, word string) (m batholith.Manifest, err error) {
	if info, err := os.Stat(word); err == nil {
		v.dir = word
		if !info.IsDir() {
			v.dir = filepath.Dir(word)
		}
		path := filepath.Join(v.dir, batholith.ManifestName)
		text, err := files.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			return m, hint(fmt.Errorf("there is no %s in %s", batholith.ManifestName, v.dir),
				"name the directory of a finished job, DIR/<job id>; an unfinished one goes on with the same batholith run")
		}
		if err != nil {
			return m, files.PathAndReason(err)
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
	// The output is complete only when the job has ended.
	if !j.Status.Terminal() {
		return m, hint(fmt.Errorf("the job is %s: its output still grows", j.Status), "wait for its end with: batholith watch %s", words.Quote(j.id()))
	}
	uri := j.outputPrefix() + batholith.ManifestName
	text, err := v.reach.objects.all(ctx, uri)
	if errors.Is(err, batholith.ErrNoObject) {
		return m, hint(fmt.Errorf("the job ended %s and has no manifest: there is nothing to verify", j.Status), "what became of it: batholith get %s", words.Quote(j.id()))
	}
	if err != nil {
		return m, err
	}
	if err := decodeManifest(uri, text, &m); err != nil {
		return m, err
	}
	v.counts = &batholith.Counts{Total: j.Total, Processed: j.Processed, Succeeded: j.Succeeded, Errored: j.Errored}
	return m, nil
}

// decodeManifest decodes a manifest; name is its path or URI, for the error.
func decodeManifest(name string, text []byte, m *batholith.Manifest) error {
	if err := json.Unmarshal(text, m); err != nil {
		return fmt.Errorf("read the manifest %s: %w", name, err)
	}
	return nil
}

// closeVerify prints OK with what was compared, or the differences one on a line, or all as JSON. Differences are
// an error.
func (a *app) closeVerify(v verify.Result, asJSON bool) error {
	switch {
	case asJSON:
		if err := a.printJSON(v); err != nil {
			return err
		}
	case v.OK:
		plain.Fprintf(a.stdout, "OK: %s: %s, %s; %s agree (%s read in %s)\n", linesOf(v), words.Plural(v.Answers, "answer"), words.Plural(v.Errors, "error"), agreed(v),
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

// linesOf says how many records were processed. In a job that was stopped or expired, others were not; that is no difference, and it
// is said.
func linesOf(v verify.Result) string {
	of := fmt.Sprintf("%s in %s", words.Plural(v.Records, "record"), words.Plural(int64(v.Files), "file"))
	if v.Unprocessed == 0 {
		return of + ", each once and in the order of the input"
	}
	was := func(n int64) string {
		if n == 1 {
			return words.Number(n) + " was"
		}
		return words.Number(n) + " were"
	}
	return fmt.Sprintf("of %s, %s processed, each once and in the order of the input, and %s not (the job ended %s)",
		of, was(v.Records-v.Unprocessed), was(v.Unprocessed), v.Status)
}

// agreed names what was compared: checksums, counts and, if the answers contain them, tokens. If the manifest has
// no checksums of the input, only those of the output were compared.
func agreed(v verify.Result) string {
	what := "checksums, counts"
	if !v.InputSums {
		what = "checksums of the output, counts"
	}
	if v.Tokens {
		return what + " and tokens"
	}
	return what
}

// gauge shows on a terminal how much has been read.
type gauge struct {
	live  bool
	bar   bar
	drawn int64
}

// gaugeStep is the number of bytes between two drawings.
const gaugeStep = 4 << 20

// show is called with the bytes read so far and the total. It draws at most once per gaugeStep.
func (g *gauge) show(done, total int64) {
	if g.live && done-g.drawn >= gaugeStep {
		g.drawn = done
		g.bar.draw(done, total, fmt.Sprintf("checked %s of %s", humanize.IBytes(uint64(done)), humanize.IBytes(uint64(total))))
	}
}
