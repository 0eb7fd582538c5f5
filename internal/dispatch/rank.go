package dispatch

import (
	"context"
	"slices"
	"time"

	"github.com/batholith/batholith"
)

// PriorityTag is the tag that sets a job's priority among the jobs of its principal: high, normal or low.
const PriorityTag = "batholith:priority"

// priority is an index of tenant.lines and of weights.
type priority int

const (
	high priority = iota
	normal
	low
	priorities
)

// weights are the priorities' shares of a tenant's tokens while all three have work.
var weights = [priorities]float64{16, 4, 1}

// priorityOf reads a job's tags. Any other value of the tag is normal.
func priorityOf(tags []batholith.Tag) priority {
	for _, t := range tags {
		if t.Key == PriorityTag {
			return priorityNamed(t.Value)
		}
	}
	return normal
}

// priorityNamed reads the value of PriorityTag.
func priorityNamed(value string) priority {
	switch value {
	case "high":
		return high
	case "low":
		return low
	}
	return normal
}

// rankEvery is how often the priorities of all jobs are read. A changed tag takes effect after this time at the latest, in every state of
// the job.
const rankEvery = 5 * time.Second

// ranks updates the priorities of all jobs until ctx ends, with one query for all jobs.
func (d *Dispatcher) ranks(ctx context.Context) {
	tick := time.NewTicker(rankEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		feeds := d.running()
		if len(feeds) < 2 { // a single job has no other to go before or after
			continue
		}
		values, err := d.o.Store.Tagged(ctx, PriorityTag)
		if err != nil { // the priorities stay as they were until the database answers
			continue
		}
		for _, f := range feeds {
			f.rank(priorityNamed(values[f.job.ID]))
		}
	}
}

// running returns the feeds of all jobs.
func (d *Dispatcher) running() []*feed {
	d.mu.Lock()
	defer d.mu.Unlock()
	feeds := make([]*feed, 0, len(d.feeds))
	for _, f := range d.feeds {
		feeds = append(feeds, f)
	}
	return feeds
}

// enter reads the priority of a new job. If the database does not answer, the priority stays that of the job's tags at Enqueue.
func (f *feed) enter(ctx context.Context) {
	if tags, err := f.d.o.Store.Tags(ctx, f.job.Account, f.job.ID); err == nil {
		f.rank(priorityOf(tags))
	}
}

// rank sets the job's priority. The job's turn may come by that.
func (f *feed) rank(to priority) {
	f.queue.mu.Lock()
	defer f.queue.mu.Unlock()
	if f.priority != to && slices.Contains(f.queue.feeds, f) {
		f.queue.shares.move(f, to)
		f.queue.grant()
		f.queue.wake()
	}
}
