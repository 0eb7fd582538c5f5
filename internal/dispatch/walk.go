package dispatch

import (
	"slices"
	"sort"

	"github.com/batholith/batholith/internal/dialect"
	"github.com/batholith/batholith/internal/memory"
)

// Bounds of what one job has in memory. Records that begin alike are sent together only when they are in the window together: of N records
// in a window of W bytes, every group is begun about N/W times.
const (
	walkRecords = 8192
	walkBytes   = 48 << 20 // where the order of prompts pays
	trialBytes  = 12 << 20 // where that is not known yet
	plainBytes  = 6 << 20  // where the order is that of the input, and a wide window is of no use
)

// Whether the order pays is measured: the bytes that neighbours share, in the order of prompts and in the order of the input.
const (
	leastGain   = 0.05 // of the prompts' bytes; below that the input's order stays
	trialChunks = 16   // are ordered before it is decided
	plainChunks = 64   // pass in the input's order before the next trial, and twice as many after each that was in vain,
	mostPlain   = 256  // at most
)

// walk is the records of a job that are read and not taken, in the order in which they are sent: that of their prompts where
// that pays, and else that of the input. Sorted text is a depth-first walk of the beginnings that prompts share, so that what a model
// server has cached of one record serves the next ones. It is guarded by queue.mu.
type walk struct {
	items   []*item
	count   map[*class]int // of the items
	ordered bool           // by prompt
	chunks  int            // since ordered last changed
	plain   int            // how many pass in the input's order
	room    *memory.Budget

	looked map[*lane]*dialect.Prompt // how far each lane has looked for leaders

	// Sums over the chunks of the present trial, older ones counting less.
	bytes, inOrder, asRead float64
}

func newWalk(room *memory.Budget) walk {
	return walk{count: map[*class]int{}, ordered: true, plain: plainChunks, room: room}
}

// any tells whether there is a record that the lane takes.
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

// wide is how many records the window should hold; the lanes want at least so many.
func (w *walk) wide(lanes int) int {
	if w.ordered {
		return max(walkRecords, lanes)
	}
	return lanes
}

// bound is how many bytes of chunks the window should take. A window is wide only while at least half of the budget is free: what it holds,
// it holds until the walk has come round, and answers must not wait for that.
func (w *walk) bound() int64 {
	switch {
	case !w.ordered:
		return plainBytes
	case w.chunks > 0 && w.pays() && w.room.HalfFree():
		return walkBytes
	}
	return trialBytes
}

// add takes in the records of a chunk.
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

func comparePrompts(a, b *item) int { return a.prompt.Compare(&b.prompt) }

// reorder begins another trial.
func (w *walk) reorder() {
	*w = walk{items: w.items, count: w.count, ordered: true, plain: w.plain, room: w.room}
	slices.SortStableFunc(w.items, comparePrompts)
}

// measure counts what the records of a chunk share with their neighbours as they were read.
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

func (w *walk) pays() bool { return w.inOrder-w.asRead >= leastGain*w.bytes }

// merge puts sorted items between those that are there, and counts what each shares with the one before it.
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

// back returns a record that was taken to its place.
func (w *walk) back(it *item) {
	at := 0
	if w.ordered {
		at = w.from(&it.prompt)
	}
	w.count[it.class]++
	w.items = slices.Insert(w.items, at, it)
}

// from is the position of the first record whose prompt is not before p.
func (w *walk) from(p *dialect.Prompt) int {
	return sort.Search(len(w.items), func(i int) bool { return w.items[i].prompt.Compare(p) >= 0 })
}

// next is the position of the record to send after one with the prompt last: the walk goes on from there, and begins again
// when it has come to the end. It goes back where what lies before has more of its beginning in common with last, as it does when last
// was another job's: what the two share is sent before anything else. There must be a record.
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

// longest is the position of the record that will take the longest, as far as can be told.
func (w *walk) longest() int {
	at := 0
	for i, it := range w.items {
		if it.size() > w.items[at].size() {
			at = i
		}
	}
	return at
}

// take removes the record at a position.
func (w *walk) take(at int) *item {
	it := w.items[at]
	w.count[it.class]--
	if at <= len(w.items)/2 {
		copy(w.items[1:at+1], w.items[:at])
		w.items[0] = nil // the slice moves on, and must not hold it
		w.items = w.items[1:]
	} else {
		w.items = slices.Delete(w.items, at, at+1)
	}
	return it
}
