package dispatch

import (
	"slices"
	"sort"

	"github.com/batholith/batholith/internal/dialect"
)

// A model server can reuse a shared beginning only after it has processed it once. Some servers cache a prompt only at its end, or at the
// end of its answer. If such a server gets all records of a group at the same moment, it processes the beginning once for each of them. So one
// record of each group, its leader, is sent ahead: one round of the lane's slots before the walk reaches the group. A server that shares
// the cache of unfinished requests, as vLLM does, neither gains nor loses by that.

// leaders holds the beginnings of the leaders that a lane has sent lately. They are copies, since a slice of a record's bytes would keep its
// whole chunk in memory.
type leaders struct {
	sent  []leading // oldest first
	taken int       // records that the lane has taken so far
}

// leading is the beginning of one leader.
type leading struct {
	prompt dialect.Prompt
	taken  int // leaders.taken when it was sent
}

const (
	// mostLeaders is how many leaders may be ahead of the walk. More could displace each other from the server's cache before their group.
	mostLeaders = 16
	// keptLeaders is how many leaders are kept, for at most leadRounds rounds of the lane's slots. The walk needs one round to reach a group.
	keptLeaders = 3 * mostLeaders
	leadRounds  = 4
	// longestLead bounds the copy of a beginning, in bytes. A group that shares more gets no leader.
	longestLead = 256 << 10
)

// begin counts a record that is taken, and drops leaders that were sent more than memory records ago.
func (s *leaders) begin(memory int) {
	s.taken++
	old := max(0, len(s.sent)-keptLeaders)
	for old < len(s.sent) && s.sent[old].taken+memory < s.taken {
		old++
	}
	s.sent = slices.Delete(s.sent, 0, old)
}

// add keeps a leader, which shares the first shared bytes of its prompt with its group.
func (s *leaders) add(p *dialect.Prompt, shared int) {
	s.sent = append(s.sent, leading{p.Beginning(shared), s.taken})
}

// have reports whether a leader of any job was sent that shares at least that many bytes with p.
func (s *leaders) have(p *dialect.Prompt, least int) bool {
	return slices.ContainsFunc(s.sent, func(l leading) bool { return l.prompt.Shared(p) >= least })
}

// beyond counts the leaders whose groups come after p in prompt order.
func (s *leaders) beyond(p *dialect.Prompt) (n int) {
	for _, l := range s.sent {
		if l.prompt.Compare(p) > 0 {
			n++
		}
	}
	return n
}

// aim is where a lane continues in a window: in which part, and after which prompt (nil: at the beginning).
type aim struct {
	of   part
	last *dialect.Prompt
}

// aim returns where the lane continues in the window of f. There must be a record.
func (l *lane) aim(f *feed) aim {
	of := f.ready.due(l)
	return aim{of, l.fronts[of]}
}

// step is the position of the record of f that the lane sends next: a scout, a leader, or the next one of the walk. There must be a record
// where the lane aims. The caller holds queue.mu.
func (l *lane) step(f *feed, to aim) int {
	w, round := &f.ready, l.limit.Size()
	if f.changes(1) {
		to = l.aim(f)
	}
	if at, ok := w.scout(); ok {
		return at
	}
	at := w.next(to.last, to.of)
	l.leaders.begin(leadRounds * round)
	most := 1 + round/f.queue.walking()
	if w.mixed {
		from, end := w.bounds(to.of)
		most = 1 + most*(end-from)/len(w.items)
		w.settle(l, to.of)
	}
	if w.ordered && w.pays() {
		if lead, ok := w.leader(front{l, to.of}, at, most); ok {
			return lead
		}
	}
	l.fronts[to.of] = &w.items[at].prompt
	return at
}

// walking is the number of jobs that send in prompt order, at least 1.
func (q *queue) walking() (jobs int) {
	for _, g := range q.feeds[:min(len(q.feeds), looksAside)] {
		if g.ready.ordered && len(g.ready.items) > 0 {
			jobs++
		}
	}
	return max(jobs, 1)
}

// leader finds the next leader for a lane whose walk is at position at: a record that shares leastShared bytes more with the record after
// it than with the record before it. It looks at most records ahead, and at each record once.
func (w *walk) leader(of front, at, most int) (int, bool) {
	l := of.l
	i, before := at, l.fronts[of.of]
	_, to := w.bounds(of.of)
	if looked := w.looked[of]; looked != nil {
		// A larger distance means that records were added since, or that the walk has started over.
		if n := w.behind(looked, of.of); n > at && n <= at+2*most {
			i, before = n, looked
		}
	}
	for end := min(at+most, to-1); i < end; i++ {
		p := &w.items[i].prompt
		least := leastShared
		if before != nil {
			least += p.Shared(before)
		}
		if n := p.Shared(&w.items[i+1].prompt); n >= least && n <= longestLead && !l.leaders.have(p, least) {
			if l.leaders.beyond(&w.items[at].prompt) >= mostLeaders {
				break
			}
			w.look(of, p)
			l.leaders.add(p, n)
			return i, true
		}
		before = p
	}
	if before != nil {
		w.look(of, before)
	}
	return 0, false
}

// look notes the prompt up to which a lane has looked for leaders.
func (w *walk) look(of front, p *dialect.Prompt) {
	if w.looked == nil {
		w.looked = map[front]*dialect.Prompt{}
	}
	w.looked[of] = p
}

// behind is the position of the first record of a part whose prompt comes after p.
func (w *walk) behind(p *dialect.Prompt, of part) int {
	from, to := w.bounds(of)
	return from + sort.Search(to-from, func(i int) bool { return w.items[from+i].prompt.Compare(p) > 0 })
}
