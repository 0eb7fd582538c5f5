package openai

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/failpoint"
)

// The expiry of a file is stored in the bucket, so it does not depend on the database:
//
//	openai/files/ID/expires-SECONDS                an empty object beside an uploaded file: it expires SECONDS after the time in ID
//	openai/batches/expires-SECONDS/JOB/NAME.out    an output expires SECONDS after it was written
//
// The empty object is stored before the upload completes, and deleted after the file. So a file whose expiry is lost never remains after a crash.

// expiresMark is the prefix of both names.
const expiresMark = "expires-"

// Bounds of expires_after (OpenAI: create a file).
const leastExpiry, mostExpiry = 3600, 2_592_000

// expiry is the member expires_after of a file, or output_expires_after of a batch.
type expiry struct {
	Anchor  *string `json:"anchor"`
	Seconds *int64  `json:"seconds"`
}

// check returns the seconds, or 0 if e is nil.
func (e *expiry) check(param string) (int64, error) {
	switch {
	case e == nil:
		return 0, nil
	case e.Anchor == nil || e.Seconds == nil:
		return 0, wrong(param, `%s needs the members anchor and seconds: {"anchor":"created_at","seconds":%d}.`, param, leastExpiry)
	case *e.Anchor != "created_at":
		return 0, wrong(param+".anchor", "%s.anchor is '%s'; it must be created_at.", param, show(*e.Anchor))
	case *e.Seconds < leastExpiry || *e.Seconds > mostExpiry:
		return 0, wrong(param+".seconds", "%s.seconds is %d; it must be a number from %d to %d.", param, *e.Seconds, leastExpiry, mostExpiry)
	}
	return *e.Seconds, nil
}

// field reads one field of a form: expires_after[anchor], expires_after[seconds], or expires_after with JSON. known is false for any other field
// whose name does not begin with expires_after.
func (e *expiry) field(name, value string) (known bool, err error) {
	switch name {
	case "expires_after[anchor]", "expires_after.anchor":
		e.Anchor = &value
	case "expires_after[seconds]", "expires_after.seconds":
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return true, wrong("expires_after.seconds", "expires_after.seconds is '%s'; it must be a number from %d to %d.", show(value), leastExpiry, mostExpiry)
		}
		e.Seconds = &n
	case "expires_after":
		if json.Unmarshal([]byte(value), e) != nil {
			return true, wrong("expires_after", `expires_after is '%s'; it must have the form {"anchor":"created_at","seconds":%d}.`, show(value), leastExpiry)
		}
	default:
		return strings.HasPrefix(name, "expires_after"), nil
	}
	return true, nil
}

// expiresKey returns the key of the empty object beside an uploaded file.
func expiresKey(id string, seconds int64) string {
	return filesFolder + id + "/" + expiresMark + strconv.FormatInt(seconds, 10)
}

// outputsOf returns the folder of outputs that expire after seconds. 0 means never.
func outputsOf(seconds int64) string {
	if seconds == 0 {
		return outputFolder
	}
	return outputFolder + expiresMark + strconv.FormatInt(seconds, 10) + "/"
}

// secondsOf parses expires-SECONDS. ok is false if the text has another form or the number is out of bounds.
func secondsOf(text string) (seconds int64, ok bool) {
	digits, ok := strings.CutPrefix(text, expiresMark)
	seconds, err := strconv.ParseInt(digits, 10, 64)
	return seconds, ok && err == nil && seconds >= leastExpiry && seconds <= mostExpiry
}

// after returns t plus seconds, or the zero time if seconds is 0.
func after(t time.Time, seconds int64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return t.Add(time.Duration(seconds) * time.Second)
}

// expired reports whether the file has expired: it must not be read or listed.
func (f file) expired(now time.Time) bool { return !f.expires.IsZero() && !now.Before(f.expires) }

// uploads returns the files below a prefix of filesFolder, each with its expiry. The two objects of a file follow each other in a listing. If only
// the empty object is there, the file has no name.
func uploads(ctx context.Context, b blob.Bucket, prefix string) iter.Seq2[file, error] {
	return func(yield func(file, error) bool) {
		var now file // the file whose objects are being listed; without an id: none yet
		for o, err := range b.List(ctx, prefix) {
			if err != nil {
				yield(now, err)
				return
			}
			f, ok := uploaded(o)
			if !ok {
				continue
			}
			if f.id == now.id { // the other object of the same file
				if f.name == "" {
					f, now = now, f
				}
				f.expires, f.mark = now.expires, now.mark
			} else if now.id != "" && !yield(now, nil) {
				return
			}
			now = f
		}
		if now.id != "" {
			yield(now, nil)
		}
	}
}

