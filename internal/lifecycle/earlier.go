package lifecycle

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/backoff"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/failpoint"
	"github.com/batholith/batholith/internal/jsonl"
	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/reuse"
	"github.com/batholith/batholith/internal/words"
)

// Answers of earlier jobs (docs/decisions/0047-reuse.md). Between the check of a job's input and its plan, the outputs of the earlier jobs
// that it names are read once, with the rights of the job's own role, and a table of their answers is written beside its index. Whoever
// sends the job's records looks them up in it; see package dispatch.
//
// Nothing about an earlier job fails this one. What is missing, denied, damaged, of another model or not ended is left out, and the job's
// note says so. Only a table that cannot be written, like an index that cannot be written, is a fault of the job.

// Bounds of the search for earlier jobs, if none is named: enough for an input that was corrected a few times, and little beside reading
// the input.
const (
	earlierLooked = 1000      // jobs that are looked at, the newest first
	earlierJobs   = 100       // jobs whose outputs are read
	earlierLeast  = 256 << 20 // bytes of outputs that are read in any case,
	earlierInputs = 32        // and for each byte of the input
	manifestBytes = 256 << 20 // the longest manifest that is read, in bytes
	mostTold      = 5         // jobs that were left out and are named in the note
	answerBuffer  = 256 << 10
	longestAnswer = 64 << 20 // a longer output line is left out
	outputSuffix  = ".out"
)

// earlier collects the answers of earlier jobs for one job.
type earlier struct {
	l     *Lifecycle
	job   batholith.Job
	takes batholith.Reuse
	place blob.Place // of the new job
	with  reading

	builder  *reuse.Builder
	left     int64 // bytes of outputs that may still be read, if no job was named
	jobs     int   // whose answers are in the table
	skipped  []string
	nSkipped int
}

// takeEarlier writes the table of the earlier answers that the job may take, if it takes any. note says which.
func (l *Lifecycle) takeEarlier(ctx context.Context, job batholith.Job, place blob.Place, files []batholith.File, with reading) (note string, err error) {
	tags, err := l.o.Store.Tags(ctx, job.Account, job.ID)
	if err != nil {
		return "", err
	}
	e := &earlier{l: l, job: job, takes: batholith.ReuseOf(tags, l.o.EarlierNow()), place: place, with: with, left: earlierLeast}
	if !e.takes.Any() {
		return "", nil
	}
	for _, f := range files {
		e.left += earlierInputs * f.Bytes
	}
	jobs, err := e.find(ctx)
	if err != nil {
		return "", err
	}
	e.builder = reuse.NewBuilder(l.o.Scratch)
	defer e.builder.Close()
	for _, from := range jobs {
		switch why, err := e.read(ctx, from); {
		case ctx.Err() != nil:
			return "", context.Cause(ctx)
		case err != nil:
			return "", err
		case why != "":
			e.skip(from.ID, why)
		}
	}
	n := int64(0)
	if e.builder.Len() > 0 {
		if n, err = e.write(ctx); err != nil {
			return "", err
		}
	}
	failpoint.Here("lifecycle.reusable")
	l.o.Log.Info("answers of earlier jobs were looked for", "job", job.ID, "found", n, "jobs", e.jobs, "left_out", e.nSkipped)
	return e.note(n), nil
}

