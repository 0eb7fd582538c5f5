package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/engine"
	"github.com/batholith/batholith/internal/files"
	"github.com/batholith/batholith/internal/jsonl"
	"github.com/batholith/batholith/internal/lifecycle"
	"github.com/batholith/batholith/internal/object"
	"github.com/batholith/batholith/internal/words"
)

// validateCommand returns the command validate. It submits nothing and needs a server only for s3:// inputs. It
// returns an error, exit code 1, if a job over the input would fail; warnings alone are a success.
func (a *app) validateCommand() *cobra.Command {
	var (
		model, typ string
		asJSON     bool
	)
	cmd := &cobra.Command{
		Use:   "validate INPUT…",
		Short: "List every problem in the input, and estimate what it costs; nothing is submitted",
		Long: `Read the input as a job would, and list every problem with file, line and reason; then print counts, size and an estimate of
the tokens. Nothing is submitted. INPUT is a file (also .jsonl.gz or .jsonl.zst), a folder, - for stdin, or an s3:// URI.

Lines that are not records, and counts above the configured quotas, are errors: a job with this input would fail. Warnings are
bodies that do not match the model's family, which would end as error lines, and duplicate recordIds.
With strict_bodies in the settings, such bodies are errors.
The first ` + words.Number(batholith.ListedLines) + ` of each are listed; all are counted. The exit code is 1 if there is an error.

Tokens are estimated from the characters of the text, with bounds for the differences between tokenizers. If the model's server can count
tokens (vLLM, llama.cpp, Anthropic), it counts those of 100 records, which corrects the estimate; of up to 100 records the number is exact. Nothing
is generated. The maximum of output tokens is the sum of the bodies' limits.
An s3:// URI is read from the server that the standard AWS variables name, otherwise from the one that runs in ./batholith-data.`,
		Example: `  batholith validate questions.jsonl
  batholith validate ./records --model anthropic.claude-3-haiku-20240307-v1:0
  batholith validate s3://my-bucket/in/ --json`,
		Args: arguments(1, 0, "an INPUT: a file that ends in .jsonl, a folder of such files, or an s3:// URI"),
	}
	t := a.bindTarget(cmd)
	cmd.Flags().StringVar(&model, "model", "", "model `id` or alias that the bodies are for (default: the first configured model, else "+embeddedModel+")")
	cmd.Flags().StringVar(&typ, "type", "", "InvokeModel or Converse (default: detected from the first record)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	s := a.bindSettings(cmd, "profile")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		asked, err := parseType(typ)
		if err != nil {
			return err
		}
		t.file = a.settingsFile(t.file)
		s.file = t.file
		c, err := a.load(s)
		if err != nil {
			return err
		}
		v := &validator{app: a, settings: c, target: *t, limits: c.Limits.Rules(), family: familyNamed(c, model), strict: c.StrictBodies}
		unpacked, err := a.unpackInputs(cmd.Context(), args)
		if err != nil {
			return err
		}
		defer unpacked.close()
		if v.inputs, err = v.find(cmd.Context(), unpacked.inputs, &asked); err != nil {
			return err
		}
		if v.form.openAI() {
			if model, err = a.modelFor(c, v.form, model); err != nil {
				return err
			}
		}
		if v.bodies, err = a.newBodies(c, model, asked); err != nil {
			return err
		}
		found, err := v.run(cmd.Context())
		if err != nil {
			return err
		}
		return a.closeValidate(found, asJSON)
	}
	return cmd
}

// inputFile is a file of records. The name is its path or URI as the user knows it.
type inputFile struct {
	name   string // path or URI, as people know it
	bucket blob.Bucket
	object batholith.Object
}

// validator reads an input and collects its problems. It is used once. The members from bodies on are shared by
// the goroutines that read; the others are set before run and do not change.
type validator struct {
	app      *app
	settings *config.Config
	target   target
	form     lineForm // of the first line
	limits   batholith.Limits
	family   string // of the model whose bodies these are
	strict   bool   // a body that does not fit the model is an error (strict_bodies)
	inputs   []inputFile

	bodies   *bodies
	ids      *idSet
	read     atomic.Int64 // bytes; ends of lines behind a range count twice
	problems atomic.Int64
}

