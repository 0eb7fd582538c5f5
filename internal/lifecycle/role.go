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

// A role is revoked when it is denied everything twice, roleAgain apart, and allowed nothing between. Then its jobs fail at once, and their
// finished results are kept. A role that is denied something, such as one bucket or one KMS key, is another matter: that is retried for the
// patience (see waits).
//
// While access is denied to a job, its role is looked at:
//
//	reading an input, listing the input, writing below the output are all denied, with new keys too     denied
//	one of them is answered otherwise, or another job of the role was allowed something meanwhile       allowed
//	one of them fails in another way: an outage, keys that have expired                                  unknown, which proves nothing
//
// A role that the token service does not let be assumed is denied whatever sessions of other jobs may still do.

// roleAgain is the time between two looks at a role, as a share of the patience: 60 s of 10 minutes.
const roleAgain = 10

// standing is what a look at a role found.
type standing int

const (
	roleUnknown standing = iota
	roleAllowed
	roleDenied
)

// revoked says that the role of a job is revoked.
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

// watchRole looks at the role as long as access is denied to the job, and calls revoked at most once. count starts it. It ends with ctx.
func (w *waits) watchRole(ctx context.Context) {
	var first time.Time // look that found the role denied; zero: none, or it was allowed something since
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
			return // and is not started again: the job fails
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

// unwatch ends the watch if nothing is denied to the job any more.
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

// look finds out whether the role is denied everything. since is the look that found it so; zero: none. err is the denial.
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
		place.Renew() // the keys may be of a session that was ended, and the role be allowed all the same
		found, err = tryRole(ctx, place, key)
	}
	if found == roleDenied && !errors.Is(err, batholith.ErrRoleDenied) && !since.IsZero() && place.Allowed != nil && place.Allowed().After(since) {
		return roleAllowed, nil
	}
	return found, err
}

// someInput returns the key of an input file of the job.
func (d *drive) someInput(ctx context.Context, place blob.Place) (key string, err error) {
	files, err := d.l.o.Store.Files(ctx, d.id)
	if err != nil || len(files) == 0 {
		return place.InputKey, err
	}
	return files[0].Key, nil
}

// tryRole tries one call of each kind, until one is not denied.
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

// standingAfter is what the outcome of one call says about the role. That there is no such object or bucket is said only to those who may
// know it.
func standingAfter(err error) standing {
	switch {
	case errors.Is(err, batholith.ErrAccessDenied):
		return roleDenied
	case err == nil, blob.Permanent(err):
		return roleAllowed
	}
	return roleUnknown
}

// revoke fails the job, because its role is revoked. What was finished is kept: neither outcomes nor the output are tried again.
func (d *drive) revoke(first, second time.Time, err error) {
	why := &revoked{d.role, first, second, err}
	d.mu.Lock()
	d.revocation = why
	d.mu.Unlock()
	d.outOfPatience.Store(true)
	d.fault(why)
}
