package dispatch

import (
	"slices"
	"sort"

	"github.com/batholith/batholith/internal/dialect"
)

// A model server has a shared beginning in its cache only after it has read it once. Records that begin alike and are sent at the same
// moment are all read in full by a server that caches a prompt when it has read it, or when it has answered. So the first record of a group,
// its leader, is sent before its turn: one round of the lane's slots before the walk reaches the group. A server that shares
// the blocks of requests which it has only begun, as vLLM does, neither gains nor loses by that.

// leaders are the beginnings of the records that a lane has sent before their turn lately. They are copies: a record's own bytes would
// keep its whole chunk in memory.
type leaders struct {
	sent  []leading // the oldest first
	taken int       // records of the walk that the lane ever took
}

type leading struct {
	prompt dialect.Prompt
	taken  int // leaders.taken when it was sent
}

const (
	// mostLeaders is how many leaders the walk may have before it, so that their beginnings are still in the cache when it reaches them.
	mostLeaders = 16
	// keptLeaders are remembered, for at most leadRounds rounds of the lane's slots. The walk reaches a leader's group after one.
	keptLeaders = 3 * mostLeaders
	leadRounds  = 4
	// longestLead bounds the bytes of a leader's copy. A group that shares more has none.
	longestLead = 256 << 10
)

// begin forgets leaders of so many records ago. It is called for each record that is taken.
func (s *leaders) begin(memory int) {
	s.taken++
	old := max(0, len(s.sent)-keptLeaders)
	for old < len(s.sent) && s.sent[old].taken+memory < s.taken {
		old++
	}
	s.sent = slices.Delete(s.sent, 0, old)
}

// add notes a leader, of which so many bytes are shared with its group.
func (s *leaders) add(p *dialect.Prompt, shared int) {
	s.sent = append(s.sent, leading{p.Beginning(shared), s.taken})
}

// have tells whether a leader was sent that shares at least so many bytes with p. Whose it was does not matter.
func (s *leaders) have(p *dialect.Prompt, least int) bool {
	return slices.ContainsFunc(s.sent, func(l leading) bool { return l.prompt.Shared(p) >= least })
}

// beyond counts the leaders whose groups come after p in the walk.
func (s *leaders) beyond(p *dialect.Prompt) (n int) {
	for _, l := range s.sent {
		if l.prompt.Compare(p) > 0 {
			n++
		}
	}
	return n
}

// step is the position of the record of f that the lane sends next: a leader, or the next one of the walk. There must be a record. The
// caller holds queue.mu.
func (l *lane) step(f *feed) int {
	w, round := &f.ready, l.limit.Size()
	at := w.next(l.last)
	l.leaders.begin(leadRounds * round)
	if w.ordered && w.pays() {
		if lead, ok := w.leader(l, at, 1+round/f.queue.walking()); ok {
			return lead
		}
	}
	l.last = &w.items[at].prompt
	return at
}

// walking is how many jobs are in the walk, at least 1.
func (q *queue) walking() (jobs int) {
	for _, g := range q.feeds[:min(len(q.feeds), looksAside)] {
		if g.ready.ordered && len(g.ready.items) > 0 {
			jobs++
		}
	}
	return max(jobs, 1)
}

// leader finds the next leader for a lane whose walk is at a position: a record that shares leastShared bytes more with the next one than
// with the one before it. It looks at no more than so many records ahead, and at each of them once.
func (w *walk) leader(l *lane, at, most int) (int, bool) {
	i, before := at, l.last
	if looked := w.looked[l]; looked != nil {
		// More than most is between them when records came since, or when the walk has begun again.
		if n := w.behind(looked); n > at && n <= at+2*most {
			i, before = n, looked
		}
	}
	for end := min(at+most, len(w.items)-1); i < end; i++ {
		p := &w.items[i].prompt
		least := leastShared
		if before != nil {
			least += p.Shared(before)
		}
		if n := p.Shared(&w.items[i+1].prompt); n >= least && n <= longestLead && !l.leaders.have(p, least) {
			if l.leaders.beyond(&w.items[at].prompt) >= mostLeaders {
				break
			}
			w.look(l, p)
			l.leaders.add(p, n)
			return i, true
		}
		before = p
	}
	if before != nil {
		w.look(l, before)
	}
	return 0, false
}

// look notes how far a lane has looked for leaders.
func (w *walk) look(l *lane, p *dialect.Prompt) {
	if w.looked == nil {
		w.looked = map[*lane]*dialect.Prompt{}
	}
	w.looked[l] = p
}

// behind is the position of the first record whose prompt comes after p.
func (w *walk) behind(p *dialect.Prompt) int {
	return sort.Search(len(w.items), func(i int) bool { return w.items[i].prompt.Compare(p) > 0 })
}
