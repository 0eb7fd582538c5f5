package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
)

// errRole is the denial of a role by the token service.
var errRole = fmt.Errorf("the token service answered AccessDenied; let its trust policy name the caller: %w", batholith.ErrRoleDenied)

// deny has calls of the bucket fail while they must; for an operation that is not named they succeed.
func (w *world) deny(err error, ops ...string) {
	w.bucket.SetFault(func(op, _ string) (bool, error) {
		for _, denied := range ops {
			if op == denied {
				return false, err
			}
		}
		return true, nil
	})
	w.at(func(name string) error {
		if name == "publish" {
			return err
		}
		return nil
	})
}

// all are the calls that a look at a role makes.
var all = []string{"Head", "List", "Put"}

// A role that is denied everything twice, a minute apart, is revoked: its job fails at once, whatever it is doing, with the cause and the
// remedy, and what was finished is kept.
func TestARevokedRoleFailsItsJobsAndKeepsWhatIsFinished(t *testing.T) {
	for name, during := range map[string]func(w *world){
		"while outcomes are stored": func(w *world) { w.fails(ToStore, errRole, 70*time.Second) },
		"while records are read":    func(w *world) { w.fails(ToRead, errRole, 70*time.Second) },
		"as a fault":                func(w *world) { w.life.Fault(id, errRole); time.Sleep(70 * time.Second) },
		"while the output is written": func(w *world) {
			w.commit(id, 10, 0)
			time.Sleep(70 * time.Second)
		},
		"while it is stopped": func(w *world) {
			w.life.Stop(w.t.Context(), account, id)
			time.Sleep(70 * time.Second)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.look = time.Hour
				defer w.running(nil)()
				w.commit(id, 5, 0)
				w.deny(errRole, all...)
				began := time.Now()
				during(w)
				time.Sleep(10 * time.Second)
				synctest.Wait()
				j := w.job(id)
				if j.Status != batholith.StatusFailed || j.Kept != batholith.KeptWaiting {
					t.Fatalf("the job is %s (%s), kept %q, noted %q", j.Status, j.Message, j.Kept, j.Note)
				}
				for _, word := range []string{"the role arn:aws:iam::" + account + ":role/r is revoked", "AccessDenied", "trust policy", "batholith publish"} {
					if strings.Count(j.Message, word) != 1 {
						t.Errorf("%q is %d times in %q", word, strings.Count(j.Message, word), j.Message)
					}
				}
				if after := j.Ended.Sub(began); after < time.Minute {
					t.Errorf("it failed after %v", after)
				}
			})
		})
	}
}

// What is not the denial of the whole role, twice, fails no job after a minute.
func TestARoleThatMayDoSomethingIsNotRevoked(t *testing.T) {
	type trial struct {
		err     error
		ops     []string
		then    func(w *world)   // half a minute after the first denial
		allowed func() time.Time // of Place
		renew   func(w *world)   // of Place
	}
	trials := map[string]trial{
		"one bucket is denied":   {err: errDenied, ops: []string{"Put"}},
		"reading is allowed":     {err: errDenied, ops: []string{"Put", "List"}},
		"listing is allowed":     {err: errDenied, ops: []string{"Put", "Head"}},
		"an outage of the S3":    {err: errDenied, ops: all, then: func(w *world) { w.deny(errors.New("503"), all...) }},
		"an outage of the STS":   {err: errRole, ops: all, then: func(w *world) { w.deny(errors.New("no keys for the S3: connection refused"), all...) }},
		"keys that have expired": {err: errDenied, ops: all, then: func(w *world) { w.deny(errors.New("the temporary keys have expired"), all...) }},
		"it was a hiccup":        {err: errRole, ops: all, then: func(w *world) { w.bucket.SetFault(nil) }},
		"other jobs of the role": {err: errDenied, ops: all, allowed: time.Now},
		"new keys are allowed":   {err: errDenied, ops: all, renew: func(w *world) { w.bucket.SetFault(nil) }},
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.look = time.Hour
		var now atomic.Pointer[trial]
		defer w.running(func(o *Options) {
			place := o.Place
			o.Place = func(ctx context.Context, j batholith.Job) (blob.Place, error) {
				p, err := place(ctx, j)
				if c := now.Load(); c != nil {
					p.Allowed = c.allowed
					p.Renew = func() {
						if c.renew != nil {
							c.renew(w)
						}
					}
				}
				return p, err
			}
		})()
		w.commit(id, 5, 0)
		for name, c := range trials {
			now.Store(&c)
			w.deny(c.err, c.ops...)
			if c.then != nil {
				time.AfterFunc(30*time.Second, func() { c.then(w) })
			}
			w.fails(ToStore, c.err, 130*time.Second)
			if j := w.job(id); j.Status != batholith.StatusInProgress {
				t.Fatalf("%s: the job is %s (%s)", name, j.Status, j.Message)
			}
			w.bucket.SetFault(nil)
			w.life.Waits(id, ToStore, time.Time{}, nil)
			time.Sleep(2 * time.Minute) // until its role is not looked at any more
		}
	})
}

