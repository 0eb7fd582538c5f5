package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/object/objecttest"
)

// bad is a bucket of which one call hangs until its context ends, or that hands out a byte a second.
type bad struct {
	*objecttest.Memory
	call string
}

func (b bad) hang(ctx context.Context, call string) error {
	if call != b.call {
		return nil
	}
	<-ctx.Done()
	return context.Cause(ctx)
}

func (b bad) Put(ctx context.Context, key string, body []byte) error {
	call := "Put"
	if strings.Contains(key, "/index/") {
		call = "Put of an index"
	}
	if err := b.hang(ctx, call); err != nil {
		return err
	}
	return b.Memory.Put(ctx, key, body)
}

func (b bad) Head(ctx context.Context, key string) (batholith.Object, error) {
	if err := b.hang(ctx, "Head"); err != nil {
		return batholith.Object{}, err
	}
	return b.Memory.Head(ctx, key)
}

func (b bad) List(ctx context.Context, prefix string) iter.Seq2[batholith.Object, error] {
	if err := b.hang(ctx, "List"); err != nil {
		return func(yield func(batholith.Object, error) bool) { yield(batholith.Object{}, err) }
	}
	return b.Memory.List(ctx, prefix)
}

func (b bad) Read(ctx context.Context, key, etag string, offset, n int64) (io.ReadCloser, error) {
	if err := b.hang(ctx, "Read"); err != nil {
		return nil, err
	}
	r, err := b.Memory.Read(ctx, key, etag, offset, n)
	if err == nil && b.call == "trickle" {
		r = trickle{ctx, r}
	}
	return r, err
}

type trickle struct {
	ctx context.Context
	io.ReadCloser
}

func (t trickle) Read(p []byte) (int, error) {
	sleep(t.ctx, time.Second)
	if t.ctx.Err() != nil {
		return 0, context.Cause(t.ctx)
	}
	return t.ReadCloser.Read(p[:1])
}

// createFor makes a job of a principal over the input at this key.
func (w *world) createFor(owner, id, key string) {
	w.t.Helper()
	now := time.Now()
	_, err := w.store.CreateJob(w.t.Context(), batholith.Job{ID: id, Account: account, Owner: owner, Region: "us-east-1", Status: batholith.StatusSubmitted,
		Submitted: now, Modified: now, Expires: now.Add(24 * time.Hour),
		Request: batholith.Request{Name: "n" + id, ModelID: "m", RoleARN: "arn:aws:iam::" + account + ":role/" + owner,
			Input: batholith.Location{URI: "s3://in/" + key}, Output: batholith.Location{URI: "s3://in/out"}}}, id, 0)
	if err != nil {
		w.t.Fatal(err)
	}
}

// However a principal's bucket misbehaves, and however many jobs it has, another's job is validated within seconds.
func TestABadBucketHoldsUpNobodyElsesValidation(t *testing.T) {
	for _, call := range []string{"Put", "Head", "List", "Read", "trickle", "Put of an index", "503"} {
		t.Run(call, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.look = time.Hour
				w.put("a.jsonl", records(20))
				w.put("f/a.jsonl", records(2000))
				w.put("f/b.jsonl", records(2000))
				w.options = func(o *Options) {
					place := o.Place
					o.Place = func(ctx context.Context, j batholith.Job) (blob.Place, error) {
						p, err := place(ctx, j)
						switch {
						case j.Owner != "eve":
						case call == "503":
							return p, errors.New("503 SlowDown")
						default:
							p.Input, p.Output = bad{w.bucket, call}, bad{w.bucket, call}
						}
						return p, err
					}
				}
				defer w.start()()
				for i := range 20 {
					w.createFor("eve", fmt.Sprintf("eve%09d", i), map[bool]string{true: "a.jsonl", false: "f/"}[call == "Head"])
				}
				time.Sleep(time.Second)
				w.createFor("ann", id, "a.jsonl")
				time.Sleep(3 * slowTime)
				synctest.Wait()
				if j := w.job(id); j.Status != batholith.StatusScheduled {
					t.Errorf("the job of another principal is %s (%s)", j.Status, j.Note)
				}
				w.createFor("bob", "bob000000000", "a.jsonl")
				time.Sleep(3 * slowTime)
				synctest.Wait()
				if j := w.job("bob000000000"); j.Status != batholith.StatusScheduled {
					t.Errorf("a later job is %s (%s)", j.Status, j.Note)
				}
			})
		})
	}
}

// A job whose bucket is slow is read to its end all the same, also while others come and go.
func TestASlowJobIsValidatedInTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.look = time.Hour
		w.put("a.jsonl", records(20))
		w.options = func(o *Options) {
			place := o.Place
			o.Place = func(ctx context.Context, j batholith.Job) (blob.Place, error) {
				p, err := place(ctx, j)
				if j.Owner == "eve" {
					p.Input = bad{w.bucket, "trickle"}
				}
				return p, err
			}
		}
		defer w.start()()
		for i := range 3 {
			w.createFor("eve", fmt.Sprintf("eve%09d", i), "a.jsonl")
		}
		for i := range 100 {
			w.createFor("ann", fmt.Sprintf("ann%09d", i), "a.jsonl")
			time.Sleep(time.Minute)
		}
		synctest.Wait()
		for i := range 3 {
			if j := w.job(fmt.Sprintf("eve%09d", i)); j.Status != batholith.StatusScheduled || j.Counts.Total != 20 {
				t.Errorf("job %d is %s (%s)", i, j.Status, j.Note)
			}
		}
	})
}

// Principals take turns, whoever came first and with how many jobs.
func TestPrincipalsTakeTurnsAtThePlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlaces(1, 0)
		var order []string
		ask := func(owner string) {
			go func() {
				if p.take(t.Context(), owner) != nil {
					return
				}
				order = append(order, owner)
				time.Sleep(time.Second)
				p.give(owner)
			}()
			synctest.Wait()
		}
		for range 4 {
			ask("a")
		}
		ask("b")
		ask("b")
		ask("c")
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := strings.Join(order, ""); got != "abcabaa" {
			t.Errorf("the order was %s", got)
		}
		if p.free != 1 || len(p.queue)+len(p.held)+len(p.served) > 0 {
			t.Errorf("left: %+v", p)
		}
	})
}

func TestAPlaceOfACancelledWaiterGoesToTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlaces(1, 0)
		ctx, leave := context.WithCancelCause(t.Context())
		no := errors.New("no")
		if err := p.take(ctx, "a"); err != nil {
			t.Fatal(err)
		}
		left := make(chan error)
		go func() { left <- p.take(ctx, "b") }()
		synctest.Wait()
		leave(no)
		if err := <-left; !errors.Is(err, no) {
			t.Error(err)
		}
		if err := p.take(ctx, "b"); !errors.Is(err, no) {
			t.Error(err)
		}
		p.give("a")
		if err := p.take(t.Context(), "c"); err != nil || p.free != 0 || len(p.queue) > 0 {
			t.Errorf("%v, %+v", err, p)
		}
	})
}

// One principal takes no more than its part, though places are free.
func TestAPrincipalTakesNoMoreThanItsPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlaces(3, 1)
		var in []string
		for _, owner := range []string{"a", "a", "b"} {
			go func() {
				if p.take(t.Context(), owner) == nil {
					in = append(in, owner)
				}
			}()
			synctest.Wait()
		}
		if !slices.Equal(in, []string{"a", "b"}) {
			t.Errorf("in: %v", in)
		}
		p.give("a")
		synctest.Wait()
		if !slices.Equal(in, []string{"a", "b", "a"}) {
			t.Errorf("in: %v", in)
		}
	})
}
