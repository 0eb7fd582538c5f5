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

// canaries is what a lane knows of its canaries: fixed requests of our own, one output token long, without any user's text, which tell a bad
// record from a bad server when no other record can. It is guarded by lane.mu.
type canaries struct {
	sent     int // ever
	answered int
	flying   int
	text     int // which of the fixed texts is sent: the next one after a failure, so that a server that dislikes a text does not decide
}

// canary is one of them, on its way to find out about a class.
type canary struct {
	about *history // whose probe it is
	class *class   // that it belongs to: about's, or the plain one
	text  int
	why   *batholith.Failure // of the record that it was sent for; nil when the class is paused already
}

// inquire sends a canary about a class that is not paused, unless one is on its way. When it is not answered the class is paused.
func (l *lane) inquire(c *class, why *batholith.Failure) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.at(c)
	if h.asking || h.paused || l.out != "" {
		return
	}
	h.asking = true
	e := &canary{about: h, class: c, text: l.canary.text, why: why}
	l.d.wg.Go(func() { e.send(l) })
}

// canaryTime bounds how long an answer of one token is waited for.
const canaryTime = time.Minute

// hasCanary tells whether there is a canary of this class: of its path and features, and of a size that canaries have.
func (l *lane) hasCanary(c *class) bool {
	if c.band > 0 {
		return false
	}
	_, ok := l.canaryCall(c, 0)
	return ok
}

func (l *lane) canaryCall(c *class, text int) (batholith.Call, bool) {
	if l.d.o.Canary == nil {
		return batholith.Call{}, false
	}
	if s, ok := l.backend.(interface{ NoCanary() bool }); ok && s.NoCanary() {
		return batholith.Call{}, false
	}
	return l.d.o.Canary(c.path, c.features, l.backend.ModelName(), text)
}

// send asks, and tells the classes what came of it. A failure says nothing new: the class is paused already. A canary takes no slot of the
// limit, since the slots of a server may all be waiting for what it is to find out.
func (c *canary) send(l *lane) {
	call, _ := l.canaryCall(c.class, c.text)
	call.Fresh = true
	ctx, cancel := context.WithTimeout(l.d.send, canaryTime)
	defer cancel()
	l.mu.Lock()
	l.begun++
	l.canary.sent++
	l.canary.flying++
	l.mu.Unlock()
	began := time.Now()
	body, err := l.backend.Do(ctx, call)
	f, _ := errors.AsType[*batholith.Failure](err)
	answered := err == nil && dialect.CanaryAnswered(body) || f != nil && c.refused(l, f)
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
	case unreachable: // it was not sent
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
	if !answered && c.why != nil { // nothing tells that the server works
		l.pause(c.class, c.why)
	}
	if unreachable {
		l.takeOut(reason(f))
	}
	l.signal()
}

// refused tells whether the server took the canary for a bad request, while what it did to the records was something else: it works, and does
// not like canaries.
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

// What is sent at a probe, in turn.
const (
	ownCanary = iota
	untried
	plainCanary
	turns
)

// prepare skips the turns for which there is nothing: no canary of the class, or none that is needed besides. The caller holds l.mu.
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

// canaries sends those that are due, until ctx ends.
func (l *lane) canaries(ctx context.Context) {
	for {
		due, next := l.dueCanaries(time.Now())
		for _, c := range due {
			l.d.wg.Go(func() { c.send(l) })
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

// dueCanaries are the canaries to be sent now; next is when there may be others, zero while no class is paused.
func (l *lane) dueCanaries(now time.Time) (due []*canary, next time.Time) {
	if l.paused.Load() == 0 {
		return nil, time.Time{}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range l.histories {
		if h == nil || !h.paused || l.out != "" {
			continue
		}
		l.prepare(h)
		turn := h.turn % turns
		if turn != untried && !h.probe.After(now) {
			c := &canary{about: h, class: h.class, text: l.canary.text}
			if turn == plainCanary {
				c.class = l.d.classes.plain(h.class)
			}
			h.asking = true
			h.next(now, l.answered)
			due = append(due, c)
		}
		if next.IsZero() || h.probe.Before(next) {
			next = h.probe
		}
	}
	if !next.After(now) { // a record is to be tried
		next = now.Add(firstProbe)
	}
	return due, next
}

// trial returns a record of a paused class whose probe is due, and else when to look again: zero when no class is paused.
// It is called on the goroutine of run.
func (l *lane) trial(now time.Time) (it *item, next time.Time) {
	if l.paused.Load() == 0 {
		return nil, time.Time{}
	}
	var due, over []*history
	l.mu.Lock()
	for _, h := range l.histories {
		switch {
		case h == nil || !h.paused:
		case h.condemn(now, l.answered, l.canary.answered > 0):
			over = append(over, h)
		default:
			l.prepare(h)
			if h.turn%turns == untried && !h.probe.After(now) {
				due = append(due, h)
			}
			if next.IsZero() || h.probe.Before(next) {
				next = h.probe
			}
		}
	}
	l.mu.Unlock()
	for _, h := range over {
		l.d.o.Log.Warn("no record of a class was answered in all its trials, though others are; each is sent once more", "backend", l.backend.String(), "class", h.class.String())
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
		l.canaryDue()
		if it != nil {
			return it, now
		}
	}
	return nil, next
}

// canaryDue has the goroutine of canaries look again.
func (l *lane) canaryDue() {
	select {
	case l.pausing <- struct{}{}:
	default:
	}
}

// untried takes a record of a paused class to be tried: one that was not sent yet where there is one, of another job each time, and never
// the last one again while there are others.
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

// String names a class for the log.
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
