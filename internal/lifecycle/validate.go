package lifecycle

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/failpoint"
	"github.com/batholith/batholith/internal/jsonl"
	"github.com/batholith/batholith/internal/plain"
)

// refusal ends a job as Failed: the user must change something, and the message says what.
type refusal struct {
	message string
	denied  bool  // access was denied, which may change within seconds
	cause   error // what the bucket said, for Cause; errors.Is must not see it
}

// Error is the message for the user.
func (r *refusal) Error() string { return r.message }

// Cause returns what the bucket said behind an error of [Inputs], or the error itself.
func Cause(err error) error {
	if no, ok := errors.AsType[*refusal](err); ok && no.cause != nil {
		return no.cause
	}
	return err
}

// refuse makes a refusal. Its operands are made safe to print: one line, no control characters.
func refuse(format string, args ...any) error {
	return &refusal{message: plain.Sprintf(format, args...)}
}

// Bounds of parallel work, in addition to those of the pool of scanners. A file takes the memory of its index that is not uploaded yet,
// which grows with the file up to the size of one part.
const (
	scans       = 32       // files of one job that are read in parallel
	weightBytes = 32 << 20 // sum of the weights of files that are read in this process, or in one slow job
	heaviest    = 16 << 20 // weight of a file: its bytes, at most this
)

// Places for jobs whose buckets are slow: of all principals, and of one.
const (
	slowValidations = 4
	slowOfOne       = 1
)

// reading holds what the files of a job are read with.
type reading struct {
	pool    *jsonl.Pool
	weights *semaphore.Weighted
	flow    *flow
}

// errSlow ends the reading of a job whose bucket is slow while other jobs wait for its place.
var errSlow = errors.New("the job's bucket is slow")

// validate does Bedrock's checks between Submitted and Scheduled, plans the job's chunks and moves it to Scheduled, at the returned time. A
// *refusal says what is wrong with the job. After any other error the caller must try again. Only the reading of the input needs a place
// among the validations; a job whose bucket does not answer waits without one.
func (d *drive) validate(ctx context.Context, job batholith.Job) (at time.Time, err error) {
	d.since = time.Now()
	place, files, err := d.probe(ctx, job)
	if err != nil {
		return at, err
	}
	d.since = time.Time{} // later errors count from the time of the failure: reading may have worked for hours
	d.waits.succeeded(ToValidate)
	if d.slow {
		d.leaveLobby()
		if err := d.place(ctx, d.l.slow); err != nil {
			return at, err
		}
		defer d.l.slow.give(d.owner)
		return d.l.read(ctx, job, place, files, reading{jsonl.NewPool(), semaphore.NewWeighted(weightBytes), &flow{}})
	}
	if err := d.place(ctx, d.l.fast); err != nil {
		return at, err
	}
	d.leaveLobby()
	defer d.l.fast.give(d.owner)
	defer d.l.pool.Rest()
	ctx, cancel := context.WithCancelCause(ctx)
	var watch sync.WaitGroup
	defer watch.Wait()
	defer cancel(nil)
	with := reading{d.l.pool, d.l.weights, &flow{}}
	watch.Go(func() { d.l.fast.watch(ctx, d.owner, with.flow, func() { cancel(errSlow) }) })
	at, err = d.l.read(ctx, job, place, files, with)
	if errors.Is(context.Cause(ctx), errSlow) && err != nil {
		d.slow = true
		return at, errSlow
	}
	return at, err
}

// probe opens the job's buckets, checks that the output can be written and read, and lists the input. That the inputs can be read is seen
// when they are read.
func (d *drive) probe(ctx context.Context, job batholith.Job) (place blob.Place, files []batholith.File, err error) {
	if err := refuseLocations(job); err != nil {
		return place, nil, err
	}
	began := time.Now()
	unanswered := time.AfterFunc(noteAfter, func() {
		d.leaveLobby()
		d.waits.failed(ToHear, began, fmt.Errorf("the S3 has not answered yet for %s or %s; check that it is running", job.Input.URI, job.Output.URI))
	})
	defer d.waits.succeeded(ToHear)
	defer unanswered.Stop()
	if place, err = d.l.o.Place(ctx, job); err != nil {
		return place, nil, denied(err, "The role %s cannot be used: %v", job.RoleARN, err)
	}
	if err := d.l.writable(ctx, job, place); err != nil {
		return place, nil, err
	}
	failpoint.Here("lifecycle.probed")
	if files, err = d.l.inputs(ctx, place, job); err != nil {
		return place, nil, err
	}
	if err := d.l.readable(ctx, job, place); err != nil {
		return place, nil, err
	}
	return place, files, nameable(ctx, place, files)
}

