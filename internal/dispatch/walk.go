package dispatch

import (
	"slices"
	"sort"

	"github.com/batholith/batholith/internal/dialect"
	"github.com/batholith/batholith/internal/memory"
)

// Bounds of the window: the records of one job that are read and not taken. Records with the same beginning are sent together only if they
// are in the window together. A group of prompts that is spread over a job of N bytes is started about N / W times with a window of W bytes.
const (
	walkRecords = 8192     // records, in prompt order
	walkBytes   = 48 << 20 // bytes, if prompt order pays
	trialBytes  = 12 << 20 // bytes, while that is being measured
	plainBytes  = 6 << 20  // bytes, in input order, where a larger window has no use
)

// Whether prompt order pays is measured: the bytes that neighbouring prompts share in prompt order, against those in input order.
const (
	leastGain   = 0.05 // of the prompts' bytes; a smaller gain keeps the input order
	trialChunks = 16   // chunks of one measurement
	plainChunks = 64   // chunks sent in input order before the next measurement; doubled after each without gain
	mostPlain   = 256  // bound of the doubling
)

// walk is the window of a job: the records that are read and not taken, in the order in which they will be sent. That is prompt order if it
// pays, else input order. In prompt order neighbours share long beginnings, so the cache that a model server has filled for one record
// serves the next ones. Guarded by queue.mu.
type walk struct {
	items   []*item
	count   map[*class]int // number of items of each class
	ordered bool           // in prompt order
	chunks  int            // chunks added since ordered last changed
	plain   int            // chunks to send in input order before the next measurement
	room    *memory.Budget

	looked map[*lane]*dialect.Prompt // last prompt at which each lane looked for leaders

	// Bytes of prompts in the present measurement: all, shared in prompt order, and shared in input order. Each chunk reduces the weight of
	// older ones by a tenth.
	bytes, inOrder, asRead float64
}

// newWalk makes an empty window, which starts with a measurement in prompt order.
func newWalk(room *memory.Budget) walk {
	return walk{count: map[*class]int{}, ordered: true, plain: plainChunks, room: room}
}

// any reports whether the window has a record that the lane sends now.
func (w *walk) any(l *lane) bool {
	if len(w.items) == 0 || l.paused.Load() == 0 {
		return len(w.items) > 0
	}
	for c, n := range w.count {
		if n > 0 && l.takes(c) {
			return true
		}
	}
	return false
}

// wide is the number of records that the window should hold. lanes is the number that the lanes need.
func (w *walk) wide(lanes int) int {
	if w.ordered {
		return max(walkRecords, lanes)
	}
	return lanes
}

// bound is the number of bytes of chunks that the window may hold. It is large only while at least half of the memory budget is free: the
// window keeps its memory until its records are sent, and answers must not wait for that.
func (w *walk) bound() int64 {
	switch {
	case !w.ordered:
		return plainBytes
	case w.chunks > 0 && w.pays() && w.room.HalfFree():
		return walkBytes
	}
	return trialBytes
}

// add puts the records of a chunk into the window, and decides at the end of a measurement which order to use.
func (w *walk) add(items []*item) {
	w.chunks++
	for _, it := range items {
		w.count[it.class]++
	}
	if !w.ordered {
		w.items = append(w.items, items...)
		if w.chunks >= w.plain {
			w.plain = min(2*w.plain, mostPlain)
			w.reorder()
		}
		return
	}
	w.measure(items)
	slices.SortStableFunc(items, comparePrompts)
	w.merge(items)
	if w.chunks >= trialChunks && !w.pays() {
		w.ordered, w.chunks = false, 0
	}
}

// comparePrompts orders records by the bytes of their prompts.
func comparePrompts(a, b *item) int { return a.prompt.Compare(&b.prompt) }

// reorder starts another measurement: it sorts the window by prompt.
func (w *walk) reorder() {
	*w = walk{items: w.items, count: w.count, ordered: true, plain: w.plain, room: w.room}
	slices.SortStableFunc(w.items, comparePrompts)
}

// measure adds the bytes of a chunk's prompts, and those that neighbours share in input order.
func (w *walk) measure(items []*item) {
	const fade = 0.9
	w.bytes, w.inOrder, w.asRead = w.bytes*fade, w.inOrder*fade, w.asRead*fade
	for i, it := range items {
		w.bytes += float64(it.prompt.Len())
		if i > 0 {
			w.asRead += float64(it.prompt.Shared(&items[i-1].prompt))
		}
	}
}

// pays reports whether prompt order shares at least leastGain of the prompts' bytes more than input order.
func (w *walk) pays() bool { return w.inOrder-w.asRead >= leastGain*w.bytes }

// merge inserts sorted items, and adds the bytes that each shares with the one before it.
func (w *walk) merge(items []*item) {
	merged := make([]*item, 0, len(w.items)+len(items))
	old := w.items
	for _, it := range items {
		n := 0
		for n < len(old) && comparePrompts(old[n], it) <= 0 {
			n++
		}
		merged = append(merged, old[:n]...)
		old = old[n:]
		if n := len(merged); n > 0 {
			w.inOrder += float64(it.prompt.Shared(&merged[n-1].prompt))
		}
		merged = append(merged, it)
	}
	w.items = append(merged, old...)
}

// back puts a record that was taken back into its place.
func (w *walk) back(it *item) {
	at := 0
	if w.ordered {
		at = w.from(&it.prompt)
	}
	w.count[it.class]++
	w.items = slices.Insert(w.items, at, it)
}

// late puts a record into the window that did not come with its chunk.
func (w *walk) late(it *item) {
	if w.ordered {
		w.back(it)
		return
	}
	w.count[it.class]++
	w.items = append(w.items, it)
}

// from is the position of the first record whose prompt is not before p.
func (w *walk) from(p *dialect.Prompt) int {
	return sort.Search(len(w.items), func(i int) bool { return w.items[i].prompt.Compare(p) >= 0 })
}

// next is the position of the record to send after a record with the prompt last: the first one that is not before last, or the first of
// the window after its end. If the record before that position shares leastShared bytes more with last, next returns that one; this happens
// when last is another job's prompt. There must be a record.
func (w *walk) next(last *dialect.Prompt) int {
	if !w.ordered || last == nil {
		return 0
	}
	at, ahead := w.from(last), 0
	if at < len(w.items) {
		ahead = w.items[at].prompt.Shared(last)
	}
	switch {
	case at > 0 && w.items[at-1].prompt.Shared(last) >= ahead+leastShared:
		return at - 1
	case at == len(w.items):
		return 0
	}
	return at
}

// longest is the position of the record with the most estimated tokens. There must be a record.
func (w *walk) longest() int {
	at := 0
	for i, it := range w.items {
		if it.size() > w.items[at].size() {
			at = i
		}
	}
	return at
}

// take removes and returns the record at a position.
func (w *walk) take(at int) *item {
	it := w.items[at]
	w.count[it.class]--
	if at <= len(w.items)/2 {
		copy(w.items[1:at+1], w.items[:at])
		w.items[0] = nil // so that the array does not keep it in memory
		w.items = w.items[1:]
	} else {
		w.items = slices.Delete(w.items, at, at+1)
	}
	return it
}
