package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
)

// stuck is a world in which one call hangs until its context ends, like a request to a server that does not answer.
type stuck struct {
	*world
	call string
	once *sync.Once
	hung chan struct{} // closed when the call hangs
}

func (s stuck) hang(ctx context.Context, call string) error {
	if call != s.call {
		return nil
	}
	s.once.Do(func() { close(s.hung) })
	<-ctx.Done()
	return context.Cause(ctx)
}

func (s stuck) Halt(ctx context.Context, job string, cause error) error {
	return errors.Join(s.hang(ctx, "halt"), s.world.Halt(ctx, job, cause))
}

func (s stuck) Publish(ctx context.Context, j batholith.Job, epoch int64, final bool) (batholith.Manifest, error) {
	if final && s.call == "salvage" {
		return batholith.Manifest{}, fmt.Errorf("one of them: %w", batholith.ErrOutcomesLost)
	}
	if err := s.hang(ctx, map[bool]string{true: "publish", false: "publish partially"}[final]); err != nil {
		return batholith.Manifest{}, err
	}
	return s.world.Publish(ctx, j, epoch, final)
}

func (s stuck) Salvage(ctx context.Context, j batholith.Job, epoch int64) error {
	if err := s.hang(ctx, "salvage"); err != nil {
		return err
	}
	return s.world.Salvage(ctx, j, epoch)
}

func (s stuck) Announce(ctx context.Context, j batholith.Job, manifest []byte) error {
	if err := s.hang(ctx, "announce"); err != nil {
		return err
	}
	return s.world.Announce(ctx, j, manifest)
}

func (s stuck) Clean(ctx context.Context, j batholith.Job) error {
	if err := s.hang(ctx, "clean"); err != nil {
		return err
	}
	return s.world.Clean(ctx, j)
}

// stuckStore is a database in which the same may happen.
type stuckStore struct {
	Store
	s stuck
}

func (t stuckStore) SealToPublish(ctx context.Context, id, why, worker string) (int64, error) {
	if err := t.s.hang(ctx, "seal"); err != nil {
		return 0, err
	}
	return t.Store.SealToPublish(ctx, id, why, worker)
}

func (t stuckStore) Decide(ctx context.Context, id string, epoch int64, from, to batholith.Status, message string, manifest []byte) error {
	if err := t.s.hang(ctx, "decide"); err != nil {
		return err
	}
	return t.Store.Decide(ctx, id, epoch, from, to, message, manifest)
}

func (t stuckStore) End(ctx context.Context, id string, epoch int64, at, sweep time.Time) (bool, error) {
	if err := t.s.hang(ctx, "end"); err != nil {
		return false, err
	}
	return t.Store.End(ctx, id, epoch, at, sweep)
}

// Whatever an end hangs in, a shutdown calls it off at once, and the next process brings the job to the same end.
func TestAShutdownCallsOffWhateverAnEndHangsIn(t *testing.T) {
	ends := map[string]struct {
		end  batholith.Status
		make func(w *world)
	}{
		"complete": {batholith.StatusCompleted, func(w *world) { w.commit(id, 15, 0) }},
		"stop":     {batholith.StatusStopped, func(w *world) { w.life.Stop(w.t.Context(), account, id) }},
		"expire":   {batholith.StatusPartiallyCompleted, func(w *world) { time.Sleep(25 * time.Hour) }},
		"fail":     {batholith.StatusFailed, func(w *world) { w.life.Fault(id, errors.New("the input is gone")) }},
	}
	for name, c := range ends {
		for _, call := range []string{"halt", "seal", "publish", "salvage", "decide", "announce", "clean", "end"} {
			t.Run(name+" in "+call, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					w.look = time.Hour
					w.pending = []byte("the manifest")
					w.put("a.jsonl", records(20))
					s := stuck{world: w, call: call, once: &sync.Once{}, hung: make(chan struct{})}
					w.options = func(o *Options) { o.Store, o.Dispatch, o.Publisher = stuckStore{w.store, s}, s, s }
					stop := w.start()
					w.create(id, "a.jsonl")
					w.reach(batholith.StatusInProgress)
					made := make(chan struct{})
					go func() { defer close(made); c.make(w) }()
					<-s.hung
					asked := time.Now()
					stop()
					if took := time.Since(asked); took > 2*time.Second {
						t.Errorf("the lifecycle ended %s after it was asked to", took)
					}
					<-made
					end := c.end
					switch {
					case call == "salvage":
						end = batholith.StatusFailed
					case name == "fail" && (call == "halt" || call == "seal"): // nothing was decided: the job goes on
						end = batholith.StatusInProgress
					}
					w.options = nil
					if call == "salvage" {
						w.at(func(name string) error {
							if name == "publish" {
								return batholith.ErrOutcomesLost
							}
							return nil
						})
					}
					w.forget()
					defer w.start()()
					synctest.Wait()
					if j := w.job(id); j.Status != end || end.Terminal() == (j.Message == "") {
						t.Errorf("after the restart the job is %s (%q), want %s", j.Status, j.Message, end)
					}
					if end.Terminal() && call != "salvage" && len(w.announced[id]) == 0 && call != "clean" && call != "end" {
						t.Error("its manifest was not written")
					}
					if unclean, err := w.store.Unclean(t.Context()); err != nil || len(unclean) > 0 {
						t.Errorf("%d jobs are not cleaned up (%v)", len(unclean), err)
					}
				})
			})
		}
	}
}

// The same for publication of what there is so far, and for the validation of a job whose bucket hangs.
func TestAShutdownCancelsTheBlockedCallsOfAJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := stuck{world: w, call: "publish partially", once: &sync.Once{}, hung: make(chan struct{})}
		w.options = func(o *Options) { o.Publisher = s }
		stop := w.begun(10_000)
		time.Sleep(partialEvery)
		w.commit(id, 2*firstPartial, 0)
		<-s.hung
		asked := time.Now()
		stop()
		if took := time.Since(asked); took > 2*time.Second || w.job(id).Status != batholith.StatusInProgress {
			t.Errorf("the lifecycle ended %s after it was asked to, and the job is %s", took, w.job(id).Status)
		}
	})
}