// place waits for a place among the validations. If that takes long, the job's note says so.
func (d *drive) place(ctx context.Context, p *places) error {
	began := time.Now()
	queued := time.AfterFunc(noteAfter, func() {
		n, _ := p.ahead(d.owner)
		d.waits.failed(InLine, began, fmt.Errorf("other jobs are validated first (%d wait, and each principal gets its turn)", n))
	})
	defer d.waits.succeeded(InLine)
	defer queued.Stop()
	return p.take(ctx, d.owner)
}

// read reads the job's files and stores the plan.
func (l *Lifecycle) read(ctx context.Context, job batholith.Job, place blob.Place, files []batholith.File, with reading) (at time.Time, err error) {
	plans := make([]*plan, len(files))
	found, checks := jsonl.NewFirst(batholith.ListedLines), l.bodiesOf(job)
	g, scanCtx := errgroup.WithContext(ctx)
	g.SetLimit(scans)
	for i, file := range files {
		weight := min(file.Bytes, heaviest)
		g.Go(func() (err error) {
			if err := with.weights.Acquire(scanCtx, weight); err != nil {
				return context.Cause(scanCtx)
			}
			defer with.weights.Release(weight)
			s := scan{l: l, job: job, place: place, file: file, found: found, bodies: checks, with: with}
			plans[i], err = s.run(scanCtx)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return at, err
	}
	if err := refuseLines(ctx, job, place, plans, found.List(), l.discreet(job)); err != nil {
		return at, err
	}
	taken, err := l.takeEarlier(ctx, job, place, files, with)
	if err != nil {
		return at, err
	}
	at, err = l.plan(ctx, job, plans)
	if err == nil {
		l.warn(ctx, job, place, plans, checks, taken)
	}
	return at, err
}

// refuseLocations checks the URIs again, as Create does, since an older version may have accepted the job.
func refuseLocations(job batholith.Job) error {
	if why := batholith.RefuseURI(job.Input.URI); why != "" {
		return refuse("The input %s cannot be used: %s", job.Input.URI, why)
	}
	if why := batholith.RefuseURI(job.Output.URI); why != "" {
		return refuse("The output %s cannot be used: %s", job.Output.URI, why)
	}
	return nil
}

// plan checks the number of records, and stores the files and the numbered chunks with the move to Scheduled.
func (l *Lifecycle) plan(ctx context.Context, job batholith.Job, plans []*plan) (at time.Time, err error) {
	var files []batholith.File
	total := int64(0)
	for _, p := range plans {
		files = append(files, p.file)
		total += p.file.Records
	}
	if why := l.o.LimitsNow().RefuseRecords(files); why != "" {
		return at, &refusal{message: why}
	}
	at = time.Now()
	if err := l.o.Store.Accept(ctx, job.ID, files, numbered(job.ID, plans), total, at); err != nil {
		return at, fmt.Errorf("store the plan of job %s: %w", job.ID, err)
	}
	return at, nil
}

// denied turns a permanent error into a refusal, and returns other errors unchanged.
func denied(err error, format string, args ...any) error {
	if blob.Permanent(err) {
		return refuse(format, args...)
	}
	return err
}

// explained is an error that names the cause, in the words of the bucket or the token service, and the remedy.
type explained interface {
	error
	Explained() (cause, remedy string)
}

// access is AWS's message for a bucket that the role cannot use (Bedrock: batch inference, troubleshooting), with the reason.
func access(err error, operation, bucket, key string) error {
	reason, may := "the role may not do this", errors.Is(err, batholith.ErrAccessDenied)
	switch {
	case errors.Is(err, batholith.ErrNoBucket):
		reason = "the bucket does not exist"
	case errors.Is(err, batholith.ErrNoObject):
		reason = "there is no such object"
	case errors.Is(err, batholith.ErrObjectChanged):
		reason = "the object changed while it was being validated"
	case errors.Is(err, batholith.ErrRefused):
		reason = err.Error()
	case may:
		if why, ok := errors.AsType[explained](err); ok {
			reason += ": " + why.Error()
		}
	}
	cause := err
	err = denied(err, "Could not validate %s permissions to access Amazon S3 bucket: %s at key %s (%s)", operation, bucket, key, reason)
	if no, ok := errors.AsType[*refusal](err); ok {
		no.denied, no.cause = may, cause
	}
	return err
}

// usualName is the longest part of a key, in bytes, that every bucket accepts: the limit of file names on a file system.
const usualName = 255

// nameable checks that the bucket accepts a name as long as the longest output name, which is longer than that of its input. Otherwise the
// job would only fail at its end, with answers that cannot be written.
func nameable(ctx context.Context, place blob.Place, files []batholith.File) error {
	for _, f := range files {
		name := f.Output[strings.LastIndexByte(f.Output, '/')+1:]
		if len(name) <= usualName {
			continue
		}
		err := place.Output.Put(ctx, place.Prefix+batholith.InternalFolder+"/"+strings.Repeat("n", usualName+1), nil)
		return denied(err, "The input %s cannot be part of a job: the name of its output would have %d bytes, and the output bucket takes %d; shorten it",
			blob.URI(place.Input, f.Key), len(name), usualName)
	}
	return nil
}

// inputs lists the job's files in the order of their keys: the object that the URI names, or every .jsonl object below it.
func (l *Lifecycle) inputs(ctx context.Context, place blob.Place, job batholith.Job) ([]batholith.File, error) {
	objects, err := Inputs(ctx, place.Input, place.InputKey, place.Prefix)
	if err != nil {
		return nil, err
	}
	if len(objects) == 0 {
		return nil, refuse("There is no .jsonl file at %s: name one, or a folder that holds some. Is the file uploaded, and the key spelled right?", job.Input.URI)
	}
	var files []batholith.File
	// Every validation writes its indexes under new names: a write of an earlier one, for an older input, may still arrive.
	index := place.Prefix + batholith.InternalFolder + "/index/" + strings.ToLower(rand.Text()[:13])
	for _, o := range objects {
		files = append(files, batholith.File{N: len(files), Key: o.Key, ETag: o.ETag, Bytes: o.Bytes,
			Output: below(place.InputKey, o.Key) + ".out",
			Index:  fmt.Sprintf("%s-%06d.idx", index, len(files))})
	}
	if why := l.o.LimitsNow().RefuseBytes(files); why != "" {
		return nil, &refusal{message: why}
	}
	return files, besideErrors(job, files)
}

// besideErrors refuses an input whose output would lie below the errors of another: a file system cannot hold both.
func besideErrors(job batholith.Job, files []batholith.File) error {
	if job.OutputLines != batholith.LinesOpenAI {
		return nil
	}
	errs := make(map[string]string, len(files))
	for _, f := range files {
		errs[strings.TrimSuffix(f.Output, batholith.OutputSuffix)+batholith.ErrorSuffix] = f.Key
	}
	for _, f := range files {
		for at, c := range f.Output {
			if other := errs[f.Output[:at]]; c == '/' && other != "" {
				return refuse("The input %s cannot be part of a job: its output would lie below the errors of %s; rename the folder", f.Key, other)
			}
		}
	}
	return nil
}

// Inputs resolves the key of an input s3Uri: to the object of that name, or to the .jsonl objects below it, in the order of keys. prefix is
// the key below which the job's output will lie. Inputs whose output could not be written there, or would be deleted, are refused: a job
// answers all of its input or none.
func Inputs(ctx context.Context, b blob.Bucket, key, prefix string) ([]batholith.Object, error) {
	objects, err := listed(ctx, b, key)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(objects))
	for i, o := range objects {
		names[i] = below(key, o.Key)
	}
	if at, why := batholith.RefuseNames(prefix, names); at >= 0 {
		return nil, refuse("The input %s cannot be part of a job: %s", blob.URI(b, objects[at].Key), why)
	}
	return objects, nil
}

// listed lists the objects of an input s3Uri.
func listed(ctx context.Context, b blob.Bucket, key string) ([]batholith.Object, error) {
	if key != "" && !strings.HasSuffix(key, "/") {
		o, err := b.Head(ctx, key)
		if err == nil && !strings.HasSuffix(key, ".jsonl") {
			return nil, refuse("Input file s3://%s/%s does not end in .jsonl", b.Name(), key)
		}
		if err == nil {
			return []batholith.Object{o}, nil
		}
		if !errors.Is(err, batholith.ErrNoObject) {
			return nil, access(err, "GetObject", b.Name(), key)
		}
		key += "/"
	}
	var objects []batholith.Object
	for o, err := range b.List(ctx, key) {
		if err != nil {
			return nil, access(err, "ListBucket", b.Name(), key)
		}
		if strings.HasSuffix(o.Key, ".jsonl") {
			objects = append(objects, o)
		}
	}
	slices.SortFunc(objects, func(a, b batholith.Object) int { return strings.Compare(a.Key, b.Key) })
	return objects, nil
}

// below is an object's path below the input key; for the object itself, its file name.
func below(prefix, key string) string {
	if key == prefix {
		return key[strings.LastIndexByte(key, '/')+1:]
	}
	return strings.TrimPrefix(strings.TrimPrefix(key, prefix), "/")
}