// find returns the files of the inputs, local ones first. If *typ is "", it is detected from the first local
// record, and *typ is set; for objects alone it stays "", which newBodies takes as InvokeModel.
func (v *validator) find(ctx context.Context, args []string, typ *batholith.InvocationType) (all []inputFile, err error) {
	var local []string
	for _, arg := range args {
		if !isS3(arg) {
			local = append(local, arg)
		}
	}
	if len(local) > 0 {
		gathered, form, err := v.app.gather(local)
		if err != nil {
			return nil, err
		}
		if *typ, err = form.typed(v.app, *typ, ""); err != nil {
			return nil, err
		}
		v.form = form
		*typ = v.app.invocationType(*typ, v.family, form)
		if all, err = localInputs(ctx, gathered); err != nil {
			return nil, err
		}
	}
	for _, arg := range args {
		if isS3(arg) {
			found, err := v.remote(ctx, arg)
			if err != nil {
				return nil, err
			}
			if len(all) == 0 {
				r := blob.NewReader(ctx, found[0].bucket, found[0].object.Key, found[0].object.ETag, 0, min(found[0].object.Bytes, firstRecordBytes))
				v.form = formIn(r, found[0].name)
				r.Close()
				if *typ, err = v.form.typed(v.app, *typ, ""); err != nil {
					return nil, err
				}
			}
			all = append(all, found...)
		}
	}
	return all, nil
}

// unfit returns what finds the lines that a job over OpenAI's lines would refuse; nil: the lines are Bedrock's, or the model is not known.
func (v *validator) unfit() func(jsonl.Line) string {
	if !v.form.openAI() || v.bodies.model == "" {
		return nil
	}
	names := []string{v.bodies.model}
	if all, err := engine.Catalogue(modelOptions(v.settings)); err == nil {
		if m, ok := all.Lookup(v.bodies.model); ok {
			names = append(names, m.Aliases...)
		}
	}
	return lifecycle.UnfitLines(v.bodies.model, names, v.form.typ, false, nil)
}

// localInputs returns the files of records among the gathered ones, in the order in which a job reads them.
func localInputs(ctx context.Context, gathered []localFile) (all []inputFile, err error) {
	paths, names := map[string]string{}, map[string]string{}
	for _, f := range gathered {
		if strings.HasSuffix(f.key, inputSuffix) {
			paths[f.key], names[f.key] = f.path, f.name()
		}
	}
	bucket := files.NewInput(paths)
	for o, err := range bucket.List(ctx, "") {
		if err != nil {
			return nil, err
		}
		all = append(all, inputFile{name: names[o.Key], bucket: bucket, object: o})
	}
	return all, nil
}

// anyPrefix stands for the output prefix of a job that does not exist yet. A real one is never shorter, so names
// that fit below this one may only fail by being longer.
var anyPrefix = strings.Repeat("x", batholith.JobIDLength) + "/"

// remote returns the objects that a job with this input URI would read. None is an error.
func (v *validator) remote(ctx context.Context, uri string) (all []inputFile, err error) {
	if err := refuseURI(uri); err != nil {
		return nil, err
	}
	name, key, err := object.ParseURI(uri)
	if err != nil {
		return nil, err
	}
	r, err := v.app.reachServer(ctx, v.target)
	if err != nil {
		return nil, err
	}
	bucket := r.objects.store.Bucket(name, object.Options{})
	objects, err := lifecycle.Inputs(ctx, bucket, key, anyPrefix)
	if err != nil {
		var fault *object.Fault
		if cause := lifecycle.Cause(err); errors.As(cause, &fault) {
			return nil, r.objects.explain(cause, "list", name, key)
		}
		return nil, err
	}
	if len(objects) == 0 {
		return nil, hint(fmt.Errorf("there is no %s file at %s", inputSuffix, uri), "is it uploaded, and the key spelled right?")
	}
	for _, o := range objects {
		all = append(all, inputFile{name: blob.URI(bucket, o.Key), bucket: bucket, object: o})
	}
	return all, nil
}

