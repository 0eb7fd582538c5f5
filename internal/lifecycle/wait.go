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

// Wait is what a job waits for. Its text begins the note on the job.
type Wait string

// The waits. Each is told apart from the others: a job may wait for several things at once.
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
	// noteAfter is how long a wait lasts before it is noted on the job: shorter ones are nobody's concern.
	noteAfter = 5 * time.Second
	// noteAgain is how often a note is written anew whose words have changed: those of an error may be others with every attempt.
	noteAgain = time.Minute
	// noteTime bounds the writing of a note, which is written on the way by whoever waits.
	noteTime = 2 * time.Second
	// patience is for how long access that is denied to a job that was validated is tried again before the job fails.
	patience = 10 * time.Minute
	// firstPatience is the same for a job that is being validated: its owner is to learn of a wrong role at once, and a hiccup of the token
	// service is over by then.
	firstPatience = 5 * time.Second
)

// waits are what one job waits for. A failed attempt begins a wait or prolongs it, one that succeeds ends it.
type waits struct {
	l   *Lifecycle
	job string
	// spent is told, once for each, which wait was denied for longer than the patience, by an attempt or a timer.
	spent func(what Wait, err error)

	mu     sync.Mutex
	open   map[Wait]*wait
	note   string // as written on the job; "": none
	of     Wait   // whose it is
	noted  time.Time
	closed bool
}

// wait is one of them.
type wait struct {
	since  time.Time
	err    error       // of the last attempt
	denied *time.Timer // runs while every attempt is denied; nil otherwise
	until  time.Time   // when it fires
}

func newWaits(l *Lifecycle, job string, spent func(Wait, error)) *waits {
	return &waits{l: l, job: job, spent: spent, open: map[Wait]*wait{}}
}

// failed says that an attempt failed which is repeated. since is when the waiting began; it counts only for the first attempt. A wait of
// some seconds is noted on the job. It returns whether this wait was denied, and nothing else, for the whole patience.
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
		note = o.text(what)
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

// count starts or stops the clock of a wait's denial. Validation has a patience of its own. The caller holds mu.
func (w *waits) count(what Wait, o *wait) {
	switch denied := blob.Denied(o.err) && what != ToValidate; {
	case !denied && o.denied != nil:
		o.denied.Stop()
		o.denied = nil
	case denied && o.denied == nil:
		o.until = time.Now().Add(w.l.o.Patience)
		o.denied = time.AfterFunc(w.l.o.Patience, func() {
			w.mu.Lock()
			err, still := o.err, w.open[what] == o && o.denied != nil
			w.mu.Unlock()
			if still {
				w.spent(what, err)
			}
		})
	}
}

// succeeded ends a wait. Its note goes with it, unless somebody else has written another.
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
	if w.of != what { // another wait's
		note = ""
	} else {
		w.note = ""
	}
	w.mu.Unlock()
	if note != "" {
		w.write(func(ctx context.Context) error { return w.l.o.Store.Unnote(ctx, w.job, note) })
	}
}

// seen takes in the note that the job has in the database. When somebody else took this one away, the next failed attempt writes it again.
func (w *waits) seen(note string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if note == "" && time.Since(w.noted) >= noteTime { // not one that is being written
		w.note = ""
	}
}

// close ends all waits, when the job has no drive here any more.
func (w *waits) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for _, o := range w.open {
		if o.denied != nil {
			o.denied.Stop()
		}
	}
}

// write writes to the job's row. A note that cannot be written is written with the next attempt that fails, or goes with the job's end.
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

// text is the note of a wait: what waits, for which cause, with the remedy if the error knows one, and what happens if nothing changes.
func (o *wait) text(what Wait) string {
	then := "It is tried again by itself."
	switch {
	case what == InLine:
		then = "It begins by itself."
	case o.denied != nil:
		then = fmt.Sprintf("It is tried again by itself; if nothing changes, the job fails at %s.", o.until.UTC().Format(time.RFC3339))
	}
	why := plain.Line(o.err.Error()) // a server's words may hold anything
	room := batholith.MaxMessage - len(what) - len(then) - len(": . ")
	if len(why) > room {
		why = strings.ToValidUTF8(why[:room], "")
	}
	return fmt.Sprintf("%s: %s. %s", what, strings.TrimRight(why, ". "), then)
}
