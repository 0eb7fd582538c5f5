package dispatch

import (
	"slices"
	"sort"

	"github.com/batholith/batholith/internal/dialect"
)

// A step of a model server is bound by arithmetic while it reads prompts, and by memory while it writes answers. Prompt order may bring long
// stretches of records that only read (long prompts, short answers), and then of records that only write. A server that does both in one step
// may need less time for a mixture. So a window in prompt order can be in two parts, each in prompt order: the records that mostly read, and
// those that mostly write. Each lane walks through both at once, and takes from each in proportion to its records, so that both end together.
//
// A group of records with a common beginning is in one part as a whole, so the server's cache serves it as before, beside one other group.
//
// This is done only if prompt order is uneven, and only with many slots: see mixes and worth. Measurements are in
// docs/decisions/0035-order-by-length.md.

// part is a part of a window: an index of lane.fronts.
type part int

const (
	reading part = iota // also the whole window, if it is not mixed
	writing
	parts
)

const (
	// Records are mixed if the worth of a mixture is at least leastWorth, and until it is below stillWorth. Small values are due to chance.
	leastWorth = 0.05
	stillWorth = 0.03
	// A token of an answer takes a server with many slots about as long as promptsInStep tokens of a prompt. On an H100 with a model of 8
	// billion parameters it is 1 for short contexts, and 5 for long ones.
	promptsInStep = 4
	// leastMixed is the number of slots of a server below which nothing is mixed.
	leastMixed = 32
	// leastRounds is the length of a window that is judged, in records for each slot. A shorter one stays as it is.
	leastRounds = 4
	// The window is judged again when it has changed by an eighth, and by leastChanged records at least. Answers have shown more by then.
	changedPart  = 8
	leastChanged = 128
)

// mixes reports whether the queue's records may be mixed. Each usable lane must have leastMixed slots or more, and its server must not say how
// many slots it has. llama.cpp says so. It keeps the latest prompt of each slot, so if two groups are sent at once, each finds half of the slots
// with the other's beginning.
func (q *queue) mixes() (mixes bool) {
	for _, l := range q.lanes() {
		n := l.width()
		if n == 0 {
			continue
		}
		if s, ok := l.backend.(interface{ NoMixing() bool }); ok && s.NoMixing() || n < leastMixed || l.slotted.Load() {
			return false
		}
		mixes = true
	}
	return mixes
}

// changes notes that records came or were taken. If there were many, it judges the window again and returns true. The caller holds queue.mu.
func (f *feed) changes(records int) (judged bool) {
	w := &f.ready
	w.changed += records
	if w.changed < max(len(w.items)/changedPart, leastChanged) {
		return false
	}
	w.changed = 0
	if w.ordered && w.pays() && f.queue.mixes() {
		w.weigh(f.queue.slots())
	} else {
		w.unite()
	}
	return true
}

// group is a run of the window's records, in prompt order, that share leastShared bytes more than all records of the window do.
type group struct {
	from, to    int
	read, write float64 // tokens of prompts that are not in the beginning of the record before; tokens of answers
}

// weigh divides the window into its two parts, or unites them. round is the number of slots.
//
// A group mostly writes if its share of all answers' tokens is greater than its share of all prompts' tokens.
func (w *walk) weigh(round int) {
	if len(w.items) < leastRounds*round {
		return
	}
	w.whole()
	read, write := make([]float64, len(w.items)), make([]float64, len(w.items))
	groups := w.groups(read, write)
	w.learn(groups)
	w.read, w.write = sum(read), sum(write)
	gain := worth(read, write, w.read, w.write, round)
	if w.mixed = gain >= leastWorth || w.mixed && gain >= stillWorth; !w.mixed {
		return
	}
	for _, g := range groups {
		of := reading
		if w.writes(g.read, g.write) {
			of = writing
		}
		for _, it := range w.items[g.from:g.to] {
			it.part = of
		}
	}
	w.divide()
}

