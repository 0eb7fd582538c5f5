package dispatch

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/dialect"
)

// A reload changes which backends serve the jobs. Options.Serving and Options.Access answer for the new settings already when Reload is called.
//
//	backend removed   its lane takes nothing more and ends; its requests in flight finish, and their outcomes count
//	backend changed   as if it was removed and another one was added, but the new lane has the host of the old one: its limit, and its slots
//	                  that are still taken. It begins when the old lane has ended
//	backend added     a new lane joins the queue
//	model removed     its jobs leave: they send nothing more, their requests in flight finish, their chunks are given back, and they are parked
//	model changed so that a job belongs to another queue, or needs other rights: the job leaves and is queued again
//
// No request is cancelled, so nothing is sent twice because of a reload. A crash during a reload is a crash like any other: nothing of a
// reload is stored.

// Tuning are the options that may change while a Dispatcher runs. They count for records that are judged, read or concluded from then on.
type Tuning struct {
	Attempts int // as Options.Attempts
	Reuse    bool
	Earlier  batholith.Reuse
	Sourced  bool
	Silent   bool
}

// Tune replaces the tuning.
func (d *Dispatcher) Tune(t Tuning) {
	t.Attempts = orInt(t.Attempts, 4)
	d.tuning.Store(&t)
}

func (d *Dispatcher) tuned() *Tuning { return d.tuning.Load() }

// Reload makes all jobs use the backends that Options.Serving returns now. has reports whether a backend is still in the settings. The
// returned channel is closed when nothing is in flight any more at the removed backends.
func (d *Dispatcher) Reload(has func(Backend) bool) <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dropped = func(b Backend) bool { return !has(b) }
	d.leaving = map[string]*host{}
	defer func() { d.leaving = nil }()
	var gone []*lane
	for key, l := range d.lanes {
		if d.dropped(l.backend) {
			gone = append(gone, l)
			delete(d.lanes, key)
		}
	}
	for key, h := range d.hosts {
		if members := h.members(); len(members) > 0 && d.dropped(members[0].backend) {
			delete(d.hosts, key)
			if o := originOf(members[0].backend); o != "" {
				d.leaving[o] = h
			}
		}
	}
	for _, l := range gone {
		l.retire()
	}
	for r, q := range d.queues {
		d.renew(r, q)
	}
	clear(d.spreads)
	for _, l := range gone {
		if l.stop != nil {
			l.stop()
		}
		l.limit.Dismiss() // calls that wait for a slot look for another backend
		l.wakeStandbys()
	}
	for _, p := range slices.Collect(maps.Values(d.parked)) {
		d.enqueue(p.job)
	}
	for _, q := range d.queues {
		q.admit()
		q.tell()
		q.wake()
	}
	d.news.tell()
	d.share()
	return d.idle(gone)
}

// renew gives a queue the backends of its jobs as they are served now. The caller holds d.mu.
func (d *Dispatcher) renew(r route, q *queue) {
	q.mu.Lock()
	feeds := slices.Clone(q.feeds)
	q.mu.Unlock()
	var now *Serving
	for _, f := range feeds {
		s, err := d.o.Serving(f.job)
		if err != nil || s.route() != q.route || s.Access != f.access {
			d.leave(f)
			continue
		}
		f.speak(s)
		now = &s
	}
	if now == nil { // a later job makes a new queue
		delete(d.queues, r)
		for _, l := range q.lanes() {
			l.unserve(q)
		}
		return
	}
	q.use(*now)
	if d.take != nil {
		d.start(q)
	}
}

// retire makes a lane take nothing more.
func (l *lane) retire() {
	l.mu.Lock()
	l.gone = true
	l.mu.Unlock()
	l.signal()
}

// idle returns a channel that is closed when the lanes hold no slots. The caller holds d.mu.
func (d *Dispatcher) idle(lanes []*lane) <-chan struct{} {
	done := make(chan struct{})
	if len(lanes) == 0 || d.take == nil {
		close(done)
		return done
	}
	d.wg.Go(func() {
		defer close(done)
		tick := time.NewTicker(lookAgain)
		defer tick.Stop()
		for slices.ContainsFunc(lanes, func(l *lane) bool { return l.working.Load() > 0 }) {
			select {
			case <-tick.C:
			case <-d.send.Done():
				return
			}
		}
	})
	return done
}

// originOf is Backend.Origin where there is one: equal for two backends of one model on one server.
func originOf(b Backend) string {
	if o, ok := b.(interface{ Origin() string }); ok {
		return o.Origin()
	}
	return ""
}

// heir returns the host of a removed backend on the same server with the same model, for a new backend; nil: there is none. The caller holds
// d.mu.
func (d *Dispatcher) heir(b Backend) *host {
	o := originOf(b)
	h := d.leaving[o]
	if o == "" || h == nil {
		return nil
	}
	delete(d.leaving, o)
	h.mu.Lock()
	h.before, h.lanes = h.lanes, nil
	h.mu.Unlock()
	h.limit.Configure(b.MaxInFlight())
	d.rename(h, b)
	return h
}

