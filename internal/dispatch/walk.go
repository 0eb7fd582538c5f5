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
	items   []*item        // in prompt order or input order; if mixed, those that mostly write come after the others, see mix.go
	count   map[*class]int // number of items of each class
	ordered bool           // in prompt order
	chunks  int            // chunks added since ordered last changed
	plain   int            // chunks to send in input order before the next measurement
	room    *memory.Budget

	looked map[front]*dialect.Prompt // last prompt at which each lane looked for leaders

	mixed       bool    // the window is in two parts
	writers     int     // items that mostly write, if it is
	changed     int     // records that came or were taken since the window was judged
	common      int     // bytes that all prompts shared then
	read, write float64 // tokens of prompts and of answers then
	kin         []*kin  // groups, in prompt order
	scouts      []*item // to be taken before others

	// Bytes of prompts in the present measurement: all, shared in prompt order, and shared in input order. Each chunk reduces the weight of
	// older ones by a tenth.
	bytes, inOrder, asRead float64
}

// front is a lane in a part of a window.
type front struct {
	l  *lane
	of part
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
		w.unite()
		w.ordered, w.chunks = false, 0
	}
}

// comparePrompts orders records by the bytes of their prompts.
func comparePrompts(a, b *item) int { return a.prompt.Compare(&b.prompt) }

// reorder starts another measurement: it sorts the window by prompt.
func (w *walk) reorder() {
	*w = walk{items: w.items, count: w.count, ordered: true, plain: w.plain, room: w.room, kin: w.kin}
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
	if !w.mixed {
		w.items = w.merged(w.items, items)
		return
	}
	split, _ := w.bounds(writing)
	read, write := w.sort(items)
	w.writers += len(write)
	w.items = append(w.merged(w.items[:split], read), w.merged(w.items[split:], write)...)
}

// merged merges sorted items into a part of the window.
func (w *walk) merged(old, items []*item) []*item {
	merged := make([]*item, 0, len(old)+len(items))
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
	return append(merged, old...)
}

// back puts a record that was taken back into its place.
func (w *walk) back(it *item) {
	at := 0
	switch {
	case w.mixed:
		at = w.from(&it.prompt, it.part)
		w.writers += int(it.part)
	case w.ordered:
		at = w.from(&it.prompt, reading)
	}
	w.count[it.class]++
	w.items = slices.Insert(w.items, at, it)
}

// late puts a record into the window that did not come with its chunk.
func (w *walk) late(it *item) {
	if w.ordered {
		if w.mixed {
			it.part = w.place(it)
		}
		w.back(it)
		return
	}
	w.count[it.class]++
	w.items = append(w.items, it)
}

// from is the position of the first record of a part whose prompt is not before p.
func (w *walk) from(p *dialect.Prompt, of part) int {
	from, to := w.bounds(of)
	return from + sort.Search(to-from, func(i int) bool { return w.items[from+i].prompt.Compare(p) >= 0 })
}

// next is the position of the record to send after a record with the prompt last: the first one of the part that is not before last, or the
// first of the part after its end. If the record before that position shares leastShared bytes more with last, next returns that one; this
// happens when last is another job's prompt. There must be a record in the part.
func (w *walk) next(last *dialect.Prompt, of part) int {
	from, to := w.bounds(of)
	if !w.ordered || last == nil {
		return from
	}
	at, ahead := w.from(last, of), 0
	if at < to {
		ahead = w.items[at].prompt.Shared(last)
	}
	switch {
	case at > from && w.items[at-1].prompt.Shared(last) >= ahead+leastShared:
		return at - 1
	case at == to:
		return from
	}
	return at
}

// longest is the position of the record that takes a slot for the longest time. There must be a record.
func (w *walk) longest() int {
	at := 0
	for i, it := range w.items {
		if it.length() > w.items[at].length() {
			at = i
		}
	}
	return at
}

// take removes and returns the record at a position.
func (w *walk) take(at int) *item {
	it := w.items[at]
	w.count[it.class]--
	if at >= len(w.items)-w.writers {
		w.writers--
	}
	if at <= len(w.items)/2 {
		copy(w.items[1:at+1], w.items[:at])
		w.items[0] = nil // so that the array does not keep it in memory
		w.items = w.items[1:]
	} else {
		w.items = slices.Delete(w.items, at, at+1)
	}
	return it
}