// Janitor deletes files that have expired.
type Janitor struct {
	// Buckets returns the buckets with files.
	Buckets func() []blob.Bucket
	// Unfinished returns the jobs of all accounts that have not ended. Their inputs and outputs are not deleted.
	Unfinished func(ctx context.Context) ([]batholith.Job, error)
	Now        func() time.Time
	Log        *slog.Logger
}

const (
	// sweepEvery is the time between two sweeps.
	sweepEvery = 10 * time.Minute
	// sweepGrace is the least time between the expiry of a file and its deletion. A request that began before the expiry can finish in it.
	sweepGrace = 10 * time.Minute
)

// Run sweeps at once and then every sweepEvery, until ctx ends. Several processes may sweep the same buckets.
func (j *Janitor) Run(ctx context.Context) error {
	timer := time.NewTicker(sweepEvery)
	defer timer.Stop()
	for {
		j.Sweep(ctx)
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// Sweep deletes expired files. If a bucket fails, it is tried again at the next sweep.
func (j *Janitor) Sweep(ctx context.Context) {
	s := sweep{Janitor: j, until: j.Now().Add(-sweepGrace)}
	for _, b := range j.Buckets() {
		err := s.bucket(ctx, b)
		if err != nil && ctx.Err() == nil && !errors.Is(err, batholith.ErrNoBucket) {
			j.Log.Warn("expired files of OpenAI's API are not deleted yet; Batholith retries automatically", "bucket", b.Name(), "err", err, "again_in", sweepEvery)
		}
	}
}

// sweep is one sweep.
type sweep struct {
	*Janitor
	until time.Time       // files that expired before this time are deleted
	busy  map[string]bool // ids and input URIs of unfinished jobs; nil: not read yet
}

// bucket sweeps one bucket.
func (s *sweep) bucket(ctx context.Context, b blob.Bucket) error {
	for f, err := range uploads(ctx, b, filesFolder) {
		if err != nil {
			return err
		}
		if !f.expired(s.until) {
			continue
		}
		free, err := s.free(ctx, "s3://"+b.Name()+"/"+f.key)
		if err == nil && free {
			err = remove(ctx, b, f)
		}
		if err != nil {
			return err
		}
	}
	for o, err := range b.List(ctx, outputFolder+expiresMark) {
		if err != nil {
			return err
		}
		mark, rest, _ := strings.Cut(strings.TrimPrefix(o.Key, outputFolder), "/")
		job, name, _ := strings.Cut(rest, "/")
		seconds, ok := secondsOf(mark)
		if !ok || !batholith.ValidJobID(job) || strings.HasPrefix(name, batholith.InternalFolder+"/") || s.until.Before(after(o.Modified, seconds)) {
			continue
		}
		free, err := s.free(ctx, job)
		if err == nil && free {
			err = b.Delete(ctx, o.Key)
		}
		if err != nil && !errors.Is(err, batholith.ErrNoObject) {
			return err
		}
	}
	return nil
}

// free reports whether no unfinished job has this id or reads this input.
func (s *sweep) free(ctx context.Context, what string) (bool, error) {
	if s.busy == nil {
		jobs, err := s.Unfinished(ctx)
		if err != nil {
			return false, fmt.Errorf("list unfinished jobs: %w", err)
		}
		s.busy = map[string]bool{}
		for _, j := range jobs {
			s.busy[j.ID], s.busy[j.Input.URI] = true, true
		}
	}
	return !s.busy[what], nil
}

// remove deletes a file, and then the empty object that stores its expiry.
func remove(ctx context.Context, b blob.Bucket, f file) error {
	if f.key != "" {
		if err := b.Delete(ctx, f.key); err != nil && !errors.Is(err, batholith.ErrNoObject) {
			return err
		}
	}
	failpoint.Here("openai.file-deleted")
	if f.mark == "" {
		return nil
	}
	if err := b.Delete(ctx, f.mark); err != nil && !errors.Is(err, batholith.ErrNoObject) {
		return err
	}
	return nil
}