// unite ends the division of the window.
func (w *walk) unite() {
	if w.mixed {
		w.whole()
		w.mixed, w.scouts = false, nil
	}
}

// whole puts all items into prompt order.
func (w *walk) whole() {
	if w.writers == 0 {
		return
	}
	split, _ := w.bounds(writing)
	read, write := w.items[:split], w.items[split:]
	all := make([]*item, 0, len(w.items))
	for len(read) > 0 && len(write) > 0 {
		if comparePrompts(write[0], read[0]) < 0 {
			all, write = append(all, write[0]), write[1:]
		} else {
			all, read = append(all, read[0]), read[1:]
		}
	}
	w.items, w.writers = append(append(all, read...), write...), 0
}

// divide moves the items that mostly write behind the others.
func (w *walk) divide() {
	var write []*item
	read := w.items[:0]
	for _, it := range w.items {
		if it.part == writing {
			write = append(write, it)
		} else {
			read = append(read, it)
		}
	}
	w.items, w.writers = append(read, write...), len(write)
}

// bounds are the positions of a part's first item and of the item after its last.
func (w *walk) bounds(of part) (from, to int) {
	split := len(w.items) - w.writers
	if of == writing {
		return split, len(w.items)
	}
	return 0, split
}

// writes reports whether a group or a record with so many tokens mostly writes.
func (w *walk) writes(read, write float64) bool { return write*w.read > read*w.write }

// groups finds the groups of a window in prompt order, and estimates the tokens that each record reads and writes.
func (w *walk) groups(read, write []float64) (all []group) {
	last := len(w.items) - 1
	w.common = w.items[0].prompt.Shared(&w.items[last].prompt)
	for i, it := range w.items {
		shared := 0
		if i > 0 {
			shared = it.prompt.Shared(&w.items[i-1].prompt)
		}
		if i == 0 || shared < w.common+leastShared {
			all = append(all, group{from: i})
		}
		read[i], write[i] = float64(it.prompt.Len()-shared)/bytesPerToken, it.out()
		g := &all[len(all)-1]
		g.to, g.read, g.write = i+1, g.read+read[i], g.write+write[i]
	}
	return all
}

// worth estimates the share of the time that a mixture saves at most, from how much the tokens change along the order. In blocks of one round
// of the slots,
//
//	unevenness = ½ × sum over blocks of |share of all tokens read - share of all tokens written|
//	worth      = unevenness × shorter / (reading + writing)
//
// where reading is the number of all tokens read, writing that of all tokens written × promptsInStep, and shorter the smaller of both. The
// unevenness is 0 if all blocks are alike, and near 1 if some only read and the others only write.
func worth(read, write []float64, allRead, allWritten float64, round int) float64 {
	if allRead == 0 || allWritten == 0 {
		return 0
	}
	uneven := 0.0
	for from := 0; from < len(read); from += round {
		to := min(from+round, len(read))
		uneven += max(sum(read[from:to])/allRead-sum(write[from:to])/allWritten, 0) // half of the absolute differences, since they add up to 0
	}
	reading, writing := allRead, allWritten*promptsInStep
	return uneven * min(reading, writing) / (reading + writing)
}

func sum(of []float64) (s float64) {
	for _, x := range of {
		s += x
	}
	return s
}

// sort divides new items, which are in prompt order, between the two parts: each to the group whose beginning it shares, or where its own
// tokens belong.
func (w *walk) sort(items []*item) (read, write []*item) {
	for i, it := range items {
		switch {
		case i > 0 && it.prompt.Shared(&items[i-1].prompt) >= w.common+leastShared:
			it.part = items[i-1].part
		default:
			it.part = w.place(it)
		}
		if it.part == writing {
			write = append(write, it)
		} else {
			read = append(read, it)
		}
	}
	return read, write
}

