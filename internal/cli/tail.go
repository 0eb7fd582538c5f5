package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/spf13/cobra"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/words"
)

// tailOptions are the flags of the command tail.
type tailOptions struct {
	lines      int  // finished lines at the beginning; below 0: all
	follow     bool // until the end of the job
	onlyErrors bool
}

// tailCommand returns the command tail. It reads the output objects of the job, so it needs the right to read them, and works with any server
// that writes partial output.
func (a *app) tailCommand() *cobra.Command {
	var o tailOptions
	cmd := &cobra.Command{
		Use:   "tail JOB",
		Short: "Print output lines as records finish",
		Long: `Print the last output lines of a job, and then further ones as its records finish, until the job ends. Each line is printed once, as it is
in the output: {"recordId": …, "modelInput": …, "modelOutput": …}. A running job writes its output when it has doubled, and at least every
30 seconds. Ctrl-C stops the command, not the job. The exit code is 3 if the job does not end Completed.
JOB is its id, its ARN, or its name if only one job has that name.` + clientHelp,
		Example: `  batholith tail nightly
  batholith tail nightly -n -1 | jq -r .modelOutput.content[0].text
  batholith tail nightly --errors --follow=false`,
		Args: arguments(1, 1, "a JOB: an id, an ARN or a name"),
	}
	t := a.bindTarget(cmd)
	cmd.Flags().IntVarP(&o.lines, "lines", "n", 10, "begin with this `number` of lines that are there already; -1: all")
	cmd.Flags().BoolVarP(&o.follow, "follow", "f", true, "go on until the job ends; --follow=false prints what is there")
	cmd.Flags().BoolVar(&o.onlyErrors, "errors", false, "print only lines with an error")
	a.completeJobs(cmd, t, nil)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, j, err := a.connectTo(cmd.Context(), *t, args[0])
		if err != nil {
			return err
		}
		return a.tail(cmd.Context(), c, j, o)
	}
	return cmd
}

// tail prints the lines that are there, and then those that come. The job is asked before its output is read: what is there once the job has
// ended is all of it.
func (a *app) tail(ctx context.Context, c *clients, j jobFacts, o tailOptions) error {
	if _, err := c.api(); err != nil {
		return err
	}
	out := &tailed{objects: c.objects, print: func(line []byte) error { _, err := a.stdout.Write(line); return err }, errors: o.onlyErrors}
	out.bucket, out.prefix, _ = strings.Cut(strings.TrimPrefix(j.outputPrefix(), "s3://"), "/")
	if err := out.begin(ctx, o.lines); err != nil {
		return err
	}
	if !o.follow || j.Status.Terminal() {
		if out.read == 0 {
			plain.Fprintf(a.stderr, "the job has no output yet: it is %s\n", j.Status)
		}
		return nil
	}
	if out.read == 0 {
		plain.Fprintf(a.stderr, "no record is in the output yet; a running job writes it at least every 30 seconds\n")
	}
	for wait, failed := firstLook, 0; ; wait = min(wait*5/4, slowestLook) {
		select {
		case <-ctx.Done():
			return hint(ctx.Err(), "the job goes on; see it again with: batholith tail %s", words.Quote(j.id()))
		case <-time.After(wait):
		}
		next, err := c.fetch(ctx, j.ARN)
		if err == nil {
			j = next
			err = out.news(ctx)
		}
		switch {
		case err == nil && j.Status.Terminal():
			return a.closeWatch(j)
		case err == nil:
			failed = 0
		case ctx.Err() == nil:
			if failed++; failed == lookBudget {
				return err
			}
		}
	}
}

// tailed is the output of a job, and which of its lines were printed.
type tailed struct {
	objects        *objects
	bucket, prefix string
	print          func(line []byte) error
	errors         bool

	files map[string]*tailedFile // by key
	read  int                    // lines
}

// tailedFile is one output object. seen has a hash of each of its lines that was read, in their order: 8 bytes a line.
type tailedFile struct {
	etag string
	seen []uint64
}

// begin reads what is there, and prints its last lines.
func (t *tailed) begin(ctx context.Context, lines int) error {
	t.files = map[string]*tailedFile{}
	if lines < 0 {
		return t.news(ctx)
	}
	var last [][]byte // at most lines
	print := t.print
	t.print = func(line []byte) error {
		if last = append(last, line); len(last) > lines {
			last = last[1:]
		}
		return nil
	}
	err := t.news(ctx)
	t.print = print
	for _, line := range last {
		err = errors.Join(err, t.print(line))
	}
	return err
}

// news prints the lines that were not read before. Objects that have not changed are not read again.
func (t *tailed) news(ctx context.Context) error {
	pages := s3.NewListObjectsV2Paginator(t.objects.store.API(), &s3.ListObjectsV2Input{Bucket: &t.bucket, Prefix: &t.prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return t.objects.explain(err, "list the output", t.bucket, t.prefix)
		}
		for _, o := range page.Contents {
			key, etag := aws.ToString(o.Key), aws.ToString(o.ETag)
			name := strings.TrimPrefix(key, t.prefix)
			if !strings.HasSuffix(name, batholith.OutputSuffix) && !strings.HasSuffix(name, batholith.ErrorSuffix) || name == batholith.ManifestName || name == batholith.ValidationName ||
				strings.HasPrefix(name, batholith.InternalFolder+"/") {
				continue
			}
			f := t.files[key]
			if f == nil {
				f = &tailedFile{}
				t.files[key] = f
			}
			if f.etag == etag {
				continue
			}
			if err := t.readFile(ctx, key, f); err != nil {
				return err
			}
			f.etag = etag
		}
	}
	return nil
}

// readFile prints the new lines of an object. The output of a running job is in the order of the input, and lines of records that finish later
// come between the others. The lines that were read before are still there, in the same order, so that one walk along both finds the new ones.
func (t *tailed) readFile(ctx context.Context, key string, f *tailedFile) error {
	got, err := t.objects.store.API().GetObject(ctx, &s3.GetObjectInput{Bucket: &t.bucket, Key: &key})
	if err != nil {
		return t.objects.explain(err, "read", t.bucket, key)
	}
	defer got.Body.Close()
	lines := bufio.NewReaderSize(&explained{ReadCloser: got.Body, o: t.objects, bucket: t.bucket, key: key}, 64<<10)
	err = f.walk(lines, func(line []byte) error {
		t.read++
		if t.errors && !isErrorLine(line) {
			return nil
		}
		return t.print(line)
	})
	if err != nil {
		return fmt.Errorf("read the output: %w", err)
	}
	return nil
}

// walk calls told with each complete line of the object that was not read before. The line is told's.
func (f *tailedFile) walk(lines *bufio.Reader, told func(line []byte) error) error {
	before, all := f.seen, make([]uint64, 0, len(f.seen))
	// After an error, the lines up to it and those that were read before count as read.
	defer func() { f.seen = append(all, before...) }()
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		sum := maphash.Bytes(tailSeed, line)
		if len(before) > 0 && before[0] == sum {
			before = before[1:]
		} else if err := told(line); err != nil {
			return err
		}
		all = append(all, sum)
	}
}

// tailSeed is that of the hashes of this process.
var tailSeed = maphash.MakeSeed()

// isErrorLine reports whether an output line has an error in the place of an answer.
func isErrorLine(line []byte) bool {
	var l struct {
		Error    json.RawMessage `json:"error"`
		Response struct {
			Status int `json:"status_code"` // in OpenAI's lines
		} `json:"response"`
	}
	return json.Unmarshal(line, &l) == nil && (l.Error != nil && string(l.Error) != "null" || l.Response.Status > 299)
}
