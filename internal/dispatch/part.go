package dispatch

import (
	"slices"
	"time"

	"github.com/batholith/batholith"
)

// Several workers share a job by the chunk. What one of them has claimed the others cannot send, so a worker among others holds less:
//
//	ready = max(2 × slots, min(512, what the lanes answer in readyTime))          instead of max(slots, 512)
//	window in prompt order = max(ready, min(8192, unread / (2 × workers)))        instead of 8192
//
// unread are the job's records after the last chunk that this worker has claimed. So half of what is left stays free for workers that come
// later, and the parts become smaller towards the job's end, at which all workers end at about the same time. A worker that has just started, and
// does not know how many others there are, has only ready records.
const readyTime = 2 * time.Second

// fellows is the number of workers that serve the queue's model, with this one; 0: it is not known yet.
func (q *queue) fellows() int {
	if q.d.o.Workers == nil {
		return 1
	}
	return q.d.o.Workers(q.model)
}

// fleetWidth is width for one of several workers. While nothing was answered, it is 2 × slots. The caller holds mu.
func (q *queue) fleetWidth() int {
	slots, soon := q.slots(), 0
	if took := q.meanTook.or(0); took > 0 {
		soon = int(min(float64(slots)*readyTime.Seconds()/took, leastReady))
	}
	return max(2*slots, soon, 1)
}

// part is how many records of a job may be ready, if the lanes need wide of them, and one worker alone would have most of them ready. The
// caller holds mu.
func (q *queue) part(f *feed, wide, most int) int {
	n := q.fellows()
	switch n {
	case 0:
		return wide
	case 1:
		return most
	}
	return max(wide, min(most, int(f.unread/int64(2*n))))
}

// count sets how many records the job has, and how many come after each file. files are in order.
func (f *feed) count(files []batholith.File) {
	f.after = make(map[int]int64, len(files))
	sum := int64(0)
	for _, file := range slices.Backward(files) {
		f.after[file.N] = sum
		sum += file.Records
	}
	f.queue.mu.Lock()
	defer f.queue.mu.Unlock()
	f.unread = sum
}

// claimed takes note of what was claimed.
func (f *feed) claimed() {
	f.queue.mu.Lock()
	defer f.queue.mu.Unlock()
	if l := f.last; l != nil {
		f.unread = min(f.unread, f.after[l.File]+f.files[l.File].Records-l.First-int64(l.Count))
	}
}

// mayInherit reports whether there may be chunks of a lost worker.
func (f *feed) mayInherit() bool {
	f.queue.mu.Lock()
	defer f.queue.mu.Unlock()
	return f.inherits
}
