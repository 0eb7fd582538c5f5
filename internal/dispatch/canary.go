package dispatch

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/dialect"
)

// canaries counts the canaries of a lane. A canary is a fixed request of our own with one token of output and no user's text. It tells a bad
// record from a bad server when no other record can. It is guarded by lane.mu.
type canaries struct {
	sent     int // since the process started
	answered int // of those
	flying   int
	text     int // number of the fixed text to send; it moves on after a failure, because a server may fail on one text
}

// canary is one such request.
type canary struct {
	about *history // the class that it probes
	class *class   // the class that the request belongs to: that of about, or its plain one
	text  int
	why   *batholith.Failure // the record's failure that it was sent for; nil when the class is paused already
}

// inquire sends a canary about a class that is not paused, unless one is in flight or the lane is out. If the canary is not answered, the
// class is paused.
func (l *lane) inquire(c *class, why *batholith.Failure) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inquires(l.at(c), why)
}

// inquires is inquire for a caller that holds l.mu.
func (l *lane) inquires(h *history, why *batholith.Failure) {
	if h.asking || h.paused || l.out != "" || l.closed() {
		return
	}
	h.asking = true
	request := &canary{about: h, class: h.class, text: l.canary.text, why: why}
	if h.condemned { // the question is whether the lane answers any class
		request.class = l.d.classes.plain(h.class)
	}
	l.d.wg.Go(func() { request.send(l) })
}

// canaryTime is the timeout of a canary.
const canaryTime = time.Minute

// hasCanary reports whether there is a canary of this class: one with its path and features. Classes of large records have none.
func (l *lane) hasCanary(c *class) bool {
	if c.band > 0 {
		return false
	}
	_, ok := l.canaryCall(c, 0)
	return ok
}

// canaryCall is the request of a canary with the path and features of a class, or false if there is none. It does not look at the size.
func (l *lane) canaryCall(c *class, text int) (batholith.Call, bool) {
	if l.d.o.Canary == nil {
		return batholith.Call{}, false
	}
	if s, ok := l.backend.(interface{ NoCanary() bool }); ok && s.NoCanary() {
		return batholith.Call{}, false
	}
	call, ok := l.d.o.Canary(l.backend.Protocol(), c.path, c.features, l.backend.ModelName(), text)
	return dialect.Without(call, batholith.Spare(l.spared.Load())), ok
}

// send sends the canary and waits for its answer. An answer ends the pause of its class. A failure pauses the class, if it was not paused
// before. A canary takes no slot of the limit: all slots may be waiting for the answer to this question.
func (c *canary) send(l *lane) {
	call, _ := l.canaryCall(c.class, c.text)
	call.Fresh = true
	ctx, cancel := context.WithTimeout(l.d.take, canaryTime) // a shutdown does not wait for it
	defer cancel()
	l.mu.Lock()
	l.begun++
	l.canary.sent++
	l.canary.flying++
	c.about.canaries++
	l.mu.Unlock()
	began := time.Now()
	body, err := l.backend.Do(ctx, call)
	f, _ := errors.AsType[*batholith.Failure](err)
	answered := err == nil && dialect.CanaryAnswered(l.backend.Protocol(), body) || f != nil && c.refused(l, f)
	if answered {
		l.limit.Works()
	}
	unreachable := f != nil && f.Kind == batholith.FailureUnreachable
	l.d.o.Log.Debug("canary", "backend", l.backend.String(), "class", c.class.String(), "answered", answered)
	l.mu.Lock()
	l.canary.flying--
	c.about.asking = false
	h, resumed := l.at(c.class), false
	switch {
	case answered:
		l.canary.answered++
		l.worked(began)
		resumed = h.succeed(began, false)
	case unreachable, l.d.take.Err() != nil: // nothing was sent, or it was called off, so nothing is learnt about the class
	default:
		l.canary.text++
		if h == c.about {
			h.missed++
		}
	}
	l.mu.Unlock()
	if resumed {
		l.resumed(h)
	}
	if !answered && c.why != nil && l.d.take.Err() == nil { // nothing shows that the server works
		l.pause(c.about.class, c.why)
	}
	if unreachable {
		l.takeOut(reason(f))
	}
	l.signal()
}

// takeCanaries returns how many canaries were sent about a class since its last call. They are counted in the outcome of the record that
// ends now.
func (l *lane) takeCanaries(c *class) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.at(c)
	n := h.canaries
	h.canaries = 0
	return n
}

// refused reports whether the server called the canary a bad request (400, 413, 422, 451) although the records failed in another way. Then
// the server works and only the canary does not suit it.
func (c *canary) refused(l *lane, f *batholith.Failure) bool {
	if f.Kind != batholith.FailureBadRecord {
		return false
	}
	why := c.why
	l.mu.Lock()
	defer l.mu.Unlock()
	if why == nil {
		why = c.about.why
	}
	return why != nil && why.Kind != batholith.FailureBadRecord
}

// The requests that the probes of a paused class send, in turn (see history).
const (
	ownCanary   = iota // a canary of the class
	untried            // a record: the trial
	plainCanary        // a canary without features
	turns              // how many
)

// prepare moves h.turn on to the next request that can be sent. It skips canaries while one about the class is in flight, those that do not
// exist, and the plain one of a plain class, which would be the same. The caller holds l.mu.
func (l *lane) prepare(h *history) {
	for range turns {
		plain := l.d.classes.plain(h.class)
		switch h.turn % turns {
		case ownCanary:
			if !h.asking && l.hasCanary(h.class) {
				return
			}
		case plainCanary:
			if !h.asking && plain != h.class && l.hasCanary(plain) {
				return
			}
		default:
			return
		}
		h.turn++
	}
}

