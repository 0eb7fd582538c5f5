package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
)

// A role is revoked if every call is denied in two checks, at least Patience / roleAgain apart, and nothing in between shows it allowed. Then
// its jobs fail at once, and their finished results are kept. A role that is denied only some calls, such as those for one bucket or one KMS
// key, is not revoked: these calls are retried for the patience (see waits).
//
// While access is denied to a job, its role is checked:
//
//	reading an input, listing the input and writing below the output are denied, with new keys too      denied
//	one of them is allowed, or a call of another job of the role was allowed since the first denial     allowed
//	one of them fails in another way: an outage, keys that have expired                                  unknown, which proves nothing
//
// If the token service denies AssumeRole, the role counts as denied, even if sessions of other jobs still work.

// roleAgain determines the time between two checks of a role: Patience / roleAgain, which is 10 min / 10 = 60 s by default.
const roleAgain = 10

// standing is the result of a check of a role.
type standing int

const (
	roleUnknown standing = iota
	roleAllowed
	roleDenied
)

// revoked is the error of a job whose role is revoked.
type revoked struct {
	role          string
	first, second time.Time
	cause         error
}

// Error names the role, both denials and the cause with its remedy.
func (r *revoked) Error() string {
	return fmt.Sprintf("the role %s is revoked: everything was denied to it at %s and again at %s: %v",
		r.role, r.first.UTC().Format(time.RFC3339), r.second.UTC().Format(time.RFC3339), r.cause)
}

// Unwrap returns the last denial.
func (r *revoked) Unwrap() error { return r.cause }

// watchRole checks the role while access is denied to the job, and calls revoked at most once. count starts it. It ends with ctx.
func (w *waits) watchRole(ctx context.Context) {
	var first time.Time // start of the first check that found the role denied; zero: none since the role was last allowed
	for {
		began := time.Now()
		found, err := w.look(ctx, first)
		switch {
		case ctx.Err() != nil:
			return
		case found == roleAllowed:
			first = time.Time{}
		case found == roleDenied && first.IsZero():
			first = began
		case found == roleDenied:
			w.revoked(first, began, err)
			return // the watch is not started again, because the job fails
		}
		w.mu.Lock()
		w.roleUntil = time.Time{}
		if !first.IsZero() {
			w.roleUntil = began.Add(w.l.o.Patience / roleAgain)
		}
		w.mu.Unlock()
		sleep(ctx, w.l.o.Patience/roleAgain)
		if w.unwatch() {
			return
		}
	}
}

// unwatch ends the watch if no access is denied to the job any more. It reports whether it did.
func (w *waits) unwatch() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, o := range w.open {
		if o.denied != nil {
			return false
		}
	}
	w.watching, w.roleUntil = false, time.Time{}
	return true
}

// look checks whether every call of the role is denied. since is the start of the first check that found it denied; zero: none. err is the
// last denial or fault.
func (d *drive) look(ctx context.Context, since time.Time) (found standing, err error) {
	job, err := d.l.o.Store.Job(ctx, d.account, d.id)
	if err != nil {
		return roleUnknown, err
	}
	place, err := d.l.o.Place(ctx, job)
	if err != nil {
		return standingAfter(err), err
	}
	key, err := d.someInput(ctx, place)
	if err != nil {
		return roleUnknown, err
	}
	if found, err = tryRole(ctx, place, key); found == roleDenied && place.Renew != nil {
		place.Renew() // the keys may belong to a session that was ended, while the role is still allowed
		found, err = tryRole(ctx, place, key)
	}
	if found == roleDenied && !errors.Is(err, batholith.ErrRoleDenied) && !since.IsZero() && place.Allowed != nil && place.Allowed().After(since) {
		return roleAllowed, nil
	}
	return found, err
}

// someInput returns the key of one input file of the job, or the key of its input s3Uri if no file is known yet.
func (d *drive) someInput(ctx context.Context, place blob.Place) (key string, err error) {
	files, err := d.l.o.Store.Files(ctx, d.id)
	if err != nil || len(files) == 0 {
		return place.InputKey, err
	}
	return files[0].Key, nil
}

// tryRole makes one call of each kind until one is not denied, and returns what the last one showed.
func tryRole(ctx context.Context, place blob.Place, input string) (found standing, err error) {
	for _, call := range []func() error{
		func() error { _, err := place.Input.Head(ctx, input); return err },
		func() error { return listSome(ctx, place.Input, input[:strings.LastIndexByte(input, '/')+1]) },
		func() error { return place.Output.Put(ctx, accessKey(place), nil) },
	} {
		if err = call(); standingAfter(err) != roleDenied {
			return standingAfter(err), err
		}
	}
	return roleDenied, err
}

// listSome lists at most one object below a prefix.
func listSome(ctx context.Context, b blob.Bucket, prefix string) error {
	for _, err := range b.List(ctx, prefix) {
		return err
	}
	return nil
}

// standingAfter returns what the result of one call shows about the role. An S3 reports a missing object or bucket only to a caller with
// access, so this error shows that the role is allowed.
func standingAfter(err error) standing {
	switch {
	case errors.Is(err, batholith.ErrAccessDenied):
		return roleDenied
	case err == nil, blob.Permanent(err):
		return roleAllowed
	}
	return roleUnknown
}

// revoke fails the job, because its role is revoked. Its finished results are kept: outcomes and output are not written again.
func (d *drive) revoke(first, second time.Time, err error) {
	why := &revoked{d.role, first, second, err}
	d.mu.Lock()
	d.revocation = why
	d.mu.Unlock()
	d.outOfPatience.Store(true)
	d.fault(why)
}
