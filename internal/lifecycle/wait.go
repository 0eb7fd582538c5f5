package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/plain"
)

// Wait is a kind of wait. Its text begins the job's note.
type Wait string

// The kinds of wait. A job may be in several at once.
const (
	InLine     Wait = "The job waits for its turn to be validated"
	ToHear     Wait = "The job waits for its buckets"
	ToValidate Wait = "The job waits to be validated"
	ToRead     Wait = "Records wait to be read"
	ToStore    Wait = "Finished records wait to be stored"
	ToPublish  Wait = "The output waits to be written"
	ToEnd      Wait = "The job waits to end"
)

const (
	// noteAfter is how long a wait lasts before the job's note says so.
	noteAfter = 5 * time.Second
	// noteAgain is the least time before a note is replaced by one with another text, since the text of an error may differ with every attempt.
	noteAgain = time.Minute
	// noteTime is the timeout of writing a note. The goroutine that waits writes it.
	noteTime = 2 * time.Second
	// patience is how long denied access to a validated job is retried before the job fails.
	patience = 10 * time.Minute
	// firstPatience is the same for a job that is being validated. It is short, so that the owner learns of a wrong role soon, and long enough
	// for a short outage of the token service.
	firstPatience = 5 * time.Second
)

// waits are the present waits of one job. A failed attempt begins or continues a wait; a successful one ends it.
type waits struct {
	l   *Lifecycle
	job string
	// spent is called once for each wait in which access was denied for longer than the patience.
	spent func(what Wait, err error)
	// others reports whether other workers go on with the job: then access is denied to this worker alone, and the job does not fail.
	others func(ctx context.Context) bool
	// look finds out whether the job's role is denied everything, and revoked is called once it was so twice; see watchRole.
	look    func(ctx context.Context, since time.Time) (standing, error)
	revoked func(first, second time.Time, err error)

	ctx   context.Context // ends at close
	end   context.CancelFunc
	watch sync.WaitGroup // watchRole

	mu        sync.Mutex
	watching  bool      // watchRole runs, or has found the role revoked
	roleUntil time.Time // next look at a role that is denied everything, at which the job may fail; zero: it is not
	open      map[Wait]*wait
	note      string    // the note as written by this process; "": none
	of        Wait      // the wait that the note is about
	noted     time.Time // when it was written
	closed    bool
}

// wait is one of the waits.
type wait struct {
	since  time.Time
	err    error       // error of the last attempt
	denied *time.Timer // runs while every attempt is denied; else nil
	until  time.Time   // when denied fires
}

// newWaits makes the waits of a job, none so far.
func newWaits(l *Lifecycle, job string, spent func(Wait, error)) *waits {
	w := &waits{l: l, job: job, spent: spent, open: map[Wait]*wait{}}
	w.ctx, w.end = context.WithCancel(context.Background())
	return w
}

// failed takes in a failed attempt that will be repeated. since is the begin of the wait; only the first attempt's counts. It writes the
// note if the wait has lasted long enough. It reports whether access was denied for the whole patience.
func (w *waits) failed(what Wait, since time.Time, err error) (over bool) {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return false
	}
	o := w.open[what]
	if o == nil {
		o = &wait{since: since}
		w.open[what] = o
	}
	o.err = err
	w.count(what, o)
	note := ""
	if time.Since(o.since) >= noteAfter {
		note = o.text(what, w.roleUntil)
	}
	write := note != "" && note != w.note && (w.note == "" || time.Since(w.noted) >= noteAgain)
	if write {
		w.note, w.of, w.noted = note, what, time.Now()
	}
	over = o.denied != nil && !time.Now().Before(o.until)
	w.mu.Unlock()
	if write {
		w.write(func(ctx context.Context) error { return w.l.o.Store.Note(ctx, w.job, note) })
	}
	return over
}

// count starts or stops the timer of denied access. Validation has its own patience. The caller holds mu.
func (w *waits) count(what Wait, o *wait) {
	switch denied := blob.Denied(o.err) && what != ToValidate; {
	case !denied && o.denied != nil:
		o.denied.Stop()
		o.denied = nil
	case denied && o.denied == nil:
		if !w.watching {
			w.watching = true
			w.watch.Go(func() { w.watchRole(w.ctx) })
		}
		o.until = time.Now().Add(w.l.o.Patience)
		o.denied = time.AfterFunc(w.l.o.Patience, func() {
			others := what != ToPublish && w.others(w.ctx)
			w.mu.Lock()
			err, still := o.err, w.open[what] == o && o.denied != nil
			if still && others {
				o.until = time.Now().Add(w.l.o.Patience)
				o.denied.Reset(w.l.o.Patience)
			}
			w.mu.Unlock()
			if still && !others {
				w.spent(what, err)
			}
		})
	}
}

// succeeded ends a wait, and removes its note unless another process has replaced it.
func (w *waits) succeeded(what Wait) {
	w.mu.Lock()
	o := w.open[what]
	if o == nil {
		w.mu.Unlock()
		return
	}
	if o.denied != nil {
		o.denied.Stop()
	}
	delete(w.open, what)
	note := w.note
	if w.of != what { // the note is about another wait
		note = ""
	} else {
		w.note = ""
	}
	w.mu.Unlock()
	if note != "" {
		w.write(func(ctx context.Context) error { return w.l.o.Store.Unnote(ctx, w.job, note) })
	}
}

// seen takes in the job's note in the database. If another process has removed this one, the next failed attempt writes it again.
func (w *waits) seen(note string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if note == "" && time.Since(w.noted) >= noteTime { // a newer note may still be on its way
		w.note = ""
	}
}

// close ends all waits. It is called when the drive ends.
func (w *waits) close() {
	defer w.watch.Wait()
	w.end()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for _, o := range w.open {
		if o.denied != nil {
			o.denied.Stop()
		}
	}
}

// write changes the note in the database. If that fails, the next failed attempt writes it, or the job's end removes it.
func (w *waits) write(do func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), noteTime)
	defer cancel()
	if err := do(ctx); err != nil {
		if !errors.Is(err, batholith.ErrMoved) {
			w.l.o.Log.Debug("note on job", "job", w.job, "err", err)
		}
		w.mu.Lock()
		w.note = ""
		w.mu.Unlock()
	}
}

// text is the note of a wait: what waits, the cause, the remedy if the error has one, and what happens if nothing changes. revoked is when
// the job fails because its whole role is denied; zero: it is not.
func (o *wait) text(what Wait, revoked time.Time) string {
	then := "Batholith retries automatically."
	switch {
	case what == InLine:
		then = "The validation begins automatically."
	case o.denied != nil:
		until := o.until
		if !revoked.IsZero() && revoked.Before(until) {
			until = revoked
		}
		then = fmt.Sprintf("Batholith retries automatically. If nothing changes, the job fails at %s.", until.UTC().Format(time.RFC3339))
	}
	why := plain.Line(o.err.Error()) // the text may come from a server
	room := batholith.MaxMessage - len(what) - len(then) - len(": . ")
	if len(why) > room {
		why = strings.ToValidUTF8(why[:room], "")
	}
	return fmt.Sprintf("%s: %s. %s", what, strings.TrimRight(why, ". "), then)
}