// find lists the earlier jobs whose answers may be taken, the named ones first, then the newest first.
func (e *earlier) find(ctx context.Context) (jobs []batholith.Job, err error) {
	for _, id := range e.takes.Jobs {
		from, err := e.l.o.Store.Job(ctx, e.job.Account, id)
		switch {
		case errors.Is(err, batholith.ErrNotFound):
			e.skip(id, "there is no such job")
		case err != nil:
			return nil, err
		case id == e.job.ID:
			e.skip(id, "it is this job")
		case !from.Status.Terminal():
			e.skip(id, fmt.Sprintf("it is %s and has not ended", from.Status))
		case modelOf(from) != modelOf(e.job):
			e.skip(id, "it is of the model "+modelOf(from))
		case typeOf(from) != typeOf(e.job):
			e.skip(id, "its records are of "+string(typeOf(from)))
		case from.OutputLines != batholith.LinesBedrock:
			e.skip(id, "its output is in OpenAI's lines, which do not say what was asked")
		default:
			jobs = append(jobs, from)
		}
	}
	q := batholith.ListQuery{Account: e.job.Account, Limit: 100}
	for looked := 0; e.takes.Finished && looked < earlierLooked && len(jobs) < earlierJobs; looked += q.Limit {
		page, next, err := e.l.o.Store.Jobs(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, from := range page {
			if e.fits(from) && !slices.Contains(e.takes.Jobs, from.ID) && len(jobs) < earlierJobs {
				jobs = append(jobs, from)
			}
		}
		if q.Cursor = next; next == 0 {
			break
		}
	}
	return jobs, nil
}

// fits reports whether an unnamed job may have answers for this one.
func (e *earlier) fits(from batholith.Job) bool {
	return from.ID != e.job.ID && from.Status.Terminal() && from.Owner == e.job.Owner && modelOf(from) == modelOf(e.job) && typeOf(from) == typeOf(e.job) && from.OutputLines == batholith.LinesBedrock && from.Counts.Succeeded > 0
}

// modelOf is the catalogue's id of the job's model, or for a job of batholith run the id that it was started with.
func modelOf(j batholith.Job) string { return cmp.Or(j.Model, j.ModelID) }

// typeOf is the job's invocation type, which old jobs leave out.
func typeOf(j batholith.Job) batholith.InvocationType { return cmp.Or(j.Type, batholith.InvokeModel) }

// skip notes why an earlier job is left out.
func (e *earlier) skip(id, why string) {
	e.nSkipped++
	if len(e.skipped) < mostTold {
		e.skipped = append(e.skipped, plain.Sprintf("%s: %s", id, why))
	}
}

// outputs are the output objects of an earlier job, and what its manifest says of them.
type outputs struct {
	from     batholith.Job
	bucket   blob.Bucket
	objects  []batholith.Object
	manifest *batholith.Manifest // nil: there is none
	sums     map[string]string   // CRC-32C by key, as the manifest says
}

// read takes in the answers of an earlier job. why says why there are none; err is a fault of this machine.
func (e *earlier) read(ctx context.Context, from batholith.Job) (why string, err error) {
	out, why := e.open(ctx, from)
	if why != "" {
		return why, nil
	}
	kinds, why := e.kinds(out)
	if why != "" {
		return why, nil
	}
	before := e.builder.Len()
	var bad string
	for _, o := range out.objects {
		if !slices.Contains(e.takes.Jobs, from.ID) {
			if e.left -= o.Bytes; e.left < 0 {
				bad = cmp.Or(bad, "the outputs of newer jobs are so large that no more are read; name the job in the tag "+batholith.ReuseTag)
				break
			}
		}
		var refused string
		var broken error // of this machine's disk
		err := e.repeat(ctx, from.ID, func() (err error) {
			refused, err, broken = e.object(ctx, out, o, kinds)
			return err
		})
		switch {
		case broken != nil || ctx.Err() != nil:
			return "", broken
		case err != nil:
			refused = fmt.Sprintf("its output %s cannot be read: %v", blob.URI(out.bucket, o.Key), err)
		}
		bad = cmp.Or(bad, refused)
	}
	switch {
	case e.builder.Len() > before:
		e.jobs++
	case bad == "" && out.manifest != nil && out.manifest.SuccessRecordCount > 0:
		bad = "its output lines have no modelInput to compare, or were not written by Batholith"
	case bad == "":
		bad = "it has no answers"
	}
	return bad, nil
}

// open lists the outputs of an earlier job with the rights of this job's role, and reads its manifest.
func (e *earlier) open(ctx context.Context, from batholith.Job) (out outputs, why string) {
	at := e.job
	at.Output, at.KMSKeyID = from.Output, ""
	err := e.repeat(ctx, from.ID, func() error {
		place, err := e.l.o.Place(ctx, at)
		if err != nil {
			return err
		}
		out = outputs{from: from, bucket: place.Output, sums: map[string]string{}}
		prefix := strings.TrimSuffix(place.Prefix, e.job.ID+"/") + from.ID + "/"
		for o, err := range place.Output.List(ctx, prefix) {
			name := strings.TrimPrefix(o.Key, prefix)
			switch {
			case err != nil:
				return err
			case name == batholith.ManifestName:
				if out.manifest, err = readManifest(ctx, place.Output, o); err != nil {
					return err
				}
			case name != batholith.ValidationName && strings.HasSuffix(name, outputSuffix) && !strings.HasPrefix(name, batholith.InternalFolder+"/"):
				out.objects = append(out.objects, o)
			}
		}
		return nil
	})
	switch {
	case err != nil:
		return out, "its output cannot be read: " + err.Error()
	case len(out.objects) == 0 && from.Kept == batholith.KeptWaiting:
		return out, "its results are kept and not published; publish them with: batholith publish " + from.ID
	case len(out.objects) == 0:
		return out, "it has no output"
	}
	if out.manifest != nil {
		for _, f := range out.manifest.Batholith.Files {
			out.sums[f.Output] = f.CRC32C
		}
	}
	return out, ""
}

// readManifest reads a manifest. One that cannot be understood is as none.
func readManifest(ctx context.Context, b blob.Bucket, o batholith.Object) (*batholith.Manifest, error) {
	if o.Bytes > manifestBytes {
		return nil, nil
	}
	r := blob.NewReader(ctx, b, o.Key, o.ETag, 0, o.Bytes)
	defer r.Close()
	body, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	m := &batholith.Manifest{}
	if json.Unmarshal(body, m) != nil {
		return nil, nil
	}
	return m, nil
}

// repeat calls do until it succeeds or fails for good, at most for as long as denied access is retried: an outage is waited for, since the
// answers would have to be paid for again, but an earlier job never holds up this one for good. Meanwhile the job counts as one whose bucket
// does not answer, so that it gives up its place to others.
func (e *earlier) repeat(ctx context.Context, from string, do func() error) (err error) {
	defer e.with.flow.call()()
	began, told := time.Now(), false
	for waits := backoff.New(firstAgain, 5*time.Second); ; sleep(ctx, waits.Next()) {
		err = do()
		if err == nil || blob.Permanent(err) || ctx.Err() != nil || time.Since(began) > e.l.o.Patience {
			return err
		}
		e.l.o.Log.Warn("the output of an earlier job cannot be read; Batholith retries it", "job", e.job.ID, "earlier", from, "err", err)
		if time.Since(began) > noteAfter && !told {
			told = true
			note := plain.Sprintf("The job waits for answers of the earlier job %s: %v", from, err)
			if err := e.l.o.Store.Note(ctx, e.job.ID, batholith.CutMessage(note)); err != nil {
				e.l.o.Log.Debug("note on job", "job", e.job.ID, "err", err)
			}
		}
	}
}

// kind is the model name and the recipe of answers.
type kind struct{ model, recipe string }

// kinds says which kinds of answers an earlier job has.
type kinds struct {
	all   kind               // of every answer that the line tells nothing of
	known bool               // all is known, or does not matter
	by    map[[2]string]kind // by server and model name in the line
}

// serves reports whether answers of a kind may be taken.
func (e *earlier) serves(k kind) bool {
	return e.takes.AnyModel || e.l.o.Serving == nil || batholith.Serves(e.l.o.Serving(e.job), k.model, k.recipe)
}

// kinds reads from the manifest what gave the answers of an earlier job. Its lines tell it apart only with provenance: lines; without, all
// its answers must be acceptable.
func (e *earlier) kinds(out outputs) (k kinds, why string) {
	k.by = map[[2]string]kind{}
	if out.manifest == nil {
		k.known = e.serves(kind{})
		return k, ""
	}
	sources := out.manifest.Batholith.Sources
	var others []string
	counted := int64(0)
	for i, s := range sources {
		at := kind{s.Model, s.Recipe}
		counted += s.Records
		name := [2]string{s.Backend, s.Model}
		if was, twice := k.by[name]; twice && was != at { // the settings changed while the job ran, and the line does not tell when
			at = kind{}
		}
		k.by[name] = at
		if i == 0 {
			k.all = at
		}
		if k.all.model != at.model {
			k.all.model = ""
		}
		if k.all.recipe != at.recipe {
			k.all.recipe = ""
		}
		if !e.serves(at) {
			others = append(others, cmp.Or(s.Model, "a model without a name"))
		}
	}
	k.known = len(others) == 0 && (counted == out.manifest.SuccessRecordCount && len(sources) > 0 || e.serves(kind{}))
	if len(others) == len(sources) && len(sources) > 0 {
		return k, fmt.Sprintf("its answers are of another served model, or of other settings of it (%s); the word %s in the tag %s takes them nevertheless",
			strings.Join(slices.Compact(slices.Sorted(slices.Values(others))), ", "), batholith.ReuseAnyModel, batholith.ReuseTag)
	}
	return k, ""
}

// of returns the kind of an answer, and whether it may be taken.
func (k kinds) of(e *earlier, a jsonl.Answered) (kind, bool) {
	if a.BackendName == "" && a.ModelName == "" {
		return k.all, k.known
	}
	at, listed := k.by[[2]string{a.BackendName, a.ModelName}]
	if !listed {
		at = kind{model: a.ModelName}
	}
	return at, e.serves(at)
}

// object takes in the answers of one output. why says why it is left out; unread is the bucket's error, and broken that of this machine's
// disk. After either nothing of the output is taken.
func (e *earlier) object(ctx context.Context, out outputs, o batholith.Object, k kinds) (why string, unread, broken error) {
	body := counted{blob.NewReader(ctx, out.bucket, o.Key, o.ETag, 0, o.Bytes), e.with.flow}
	defer body.Close()
	sum := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	lines := answerLines{r: bufio.NewReaderSize(io.TeeReader(body, sum), answerBuffer)}
	sources := map[kind]int{}
	for {
		line, err := lines.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			e.drop(sources)
			return "", err, nil
		}
		a, answered := jsonl.ParseAnswer(line)
		if !answered {
			continue
		}
		at, may := k.of(e, a)
		if !may {
			continue
		}
		source, known := sources[at]
		if !known {
			source = e.builder.Source(reuse.Source{Job: out.from.ARN().String(), URI: out.from.Output.URI, Owner: out.from.Output.Owner, Key: o.Key, ETag: o.ETag, Model: at.model, Recipe: at.recipe})
			sources[at] = source
		}
		if err := e.builder.Add(reuse.HashOf(a.Input), a.ID, reuse.Place{Source: source, Offset: lines.at, Length: uint32(len(line))}); err != nil {
			return "", nil, err
		}
	}
	if is, told := fmt.Sprintf("%08x", sum.Sum32()), out.sums[blob.URI(out.bucket, o.Key)]; told != "" && told != is {
		e.drop(sources)
		return fmt.Sprintf("its output %s is not what the job wrote: the checksum is %s, and the manifest says %s", blob.URI(out.bucket, o.Key), is, told), nil, nil
	}
	return "", nil, nil
}