// filesAtOnce is the number of files that are open in parallel. For objects, this hides the time until their first
// bytes arrive.
const filesAtOnce = 16

// run reads all files in parallel and returns what it found. Counts are complete; of errors and warnings the first
// batholith.ListedLines are kept, in the order of the input. recordIds that do not fit into memory go to temporary
// files, which are removed at the end. An error means that the input could not be read; problems in it are part of
// the result.
func (v *validator) run(ctx context.Context) (*validated, error) {
	began := time.Now()
	v.ids = &idSet{most: memoryIDs}
	defer v.ids.close()
	stop := v.showProgress()
	defer stop()
	pool, first, remarks := jsonl.NewPool(), jsonl.NewFirst(batholith.ListedLines), jsonl.NewFirst(batholith.ListedLines)
	counts := make([]batholith.File, len(v.inputs))
	sums := make([]jsonl.Surveyed, len(v.inputs))
	unfit := v.unfit()
	g, surveying := errgroup.WithContext(ctx)
	g.SetLimit(filesAtOnce)
	for i, in := range v.inputs {
		counts[i] = batholith.File{Key: in.name, Bytes: in.object.Bytes}
		g.Go(func() (err error) {
			sums[i], err = pool.Run(surveying, jsonl.Survey{Bytes: in.object.Bytes, Keep: batholith.ListedLines, Unsummed: true, Lines: v.form.lines, Refuse: unfit, Open: v.opener(in), Remark: v.bodies.remark,
				Entries: func(es []jsonl.Entry) error {
					counts[i].Records += int64(len(es))
					return v.ids.add(i, es)
				},
				Problems: func(problems, warnings []jsonl.Problem) {
					if v.strict {
						problems, warnings = slices.Concat(problems, warnings), nil
					}
					v.problems.Add(int64(len(problems)))
					first.Add(i, problems)
					remarks.Add(i, warnings)
				}})
			return err
		})
	}
	if err := g.Wait(); err != nil {
		// After Ctrl-C the cause is the interruption, not the read that it broke off.
		if cause := context.Cause(ctx); cause != nil {
			err = errors.Join(cause, err)
		}
		return nil, err
	}
	again, err := v.ids.repeated(remarks, func(file int) string { return v.inputs[file].name })
	if err != nil {
		return nil, err
	}
	found := v.sum(counts, sums)
	found.counted(v.bodies.sample.count(ctx))
	found.Cost = found.costs(v.bodies.price)
	found.Repeated, found.Warnings = again, found.Warnings+again
	found.ErrorList, found.WarningList = v.located(first), v.located(remarks)
	found.Seconds = time.Since(began).Seconds()
	return found, nil
}

// opener returns a function that reads a file from an offset and counts the bytes for the progress bar.
func (v *validator) opener(in inputFile) func(context.Context, int64) io.ReadCloser {
	return func(ctx context.Context, from int64) io.ReadCloser {
		r := blob.NewReader(ctx, in.bucket, in.object.Key, in.object.ETag, from, in.object.Bytes-from)
		return &countedReader{r, &v.read}
	}
}

// countedReader adds the bytes that are read to n.
type countedReader struct {
	io.ReadCloser
	n *atomic.Int64
}

// Read reads and counts.
func (c *countedReader) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// drawEvery is the time between two drawings of the bar.
const drawEvery = 100 * time.Millisecond

// showProgress draws a bar on a terminal until stop is called, and does nothing elsewhere. stop waits for the
// goroutine and may be called twice.
func (v *validator) showProgress() (stop func()) {
	if !v.app.live() {
		return func() {}
	}
	total := int64(0)
	for _, in := range v.inputs {
		total += in.object.Bytes
	}
	b := v.app.newBar()
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(drawEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				done := min(v.read.Load(), total)
				text := fmt.Sprintf("read %s of %s", humanize.IBytes(uint64(done)), humanize.IBytes(uint64(total)))
				if n := v.problems.Load(); n > 0 {
					text += " · " + words.Plural(n, "error")
				}
				b.draw(done, total, text)
			case <-end:
				b.clear()
				return
			}
		}
	}()
	return sync.OnceFunc(func() { close(end); <-ended })
}
