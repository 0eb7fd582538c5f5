package doctor

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/smithy-go"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/object"
	"github.com/batholith/batholith/internal/words"
)

const (
	// placesTried is the maximum number of recent jobs' places that are tested per role and
	// direction.
	placesTried = 3
	// placeTime bounds the test of one place.
	placeTime = 45 * time.Second
	// skewAllowed is the tolerated difference between this machine's clock and the S3's. Amazon
	// rejects requests from 15 minutes on.
	skewAllowed = 5 * time.Minute
)

// trial is one test: what a role does at one place for a job.
type trial struct {
	role, bucket, key string // key of an input, or prefix of an output
	kms               string // s3EncryptionKeyId of the job
	write             bool
}

// buckets does what jobs do in their buckets, with the keys of each role: at Options.Bucket, or
// at the places of recent jobs. Without either, it tests only the connection and the keys.
// ready reports whether the server is ready.
func (d *doctor) buckets(ctx context.Context, ready bool) {
	if d.o.S3 == nil {
		return
	}
	// The embedded S3 cannot be tested unless its server is ready.
	s, err := d.o.S3()
	switch {
	case s != nil && s.Embedded && !ready, s == nil && err == nil:
		return
	case err != nil:
		d.find(Finding{Problem, "s3", "the S3 cannot be used", err.Error(), "correct s3 and roles in the settings"})
		return
	}
	// A wrong clock makes all signatures fail, so it is checked first.
	d.clock(ctx, s.Base)
	trials, err := trialsOf(s.Roles, d.o.Bucket, d.recent)
	if err != nil {
		d.find(Finding{Problem, "s3", err.Error(), "", "write --bucket s3://BUCKET or s3://BUCKET/PREFIX"})
		return
	}
	if len(trials) == 0 {
		d.way(ctx, s)
		return
	}
	lost := map[string]bool{} // roles whose keys or connection do not work at all
	for _, t := range trials {
		if !lost[t.role] {
			lost[t.role] = !d.try(ctx, s.Client(t.role), t)
		}
	}
}

// trialsOf returns the tests to run, each place once.
func trialsOf(roles []string, at string, recent []batholith.Job) (all []trial, err error) {
	if at != "" {
		bucket, key, err := object.ParseURI(at)
		if err != nil {
			return nil, err
		}
		for _, r := range roles {
			all = append(all, trial{role: r, bucket: bucket, key: object.Below(key), write: true})
		}
		return all, nil
	}
	tried := map[trial]int{} // number of tests by role and direction
	for _, j := range recent {
		role, ok := batholith.RoleOf(roles, j.RoleARN)
		if !ok {
			continue
		}
		for _, t := range []trial{{role: role, key: j.Input.URI}, {role: role, key: j.Output.URI, write: true, kms: j.KMSKeyID}} {
			kind := trial{role: t.role, write: t.write}
			t.bucket, t.key, err = object.ParseURI(t.key)
			if t.write {
				t.key = object.Below(t.key)
			}
			if err != nil || tried[kind] == placesTried || slices.Contains(all, t) {
				continue
			}
			all = append(all, t)
			tried[kind]++
		}
	}
	return all, nil
}

// way tests the connection and the keys by listing a bucket that does not exist.
func (d *doctor) way(ctx context.Context, s *S3) {
	ctx, cancel := context.WithTimeout(ctx, placeTime)
	defer cancel()
	for _, role := range s.Roles {
		err := listOne(ctx, s.Client(role).Bucket("batholith-doctor-"+strings.ToLower(rand.Text()[:10]), object.Options{}), "")
		var api smithy.APIError
		known := errors.Is(err, batholith.ErrNoBucket) || errors.As(err, &api) && api.ErrorCode() == "AccessDenied" // a role that may not see any bucket
		if err != nil && !known {
			d.find(faulty(fmt.Sprintf("role %s cannot use the S3 at %s", role, s.Name), err))
			continue
		}
		d.find(Finding{Sound, "s3", fmt.Sprintf("the S3 at %s answers the keys of role %s", s.Name, role), "", "try what jobs do there with: batholith doctor --bucket s3://BUCKET/PREFIX"})
	}
}

// faulty returns a Problem with cause and remedy of an S3 client error.
func faulty(what string, err error) Finding {
	f := Finding{Severity: Problem, Check: "s3", What: what, Why: err.Error()}
	var fault *object.Fault
	if errors.As(err, &fault) {
		f.Why, f.Remedy = fault.Cause, fault.Remedy
	}
	return f
}

