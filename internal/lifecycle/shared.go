package lifecycle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/failpoint"
)

// Several workers on one database divide the work so:
//
//	send       by the chunk (Store.Claim)
//	validate   a job at a time: one worker has the duty "validate <job>"
//	publish    a job at a time: one worker has the job's publication
//	sweep      one worker has the duty "sweep"
//	stop       every worker halts; the first that has halted waits for the others, and seals the job
//
// A duty is free when its worker's lease is lost. It only saves work: the results of two workers that validate one job are kept apart by
// Plans.Accept.

const (
	// stopsEvery is the time between two looks for jobs that another process has stopped. Notifications usually are faster.
	stopsEvery = time.Second
	// lobbyPlaces is how many jobs a worker may have the duty to validate that have no place for reading yet. The other jobs are free for
	// other workers. A job whose buckets do not answer for noteAfter does not count.
	lobbyPlaces = 4
	// dutyAgain is how long a worker waits before it asks again for a duty that another one has. Up to half of it is added at random.
	dutyAgain = 2 * time.Second
	// othersHalt is how long the end of a job waits for other workers to halt, and haltAgain the time between two looks.
	othersHalt = 30 * time.Second
	haltAgain  = 100 * time.Millisecond
	// resignTime is the timeout of giving up a duty, and resignGrace the time that it gets at a shutdown.
	resignTime, resignGrace = 5 * time.Second, time.Second
)

// until returns the time until t, a time of the database's clock.
func (l *Lifecycle) until(t time.Time) time.Duration { return t.Sub(l.o.Now()) }

// local converts a time of the database's clock to one of this process's clock.
func (l *Lifecycle) local(t time.Time) time.Time {
	if t.IsZero() || !l.o.Shared {
		return t
	}
	return time.Now().Add(l.until(t))
}

// concerns reports whether this worker drives a job: it can run the job, or any worker can end it. A job that needs a feature which this program
// does not know is for others: it would be validated, sent and published in a wrong way.
func (l *Lifecycle) concerns(job batholith.Job) bool {
	if len(batholith.Lacks(batholith.Features(), job.Needs)) > 0 {
		return false
	}
	return l.o.Reaches == nil || l.o.Reaches(job) || job.Status == batholith.StatusStopping || job.Ending != "" || failing(job) != "" || l.until(job.Expires) <= 0
}

// watchStops halts the jobs that another process has stopped, and rests those that are paused, within stopsEvery, until ctx ends. It signals stopped if one of them has no
// drive here.
func (l *Lifecycle) watchStops(ctx context.Context, stopped chan<- struct{}) {
	for {
		sleep(ctx, stopsEvery)
		if ctx.Err() != nil {
			return
		}
		ids, err := l.o.Store.Stopping(ctx)
		if err != nil {
			l.o.Log.Debug("look for stopped jobs", "err", err) // the look at all jobs reports an outage
			continue
		}
		for _, id := range ids {
			d := l.drive(id)
			if d != nil {
				d.stopping.Do(func() { d.callOff(batholith.ErrStopped) })
				continue
			}
			select {
			case stopped <- struct{}{}:
			default:
			}
		}
		if paused, err := l.o.Store.Paused(ctx); err == nil {
			l.seePauses(paused)
		}
	}
}

// undertake waits until this worker has the duty to validate the job, or work ends; then it returns nil too. The caller must call leave.
func (d *drive) undertake(ctx, work context.Context) (leave func(), err error) {
	if !d.l.o.Shared {
		d.leaveLobby = func() {}
		return d.leaveLobby, nil
	}
	d.waitsInLine(true)
	defer d.waitsInLine(false)
	duty := "validate " + d.id
	for {
		if d.place(work, d.l.lobby) != nil {
			return func() {}, nil
		}
		mine, err := d.l.o.Store.Undertake(work, d.l.o.Worker, duty)
		if mine && err == nil {
			failpoint.Here("lifecycle.undertaken")
			d.leaveLobby = sync.OnceFunc(func() { d.l.lobby.give(d.owner) })
			leave = func() { d.leaveLobby(); d.l.resign(ctx, duty) }
			job, err := d.l.o.Store.Job(ctx, d.account, d.id)
			if err == nil && job.Status != batholith.StatusValidating { // the worker that had the duty has validated it
				err = batholith.ErrMoved
			}
			if err != nil {
				leave()
			}
			return leave, err
		}
		d.l.lobby.give(d.owner)
		switch {
		case work.Err() != nil:
			return func() {}, nil
		case err != nil:
			return nil, err
		}
		sleep(work, dutyAgain+rand.N(dutyAgain/2)) //nolint:gosec // workers that begin together do not ask together
	}
}

