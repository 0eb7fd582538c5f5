package lifecycle

import (
	"context"
	"errors"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
)

// partial publishes the output of a running job from time to time, in the background. Its methods belong to the goroutine of the drive.
type partial struct {
	d         *drive
	ctx       context.Context
	cancel    context.CancelFunc
	done      chan struct{} // closed at the end of the running publication; nil: none runs
	published int64         // records in the last successful publication
	began     time.Time     // start of the last publication; before the first one, of the sending; zero until then
	took      time.Duration // length of the last publication; set before done is closed, like wrote
	wrote     int64         // records in the last publication; published, if it failed
	due       *time.Timer   // fires when the next publication is due
}

// partial makes the partial publications of a job that is being sent. Its work ends with the context.
func (d *drive) partial(work context.Context) *partial {
	ctx, cancel := context.WithCancel(work)
	return &partial{d: d, ctx: ctx, cancel: cancel, due: time.NewTimer(partialAge)}
}

// firstPartial is the number of outcomes before the first publication that is made because the output has doubled.
const firstPartial = 1000

// A publication writes all finished outcomes. It begins when the output has doubled since the last one, and in any case so early that no
// outcome waits for longer than
//
//	age = max(partialAge, partialShare × took)
//
// where took is the length of the last publication, with its wait for a place. After the end of a publication the next one begins after
//
//	max(partialEvery, (partialShare - 1) × took)
//
// at the earliest, so that publications take a small part of the process's time. Before the first one, the time counts from the begin of the
// job: a job that ends within partialEvery, or a small one that ends within partialAge, has no partial output.
const (
	partialEvery = 15 * time.Second
	partialAge   = 30 * time.Second
	partialShare = 30
)

// partialsAtOnce is the number of partial publications that a process makes in parallel. If many small jobs run, they wait for each other;
// took rises by that, so they become rarer. All together take at most partialsAtOnce/partialShare of a processor.
const partialsAtOnce = 8

// consider begins a publication if one is due and none is running. It is called after every change, and when due fires.
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
	latest := max(partialAge, partialShare*p.took) - p.took // assuming that the next one takes as long
	if !doubled && since < latest {
		p.due.Reset(latest - since)
		return
	}
	p.wrote, p.began = p.published, time.Now()
	done := make(chan struct{})
	p.done = done
	go func() {
		defer p.d.nudge() // so that consider sees outcomes that came meanwhile
		defer close(done)
		err := p.publish()
		p.took = time.Since(p.began)
		switch {
		case err == nil, errors.Is(err, batholith.ErrHeld): // another worker publishes the same outcomes
			p.wrote = c.Processed
			return
		case p.ctx.Err() != nil, errors.Is(err, batholith.ErrSealed), errors.Is(err, batholith.ErrMoved):
			return
		case blob.Permanent(err) && !blob.Denied(err): // a denial is handled when outcomes are stored (ToStore)
			p.d.fault(err)
		}
		p.d.l.o.Log.Warn("publish partial output", "job", p.d.id, "err", err)
	}()
}

// publish publishes once. It returns batholith.ErrHeld if another worker publishes.
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

// stop cancels the running publication and waits for its end. The final publication aborts uploads that it has left.
func (p *partial) stop() {
	p.cancel()
	p.due.Stop()
	if p.done != nil {
		<-p.done
	}
}