// try does what jobs do at a place. It reports every denied step. reached is false if the S3 or
// the bucket cannot be used at all.
func (d *doctor) try(ctx context.Context, client *object.Client, t trial) (reached bool) {
	ctx, cancel := context.WithTimeout(ctx, placeTime)
	defer cancel()
	b := client.Bucket(t.bucket, object.Options{KMSKeyID: t.kms})
	// An output place is tested with writes, an input place with reads only.
	steps := readSteps(ctx, b, t.key)
	if t.write {
		steps = writeSteps(ctx, b, t.key+".batholith/doctor-"+strings.ToLower(rand.Text()[:10]))
	}
	failed := false
	var done []string
	for _, s := range steps {
		err := s.do()
		if errors.Is(err, errSkipped) {
			continue
		}
		if err == nil {
			done = append(done, s.verb)
			continue
		}
		f := faulty(fmt.Sprintf("role %s cannot %s s3://%s/%s", t.role, s.verb, t.bucket, t.key), err)
		if failed && errors.Is(err, batholith.ErrRefused) && d.findings[len(d.findings)-1].Why == f.Why {
			continue // same cause as the previous step
		}
		failed = true
		d.find(f)
		if !blob.Permanent(err) || errors.Is(err, batholith.ErrNoBucket) {
			return errors.Is(err, batholith.ErrNoBucket) // all further steps would fail in the same way
		}
	}
	if !failed {
		d.find(Finding{Severity: Sound, Check: "s3", What: fmt.Sprintf("role %s can %s s3://%s/%s", t.role, strings.Join(done, ", "), t.bucket, t.key)})
	}
	return true
}

// step is one operation of a test.
type step struct {
	verb string
	do   func() error
}

// errSkipped means that a step cannot be tested: an earlier one failed, or there is no object.
var errSkipped = errors.New("skipped")

// readSteps are a job's operations on its input.
func readSteps(ctx context.Context, b *object.Bucket, key string) []step {
	// list replaces it by the first object below the prefix, which read then reads.
	found := batholith.Object{Key: key}
	return []step{
		{"list", func() error {
			for o, err := range b.List(ctx, key) {
				if err == nil {
					found = o
				}
				return err
			}
			return nil
		}},
		{"read", func() error {
			o, err := b.Head(ctx, found.Key)
			if found.Key == "" || errors.Is(err, batholith.ErrNoObject) {
				return errSkipped // the job's input may have been deleted meanwhile
			}
			if err != nil || o.Bytes == 0 {
				return err
			}
			return readAll(ctx, b, o, min(o.Bytes, 1), nil)
		}},
	}
}

// writeSteps are a job's operations on its output, on objects that are deleted again.
func writeSteps(ctx context.Context, b *object.Bucket, key string) []step {
	// A small object for Put and an upload in parts beside it; the last step deletes both.
	body, large := []byte("tried by batholith doctor\n"), key+"-parts"
	written := false
	return []step{
		{"list", func() error { return listOne(ctx, b, key) }},
		{"write", func() error { err := b.Put(ctx, key, body); written = err == nil; return err }},
		{"read", func() error {
			if !written {
				return errSkipped
			}
			o, err := b.Head(ctx, key)
			if err != nil {
				return err
			}
			return readAll(ctx, b, o, o.Bytes, body)
		}},
		{"upload in parts to", func() error {
			w := blob.NewWriter(ctx, b, large, blob.WriterOptions{Abortable: true})
			_, err := w.Write(body)
			return errors.Join(err, w.Close())
		}},
		{"abort uploads to", func() error {
			id, err := b.CreateUpload(ctx, large)
			if err != nil {
				return errSkipped // reported by the previous step
			}
			return b.AbortUpload(ctx, large, id)
		}},
		{"delete in", func() error { return b.Delete(context.WithoutCancel(ctx), key, large) }},
	}
}

func listOne(ctx context.Context, b *object.Bucket, prefix string) error {
	for _, err := range b.List(ctx, prefix) {
		return err
	}
	return nil
}

// readAll reads n bytes of an object. It compares them with want unless want is nil.
func readAll(ctx context.Context, b *object.Bucket, o batholith.Object, n int64, want []byte) error {
	in, err := b.Read(ctx, o.Key, o.ETag, 0, n)
	if err != nil {
		return err
	}
	defer in.Close()
	got, err := io.ReadAll(in)
	if err == nil && want != nil && !bytes.Equal(got, want) {
		err = fmt.Errorf("read %s: it is not what was written a moment before", o.Key)
	}
	return err
}

// clock compares this machine's clock with the S3's, from the Date header of an answer.
func (d *doctor) clock(ctx context.Context, base object.Config) {
	if base.Endpoint == "" {
		base.Endpoint = "https://s3." + base.Region + ".amazonaws.com"
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base.Endpoint, nil)
	if err != nil {
		return
	}
	client, err := base.Client()
	if err != nil {
		return // the tests report this better
	}
	resp, err := client.Do(req)
	if err != nil {
		return
	}
	_ = resp.Body.Close()
	theirs, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return
	}
	skew := d.now().Sub(theirs) // positive: this machine's clock is ahead
	if skew.Abs() < skewAllowed {
		return
	}
	side := "behind"
	if skew > 0 {
		side = "ahead of"
	}
	d.find(Finding{Problem, "s3", fmt.Sprintf("this machine's clock is %s %s that of the S3", words.Age(skew.Abs().Round(time.Minute)), side), "signatures hold for a quarter of an hour", "set the clock (NTP)"})
}
