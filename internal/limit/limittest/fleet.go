package limittest

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"time"

	"github.com/batholith/batholith"
)

// Sharer is a limiter that shares a server with those of other processes. See [limit.Limiter.Meet].
type Sharer interface {
	Limiter
	Join()
	Meet(me batholith.Load, others []batholith.Load, workers int) batholith.Load
	Stored()
}

// Member is one process of a fleet.
type Member struct {
	From, Until time.Duration         // it sends between these times; Until 0: to the end
	Killed      bool                  // at Until its requests in flight are lost, and its row stays until its lease is lost
	Most        int                   // requests that it has to send at once; 0: any number
	Changes     map[time.Duration]int // later values of Most
	Blind       [2]time.Duration      // it does not reach the table between these times
}

// FleetResult is what became of a fleet.
type FleetResult struct {
	Members []Result
	Every   time.Duration
	Flying  [][]int   // requests in flight of each member, at intervals of Every
	Work    []float64 // output tokens that came back until then, of all members
	Refused []int     // refusals until then
	Rows    int       // rows that were written
}

// Times of the table through which the members know one another.
const (
	tableEvery = time.Second     // between two looks of a member
	tableLease = 5 * time.Second // after it a killed member is forgotten
)

// fleet is the table, and what its members do with it.
type fleet struct {
	w     *world
	rows  map[int]batholith.Load // of the living, by member
	alive map[int]bool           // as the table says
	wrote map[int]batholith.Load
	r     *FleetResult
}

// RunFleet lets several processes send to one server. A limiter that is a Sharer looks at the table once a second.
func RunFleet(p Params, members []Member, make func(now func() time.Time, seed uint64) Limiter) FleetResult {
	w := &world{p: p, end: p.Length.Nanoseconds(), random: rand.New(rand.NewPCG(p.Seed, 1)), read: -1 << 62,
		events: queue[event]{less: func(a, b *event) bool { return a.at < b.at || a.at == b.at && a.nth < b.nth }}}
	r := &FleetResult{Every: 250 * time.Millisecond, Members: slices.Repeat([]Result{{}}, len(members)), Flying: slices.Repeat([][]int{nil}, len(members))}
	f := &fleet{w: w, rows: map[int]batholith.Load{}, alive: map[int]bool{}, wrote: map[int]batholith.Load{}, r: r}
	w.open()
	senders := slices.Repeat([]*sender{nil}, len(members))
	for i, m := range members {
		w.plan(m.From, func() {
			s := newSender(make(w.clock, uint64(i+1)), &r.Members[i])
			s.most = m.Most
			senders[i] = s
			f.alive[i] = true
			if l, ok := s.limiter.(Sharer); ok {
				l.Join()
				f.meet(i, m, s, l)
			}
			w.join(s)
		})
		for at, most := range m.Changes {
			w.plan(at, func() { senders[i].most = most; w.feed(senders[i]) })
		}
		if m.Until > 0 {
			w.plan(m.Until, func() { f.leave(i, m, senders[i]) })
		}
	}
	w.plan(0, func() { f.sample(senders) })
	w.run()
	return *r
}

// plan calls a function at a time.
func (w *world) plan(at time.Duration, do func()) {
	w.at(max(at.Nanoseconds(), w.now), event{kind: planned, do: do})
}

// meet is a member's look at the table.
func (f *fleet) meet(i int, m Member, s *sender, l Sharer) {
	now := time.Duration(f.w.now)
	if _, dead := s.flights[-1]; dead || m.Killed && s.gone {
		return
	}
	if now < m.Blind[0] || now >= m.Blind[1] {
		var others []batholith.Load
		for j, row := range f.rows {
			if j != i {
				others = append(others, row)
			}
		}
		slices.SortFunc(others, func(a, b batholith.Load) int { return int(a.Worker[0]) - int(b.Worker[0]) })
		wants := 1 << 20
		if s.most > 0 {
			wants = s.most
		}
		if s.gone {
			wants = len(s.flights)
		}
		row := l.Meet(batholith.Load{Worker: string(rune('a' + i)), Wants: wants}, others, len(f.alive))
		if s.gone && len(s.flights) == 0 {
			delete(f.rows, i)
			delete(f.alive, i)
			return
		}
		if !reflect.DeepEqual(row, f.wrote[i]) {
			f.r.Rows++
		}
		f.rows[i], f.wrote[i] = row, row
		l.Stored()
		f.w.feed(s)
	}
	f.w.plan(now+tableEvery+time.Duration(f.w.random.IntN(100))*time.Millisecond, func() { f.meet(i, m, s, l) })
}

// leave ends a member.
func (f *fleet) leave(i int, m Member, s *sender) {
	s.gone = true
	if !m.Killed {
		return
	}
	f.w.flying -= len(s.flights)
	clear(s.flights)
	f.w.plan(time.Duration(f.w.now)+tableLease+tableEvery, func() {
		delete(f.rows, i)
		delete(f.alive, i)
	})
}

// sample adds a point to the series.
func (f *fleet) sample(senders []*sender) {
	work, refused := 0.0, 0
	for i, s := range senders {
		n := 0
		if s != nil {
			n = len(s.flights)
		}
		f.r.Flying[i] = append(f.r.Flying[i], n)
		work += f.r.Members[i].Work
		refused += f.r.Members[i].Refused
	}
	f.r.Work, f.r.Refused = append(f.r.Work, work), append(f.r.Refused, refused)
	if at := time.Duration(f.w.now) + f.r.Every; at <= f.w.p.Length {
		f.w.plan(at, func() { f.sample(senders) })
	}
}

// at is the index of a time in the series.
func (r *FleetResult) at(t time.Duration) int { return min(int(t/r.Every), len(r.Work)-1) }

// Sum is the mean number of requests in flight of all members between two times, and the most.
func (r *FleetResult) Sum(from, to time.Duration) (mean float64, most int) {
	for t := r.at(from); t <= r.at(to); t++ {
		n := 0
		for i := range r.Flying {
			n += r.Flying[i][t]
		}
		mean += float64(n)
		most = max(most, n)
	}
	return mean / float64(r.at(to)-r.at(from)+1), most
}

// Mean is the mean number of requests in flight of one member between two times.
func (r *FleetResult) Mean(i int, from, to time.Duration) (mean float64) {
	all := r.Flying[i][r.at(from) : r.at(to)+1]
	for _, n := range all {
		mean += float64(n)
	}
	return mean / float64(len(all))
}

// Rate is the output tokens of all members that came back per second between two times.
func (r *FleetResult) Rate(from, to time.Duration) float64 {
	return (r.Work[r.at(to)] - r.Work[r.at(from)]) / (to - from).Seconds()
}

// Turned is the number of refusals between two times.
func (r *FleetResult) Turned(from, to time.Duration) int {
	return r.Refused[r.at(to)] - r.Refused[r.at(from)]
}