// place is the part to which a new item belongs.
func (w *walk) place(it *item) part {
	best, shared := reading, w.common+leastShared-1
	for of := range parts {
		from, to := w.bounds(of)
		at := w.from(&it.prompt, of)
		for _, i := range [...]int{at - 1, at} {
			if i < from || i >= to {
				continue
			}
			if n := it.prompt.Shared(&w.items[i].prompt); n > shared {
				best, shared = of, n
				it.kin = w.items[i].kin
			}
		}
	}
	if shared >= w.common+leastShared {
		return best
	}
	if w.writes(float64(it.prompt.Len()-w.common)/bytesPerToken, it.out()) {
		return writing
	}
	return reading
}

// due is the part from which the lane takes its next record of this window: the lane takes records that write in proportion to their number.
func (w *walk) due(l *lane) part {
	switch {
	case w.writers == 0:
		return reading
	case w.writers == len(w.items) || l.owed+w.share() >= 1:
		return writing
	}
	return reading
}

// share is the share of the window's records that mostly write.
func (w *walk) share() float64 { return float64(w.writers) / float64(len(w.items)) }

// settle notes from which part the lane takes a record.
func (w *walk) settle(l *lane, of part) {
	if w.writers == 0 || w.writers == len(w.items) {
		l.owed = 0
		return
	}
	l.owed += w.share()
	if of == writing {
		l.owed--
	}
	l.owed = min(max(l.owed, -1), 1) // a neighbour's records are taken out of turn
}

// kin is what a job knows of the answers to the records of one group. Groups with the same prompt lengths may have answers of other lengths.
type kin struct {
	beginning dialect.Prompt // a copy
	out, most average        // tokens of answers, and max tokens of those that set it
	scouted   bool           // scouts were chosen
}

// add notes an answer.
func (k *kin) add(out, most int64) {
	k.out.add(float64(out))
	if most > 0 {
		k.most.add(float64(most))
	}
}

// Bounds of what is learnt about groups.
const (
	mostKin    = 256      // groups
	leastKin   = 4        // answers that are enough for an estimate
	kinRecords = 8        // records of a group in the window
	longestKin = 64 << 10 // bytes of a beginning

	// A group with so many records sends this many scouts as soon as it is in the window, so that something is known of its answers when the
	// order is chosen. If its beginning is not in the cache any more when the group comes, it is read once more.
	scoutedRecords = 128
	scouts         = 2 * leastKin
)

// learn gives each record the estimates of its group, and chooses scouts of large groups.
func (w *walk) learn(groups []group) {
	if w.common+leastShared > longestKin {
		return
	}
	for _, g := range groups {
		if g.to-g.from < kinRecords {
			continue
		}
		k := w.kinOf(&w.items[g.from].prompt)
		if k == nil {
			return
		}
		for _, it := range w.items[g.from:g.to] {
			it.kin = k
		}
		if n := g.to - g.from; n >= scoutedRecords && !k.scouted {
			k.scouted = true
			for i := range scouts {
				w.scouts = append(w.scouts, w.items[g.from+i*n/scouts])
			}
		}
	}
}

// kinOf returns what is known of the group with this beginning, and begins it at the first call. It returns nil if there are too many groups.
func (w *walk) kinOf(p *dialect.Prompt) *kin {
	at := sort.Search(len(w.kin), func(i int) bool { return w.kin[i].beginning.Compare(p) > 0 })
	if at > 0 {
		if k := w.kin[at-1]; k.beginning.Shared(p) == k.beginning.Len() {
			return k
		}
	}
	if len(w.kin) >= mostKin {
		return nil
	}
	k := &kin{beginning: p.Beginning(w.common + leastShared)}
	w.kin = slices.Insert(w.kin, at, k)
	return k
}

// scout is the position of the next scout that was not taken yet, if there is one.
func (w *walk) scout() (int, bool) {
	for len(w.scouts) > 0 {
		it := w.scouts[0]
		w.scouts = w.scouts[1:]
		of := it.part
		if !w.mixed {
			of = reading
		}
		_, to := w.bounds(of)
		for i := w.from(&it.prompt, of); i < to && comparePrompts(w.items[i], it) == 0; i++ {
			if w.items[i] == it {
				return i, true
			}
		}
	}
	return 0, false
}