// drop takes back the answers of an output.
func (e *earlier) drop(sources map[kind]int) {
	for _, s := range sources {
		e.builder.Drop(s)
	}
}

// write writes the table, and returns how many answers are in it.
func (e *earlier) write(ctx context.Context) (n int64, err error) {
	key := e.place.Prefix + batholith.InternalFolder + "/" + reuse.Object
	w := blob.NewWriter(ctx, e.place.Output, key, blob.WriterOptions{Begun: func(ctx context.Context, id string) error {
		return e.l.o.Store.PutUpload(ctx, batholith.Upload{Job: e.job.ID, Key: key, UploadID: id})
	}})
	defer e.with.flow.call()()
	if n, err = e.builder.Write(w); err == nil {
		err = w.Close()
	}
	if err != nil {
		return 0, access(fmt.Errorf("write the table of earlier answers: %w", errors.Join(err, w.Abort())), "PutObject", e.place.Output.Name(), e.place.Prefix)
	}
	return n, nil
}

// Taking and NothingTaken begin a job's note about answers of earlier jobs. It is no reason why records wait.
const (
	Taking       = "Records whose modelInput was answered in earlier jobs"
	NothingTaken = "No answers of earlier jobs were found"
)

// note says whose answers the job takes, and which jobs were left out.
func (e *earlier) note(n int64) string {
	var s strings.Builder
	if n > 0 {
		fmt.Fprintf(&s, "%s take those answers: %s of %s found.", Taking, words.Plural(n, "answer"), words.Plural(int64(e.jobs), "job"))
	} else {
		s.WriteString(NothingTaken + ", so every record is sent to the model.")
	}
	if e.nSkipped > 0 {
		s.WriteString(" Left out: " + strings.Join(e.skipped, "; "))
		if more := e.nSkipped - len(e.skipped); more > 0 {
			fmt.Fprintf(&s, "; and %d more", more)
		}
		s.WriteString(".")
	}
	return batholith.CutMessage(s.String())
}

// answerLines reads the lines of an output, with their newlines.
type answerLines struct {
	r         *bufio.Reader
	at        int64 // offset of the present line
	following int64
	long      []byte
}

// next returns the next line, valid until the next call, or io.EOF. A line that is too long is returned empty.
func (l *answerLines) next() ([]byte, error) {
	l.at = l.following
	line, err := l.r.ReadSlice('\n')
	l.following += int64(len(line))
	if err == nil || errors.Is(err, io.EOF) && len(line) > 0 {
		return line, nil
	}
	if !errors.Is(err, bufio.ErrBufferFull) {
		return nil, err
	}
	l.long = append(l.long[:0], line...)
	for errors.Is(err, bufio.ErrBufferFull) {
		line, err = l.r.ReadSlice('\n')
		l.following += int64(len(line))
		if len(l.long) <= longestAnswer {
			l.long = append(l.long, line...)
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(l.long) > longestAnswer {
		l.long = nil
	}
	return l.long, nil
}