// A role whose sessions elsewhere still work is revoked all the same, if the token service does not let it be assumed.
func TestARoleThatMayNotBeAssumedIsRevokedWhateverItsSessionsDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.look = time.Hour
		defer w.running(func(o *Options) {
			place := o.Place
			o.Place = func(ctx context.Context, j batholith.Job) (blob.Place, error) {
				p, err := place(ctx, j)
				p.Allowed = time.Now
				return p, err
			}
		})()
		w.commit(id, 5, 0)
		w.deny(errRole, all...)
		w.fails(ToStore, errRole, 70*time.Second)
		synctest.Wait()
		if j := w.job(id); j.Status != batholith.StatusFailed || !strings.Contains(j.Message, "is revoked") {
			t.Errorf("the job is %s (%s)", j.Status, j.Message)
		}
	})
}

// The note of a job whose role is denied everything says when it will fail.
func TestTheNoteOfADeniedRoleSaysWhenTheJobFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.look = time.Hour
		defer w.running(nil)()
		w.deny(errRole, all...)
		first := time.Now()
		w.fails(ToStore, errRole, 20*time.Second)
		if j := w.job(id); !strings.Contains(j.Note, "the job fails at "+first.Add(time.Minute).UTC().Format(time.RFC3339)) {
			t.Errorf("noted %q", j.Note)
		}
	})
}

// Validation proves that the output can be read, which a job needs for its own working files.
func TestAnOutputThatCannotBeReadFailsTheValidation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put("a.jsonl", records(3))
		w.bucket.Fault = func(op, key string) (bool, error) {
			if op == "Read" && strings.HasPrefix(key, "out/") {
				return false, errDenied
			}
			return true, nil
		}
		defer w.start()()
		w.create(id, "a.jsonl")
		time.Sleep(2 * firstPatience)
		synctest.Wait()
		if j := w.job(id); j.Status != batholith.StatusFailed || !strings.Contains(j.Message, "Could not validate GetObject permissions to access Amazon S3 bucket: in at key out/"+id) {
			t.Errorf("%s: %q", j.Status, j.Message)
		}
	})
}

// told is an error with cause and remedy, as the S3 client has them.
type told struct{ error }

func (t told) Explained() (cause, remedy string) { return "", "" }
func (t told) Unwrap() error                     { return t.error }

// A denial in validation is told in AWS's words, and then in those of the S3 or the token service, with the remedy.
func TestADenialInValidationNamesItsCauseAndRemedy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put("a.jsonl", records(3))
		w.deny(fmt.Errorf("put s3://in/x: %w", told{errRole}), "Put")
		defer w.start()()
		w.create(id, "a.jsonl")
		time.Sleep(2 * firstPatience)
		synctest.Wait()
		want := "Could not validate PutObject permissions to access Amazon S3 bucket: in at key out/" + id + "/ (the role may not do this: " + errRole.Error() + ")"
		if j := w.job(id); j.Status != batholith.StatusFailed || j.Message != want {
			t.Errorf("%s: %q", j.Status, j.Message)
		}
	})
}
