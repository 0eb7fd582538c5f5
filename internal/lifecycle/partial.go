package lifecycle

import (
	"context"
	"errors"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
)

// partial publishes what there is so far, in the background, each time it is worth it.
type partial struct {
	d         *drive
	ctx       context.Context
	cancel    context.CancelFunc
	done      chan struct{} // closed when the publication that runs is over; nil when none does
	published int64         // records in the last one that succeeded
	began     time.Time     // of the last one; before the first, of the sending; zero until then
	took      time.Duration // the last one; like wrote, written before done is closed
	wrote     int64         // records in the last one, or published again when it failed
	due       *time.Timer   // fires when what waits to be published would become too old
}

func (d *drive) partial(work context.Context) *partial {
	ctx, cancel := context.WithCancel(work)
	return &partial{d: d, ctx: ctx, cancel: cancel, due: time.NewTimer(partialAge)}
}

// firstPartial is how many records must have an outcome before output is published because it has doubled.
const firstPartial = 1000

// A publication writes everything that is finished. One begins when the output has doubled since the last, and otherwise so early that no
// outcome waits for longer than
//
//	age = max(partialAge, partialShare × took),
//
// took being how long the last one took, with its wait for a place. Between the ends of two are at least partialEvery and partialShare − 1
// times took, so that they take a small part of the process's time. Before the first, the time counts from when the job began: a job that is
// done within partialEvery has none before its end, and a small one that is done within partialAge neither.
const (
	partialEvery = 15 * time.Second
	partialAge   = 30 * time.Second
	partialShare = 30
)

// partialsAtOnce is how many partial publications a process makes at once. Where many small jobs run, they wait for one another, take longer
// by that, and so become rarer: all of them together take at most partialsAtOnce/partialShare of a processor.
const partialsAtOnce = 8

// consider begins a publication when it is worth it or due, and none is running. It is called for every change, and when due fires.
func (p *partial) consider(c batholith.Counts) {
	if p.done != nil {
		select {
		case <-p.done:
			p.done, p.published = nil, p.wrote
		default:
			return
		}
	}
	if p.began.IsZero() {
		p.began = p.d.beganAt()
	}
	if c.Processed == p.published || p.began.IsZero() {
		return
	}
	since, o := time.Since(p.began), p.d.l.o
	doubled := c.Processed >= max(2*p.published, o.FirstPartial) && since >= max(o.PartialEvery, (partialShare-1)*p.took)
	latest := max(partialAge, partialShare*p.took) - p.took // the next takes as long
	if !doubled && since < latest {
		p.due.Reset(latest - since)
		return
	}
	p.wrote, p.began = p.published, time.Now()
	done := make(chan struct{})
	p.done = done
	go func() {
		defer p.d.nudge() // what came meanwhile waits for the next
		defer close(done)
		err := p.publish()
		p.took = time.Since(p.began)
		switch {
		case err == nil, errors.Is(err, batholith.ErrHeld): // another worker publishes what this one would
			p.wrote = c.Processed
			return
		case p.ctx.Err() != nil, errors.Is(err, batholith.ErrSealed), errors.Is(err, batholith.ErrMoved):
			return
		case blob.Permanent(err) && !blob.Denied(err): // a denial is found out by what is stored, and waited for
			p.d.fault(err)
		}
		p.d.l.o.Log.Warn("publish partial output", "job", p.d.id, "err", err)
	}()
}

// publish publishes once, unless another worker does.
func (p *partial) publish() error {
	l := p.d.l
	if err := l.partials.Acquire(p.ctx, 1); err != nil {
		return err
	}
	defer l.partials.Release(1)
	epoch, err := l.o.Store.ClaimPublication(p.ctx, p.d.id, l.o.Worker, false, time.Now())
	if err != nil {
		return err
	}
	job, err := l.o.Store.Job(p.ctx, p.d.account, p.d.id)
	if err == nil {
		_, err = l.o.Publisher.Publish(p.ctx, job, epoch, false)
	}
	if err != nil {
		p.d.yield(p.ctx, epoch)
		return err
	}
	return l.o.Store.RestPublication(p.ctx, p.d.id, epoch)
}

// stop ends the publication that runs and waits for it. The final one aborts what it may still have on its way.
func (p *partial) stop() {
	p.cancel()
	p.due.Stop()
	if p.done != nil {
		<-p.done
	}
}