// resign gives up a duty. Errors are only logged: the duty is free when this worker's lease ends.
func (l *Lifecycle) resign(ctx context.Context, duty string) {
	ctx, cancel := outlast(ctx, resignTime, resignGrace)
	defer cancel()
	if err := l.o.Store.Resign(ctx, l.o.Worker, duty); err != nil {
		l.o.Log.Debug("give up a duty", "duty", duty, "err", err)
	}
}

// waitsInLine notes that the job is not validated by this worker now: the drive goes on as soon as another worker has done it.
func (d *drive) waitsInLine(now bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.inLine = now && d.l.o.Shared
}

func (d *drive) isInLine() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.inLine
}

// sweeps reports whether this worker sweeps now: one of all living workers does.
func (l *Lifecycle) sweeps(ctx context.Context) bool {
	if !l.o.Shared {
		return true
	}
	mine, err := l.o.Store.Undertake(ctx, l.o.Worker, "sweep")
	if err == nil && mine {
		err = l.o.Store.TidyProcesses(ctx)
	}
	if err != nil && ctx.Err() == nil {
		l.o.Log.Warn("the clean-up of finished jobs is delayed; Batholith retries later", "err", err)
	}
	return mine && err == nil
}

// letOthersHalt is called when this worker has halted a job that ends before its last record. It waits until the other workers have halted it
// too, and have committed what they finished: the seal refuses their later commits. It waits for at most othersHalt, since a worker that
// cannot commit must not delay the end for ever. A failing job does not wait, because the others do not know yet that it fails.
func (d *drive) letOthersHalt(ctx context.Context, e batholith.Event) error {
	if !d.l.o.Shared || e != batholith.EventHalt && e != batholith.EventExpire {
		return nil
	}
	if err := d.l.o.Store.Release(ctx, d.l.o.Worker, d.id); err != nil {
		return fmt.Errorf("release the chunks of job %s: %w", d.id, err)
	}
	for until := time.Now().Add(othersHalt); time.Now().Before(until); sleep(ctx, haltAgain) {
		others, err := d.l.o.Store.LeasedByOthers(ctx, d.l.o.Worker, d.id)
		if err != nil || !others {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	d.l.o.Log.Warn("other workers did not halt a job in time; the job ends without the records that they have not committed", "job", d.id)
	return nil
}

// othersGoOn reports whether other living workers have chunks of the job.
func (d *drive) othersGoOn(ctx context.Context) bool {
	if !d.l.o.Shared {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, noteTime)
	defer cancel()
	others, err := d.l.o.Store.LeasedByOthers(ctx, d.l.o.Worker, d.id)
	return others && err == nil
}

// noteFirst takes in the first error line that the job got in this process.
func (d *drive) noteFirst() {
	if first := d.l.o.Dispatch.FirstError(d.id); first != nil {
		d.first = cmp.Or(d.first, first)
	}
}

// keepFirst stores the first error line of this process, unless another one is stored. An error is only logged: the job's message then names
// no error.
func (d *drive) keepFirst(ctx context.Context) {
	if d.first == nil || d.firstKept {
		return
	}
	if err := d.l.o.Store.PutFirstError(ctx, d.id, *d.first); err != nil {
		d.l.o.Log.Debug("store the first error of a job", "job", d.id, "err", err)
		return
	}
	d.firstKept = true
}

// firstOfAll returns the first error line that any process stored, or else that of this one.
func (d *drive) firstOfAll(ctx context.Context) (*batholith.RecordError, error) {
	d.keepFirst(ctx)
	first, err := d.l.o.Store.FirstError(ctx, d.id)
	return cmp.Or(first, d.first), err
}

// leftTo returns batholith.ErrHeld in place of an error that says that another worker has results on its disk, if that worker lives: it
// publishes them. If it does not, the user must know.
func (l *Lifecycle) leftTo(ctx context.Context, err error) error {
	where, ok := errors.AsType[*batholith.ElsewhereError](err)
	if !ok || !l.o.Shared {
		return err
	}
	all, listErr := l.o.Store.Processes(ctx)
	if listErr != nil {
		return errors.Join(err, listErr)
	}
	if slices.ContainsFunc(all, func(p batholith.Process) bool { return p.ID == where.Worker }) {
		return fmt.Errorf("%w: %w", batholith.ErrHeld, err)
	}
	return err
}