// canaries sends the canaries of all paused classes when they are due, until ctx ends.
func (l *lane) canaries(ctx context.Context) {
	for {
		due, next := l.dueCanaries(time.Now())
		for _, c := range due {
			l.d.wg.Go(func() { c.send(l) })
		}
		if len(due) > 0 {
			l.wakeUp()
		}
		var later <-chan time.Time
		if !next.IsZero() {
			later = time.After(max(time.Until(next), time.Millisecond))
		}
		select {
		case <-ctx.Done():
			return
		case <-l.pausing:
		case <-later:
		}
	}
}

// dueCanaries returns the canaries to send now, and when to look again. The time is zero while no record waits for one.
func (l *lane) dueCanaries(now time.Time) (due []*canary, next time.Time) {
	probed, next := l.probed(now)
	if len(probed) == 0 {
		return nil, next
	}
	waiting := l.waiting()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range probed {
		if !waiting[h.class] || !h.paused || h.asking { // a new record of the class triggers another look
			continue
		}
		c := &canary{about: h, class: h.class, text: l.canary.text}
		if h.turn%turns == plainCanary {
			c.class = l.d.classes.plain(h.class)
		}
		h.asking = true
		h.next(now, l.answered)
		if next.IsZero() || h.probe.Before(next) {
			next = h.probe
		}
		due = append(due, c)
	}
	return due, next
}

// probed returns the paused classes about which a canary is due, and the time of the next probe of another class; zero if there is none.
func (l *lane) probed(now time.Time) (due []*history, next time.Time) {
	if l.paused.Load() == 0 {
		return nil, time.Time{}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range l.histories {
		if h == nil || !h.paused || l.out != "" || l.closed() {
			continue
		}
		l.prepare(h)
		at := h.probe
		switch {
		case at.After(now):
		case h.turn%turns != untried:
			due = append(due, h)
			continue
		default: // a record is to be tried, by the goroutine of run
			at = now.Add(firstProbe)
		}
		if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	return due, next
}

// waiting is the set of classes with at least one record, of any job, that is ready, waits after a failure, or is in flight as a trial.
// Only about these classes are canaries sent.
func (l *lane) waiting() map[*class]bool {
	classes := map[*class]bool{}
	for _, q := range l.served() {
		q.mu.Lock()
		for _, f := range q.feeds {
			for _, count := range []map[*class]int{f.ready.count, f.trials} {
				for c, n := range count {
					classes[c] = classes[c] || n > 0
				}
			}
			for _, it := range f.later {
				classes[it.class] = true
			}
		}
		q.mu.Unlock()
	}
	return classes
}

// trial returns a record of a paused class if a trial is due. Else it returns nil and when to look again; zero while no class is paused. It
// also condemns the classes whose trials are over. It runs on the goroutine of run.
func (l *lane) trial(now time.Time) (it *item, next time.Time) {
	if l.paused.Load() == 0 {
		return nil, time.Time{}
	}
	var due, condemned []*history
	l.mu.Lock()
	for _, h := range l.histories {
		switch {
		case h == nil || !h.paused:
		case h.condemn(now, l.canary.answered > 0 || l.answered.IsZero()):
			condemned = append(condemned, h)
		default:
			l.prepare(h)
			switch {
			case h.probe.After(now):
				if next.IsZero() || h.probe.Before(next) {
					next = h.probe
				}
			case h.turn%turns == untried:
				due = append(due, h)
			} // a canary that is due is sent by the goroutine of canaries, which wakes this one
		}
	}
	l.mu.Unlock()
	for _, h := range condemned {
		l.d.o.Log.Warn("the model server answered no request of this class; each record is sent once more and then ends with the server's error; check that the model server supports such requests",
			"backend", l.backend.String(), "class", h.class.String())
		l.resumed(h)
	}
	for _, h := range due {
		l.mu.Lock()
		last := h.last
		l.mu.Unlock()
		it := l.untried(h.class, last)
		l.mu.Lock()
		h.next(now, l.answered)
		if it != nil {
			h.last = it
			h.tries++
		}
		if next.IsZero() || h.probe.Before(next) || !next.After(now) {
			next = h.probe
		}
		l.mu.Unlock()
		if it != nil {
			return it, now
		}
	}
	return nil, next
}

// untried takes a record of a paused class for a trial, from the first queue that has one. l.turn moves on at each call, so that queues and
// jobs take turns. Within a queue, records that were never sent come first, and the record of the last trial comes last.
func (l *lane) untried(c *class, last *item) *item {
	queues := l.served()
	l.turn++
	for i := range queues {
		q := queues[(l.turn+i)%len(queues)]
		q.mu.Lock()
		it := q.untried(c, last, l.turn)
		q.mu.Unlock()
		if it != nil {
			return it
		}
	}
	return nil
}

// String names a class for the log: path, features and least size.
func (c *class) String() string {
	parts := []string{c.path}
	if s := fmt.Sprint(c.features); c.features != 0 {
		parts = append(parts, s)
	}
	if c.band > 0 {
		parts = append(parts, fmt.Sprintf("over %d KiB", smallRecord<<(3*(c.band-1))>>10))
	}
	return strings.Join(parts, " ")
}