// laneNow returns the lane of a backend; nil if the backend is not in the settings any more.
func (d *Dispatcher) laneNow(b Backend, model string) *lane {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dropped(b) {
		return nil
	}
	return d.lane(b, model)
}

// errLeft ends a feed that gives its chunks back because of a reload.
var errLeft = errors.New("the job leaves its queue")

// leave makes a feed end as soon as nothing of it is in flight. Then its job is queued again, or parked. A feed that rests already is left to
// whoever lets it go on. The caller holds d.mu.
func (d *Dispatcher) leave(f *feed) {
	if f.resting.Swap(true) {
		return
	}
	job := f.now()
	f.next = &job
	f.cease(errLeft)
	q := f.queue
	q.mu.Lock()
	q.drop(f)
	f.letGo()
	never := !f.running
	f.running = true
	q.mu.Unlock()
	if never { // the Dispatcher does not run yet, so the feed holds nothing
		close(f.done)
		delete(d.feeds, job.ID)
		d.enqueue(job)
	}
}

// now is the job with what is known of it by now.
func (f *feed) now() batholith.Job {
	f.queue.mu.Lock()
	defer f.queue.mu.Unlock()
	j := f.job
	j.Counts.Processed = max(j.Counts.Processed+f.concluded, f.stored+f.concluded-f.storedAt)
	if f.begun.Load() {
		j.Status = batholith.StatusInProgress
	}
	j.Note = f.said
	return j
}

// speech translates the bodies of a job.
type speech struct {
	dialect  func(protocol string) dialect.Dialect
	recipe   func(Backend) string // see Serving.Recipe; nil: not known
	recipes  sync.Map             // known ones: recipient → string
	backends []Backend
	before   map[string]dialect.Dialect // by protocols that only removed backends have: records may be on their way to them
}

// recipient is a backend under its present name of the model, which the server may tell later.
type recipient struct {
	backend Backend
	model   string
}

// recipeOf returns the recipe of the answers of a backend; "": not known. Each record asks for it, so it is made once.
func (s *speech) recipeOf(b Backend) string {
	if s.recipe == nil {
		return ""
	}
	of := recipient{b, b.ModelName()}
	known, ok := s.recipes.Load(of)
	if !ok {
		known, _ = s.recipes.LoadOrStore(of, s.recipe(b))
	}
	return known.(string)
}

// speak takes the translators of a serving. The caller holds d.mu.
func (f *feed) speak(s Serving) {
	to := &speech{dialect: s.Dialect, recipe: s.Recipe, backends: s.Backends, before: map[string]dialect.Dialect{}}
	if was := f.speaks.Load(); was != nil {
		maps.Copy(to.before, was.before)
		for _, l := range f.queue.lanes() {
			p := l.backend.Protocol()
			if t := was.dialect(p); t != nil {
				to.before[p] = t
			}
		}
	}
	f.speaks.Store(to)
}

// dialect returns the translator for a protocol.
func (f *feed) dialect(protocol string) dialect.Dialect {
	s := f.speaks.Load()
	if d := s.dialect(protocol); d != nil {
		return d
	}
	return s.before[protocol]
}

// parked is a job that nothing serves.
type parked struct {
	job  batholith.Job
	note string
	said bool
}

// park keeps a job until a Reload, and notes why. The caller holds d.mu.
func (d *Dispatcher) park(job batholith.Job, why error) {
	p := &parked{job: job, note: waitNote + why.Error() + ". The job goes on when the settings have it again, or ends at its deadline."}
	if was := d.parked[job.ID]; was != nil && was.note == p.note {
		return
	}
	d.parked[job.ID] = p
	p.tell(d)
}

// unpark removes a job from the parked ones. Its note is the feed's from then on. The caller holds d.mu.
func (d *Dispatcher) unpark(job *batholith.Job) {
	if p := d.parked[job.ID]; p != nil {
		job.Note = p.note
		delete(d.parked, job.ID)
	}
}

// tell writes the note of a parked job, unless it is written. The caller holds d.mu.
func (p *parked) tell(d *Dispatcher) {
	if p.said || d.send == nil || d.take.Err() != nil {
		return
	}
	p.said = true
	d.wg.Go(func() {
		still := func() bool {
			d.mu.Lock()
			defer d.mu.Unlock()
			return d.parked[p.job.ID] == p
		}
		_ = d.insist(d.take, "note on job "+p.job.ID, func() error {
			if !still() {
				return nil
			}
			ctx, cancel := context.WithTimeout(d.take, 10*time.Second)
			defer cancel()
			return d.o.Store.Note(ctx, p.job.ID, p.note)
		})
	})
}
