package limittest

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/limit"
)

// Limiter is what is judged: a [limit.Limiter], or an oracle.
type Limiter interface {
	TryAcquire() (wait time.Duration, ok bool)
	Begin() limit.Flight
	Land(*limit.Flight)
	Succeeded(f limit.Flight, work float64)
	Refused(f limit.Flight, after time.Duration) time.Duration
	Failed(limit.Flight)
	Release()
	Publish(slots int)
	Gauge(batholith.Gauges)
	Size() int
	ReadEvery() time.Duration
}

// Result is what became of a run.
type Result struct {
	Work     float64       // output tokens that came back
	Took     time.Duration // from the first request to the last answer
	Cold     time.Duration // when the last answer of the first Early was there, or as many answers
	Answers  int           // until then
	done     []int         // numbers of the requests that were answered
	Answered int
	Refused  int
	Failed   int
	InFlight float64 // mean, while there was something to send
	Most     int     // most in flight
	Busy     float64 // share of all slots that were in use then, by anybody
	Limits   []Point // each change of the limit, when it was noticed
}

// Point is a limit from some time on.
type Point struct {
	At    time.Duration
	Limit int
}

// Early is the part of a run that counts as its cold start.
const Early = 20 * time.Second

// how a request ends.
type ending int

const (
	answered ending = iota
	refused
	failed
)

type kind int

const (
	arrives kind = iota
	stepped      // a replica is through with a step
	gaveUp       // a request has waited for as long as it may
	replied      // an answer is back
	others       // a request of others comes
	reading      // of the gauges
	retry        // the limiter said that it would take more now
	planned      // do is called
)

type event struct {
	at      int64
	nth     int // events of one moment keep their order
	kind    kind
	how     ending
	request *request
	replica *replica
	sender  *sender
	after   time.Duration
	do      func()
}

// world is a server and those who send to it.
type world struct {
	p        Params
	now, end int64 // nanoseconds; end is when no more is sent
	job      *job  // what is sent; nil: as much as comes until the end
	events   queue[event]
	nth      int
	random   *rand.Rand
	replicas []*replica
	next     int // round robin
	senders  []*sender
	flying   int   // requests in flight, of all senders
	sent     int   // requests that were begun
	others   int   // requests of others
	minute   int64 // of the quota
	requests int
	tokens   int
	gauges   batholith.Gauges
	read     int64
	result   Result

	flown, used float64 // request-seconds in flight, and of slots
	fed         int64   // until when they are summed
	last        int64
}

// sender is one process that sends, with its own limiter.
type sender struct {
	limiter Limiter
	flights map[int]limit.Flight
	again   []*request // what was refused or failed
	retryAt int64
	most    int  // requests that it has to send at once; 0: any number
	gone    bool // it sends nothing any more
	result  *Result
}

func newSender(l Limiter, r *Result) *sender {
	return &sender{limiter: l, flights: map[int]limit.Flight{}, retryAt: -1, result: r}
}

// epoch is when every run begins.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// job is a list of requests by their numbers.
type job struct {
	requests []int
	cold     int // how many answers end its cold start
}

// Run keeps a limiter fed for as long as the parameters say, and waits for the last answer. The limiter is made with the clock that it is
// to use.
func Run(p Params, make func(now func() time.Time) Limiter) Result {
	return run(p, nil, p.Length, make)
}

func run(p Params, j *job, end time.Duration, make func(now func() time.Time) Limiter) Result {
	w := &world{p: p, job: j, end: end.Nanoseconds(), random: rand.New(rand.NewPCG(p.Seed, 1)), read: -1 << 62,
		events: queue[event]{less: func(a, b *event) bool { return a.at < b.at || a.at == b.at && a.nth < b.nth }}}
	w.open()
	w.join(newSender(make(w.clock), &w.result))
	w.run()
	w.result.InFlight = w.flown / float64(w.fed) * 1e9
	w.result.Busy = w.used / float64(w.fed) * 1e9
	slices.Sort(w.result.done)
	return w.result
}

// open makes the replicas and the first requests of others.
func (w *world) open() {
	p := w.p
	for i := range p.Replicas {
		r := newReplica(w)
		if i == p.Replicas-1 {
			r.sick = p.Sick
		}
		w.replicas = append(w.replicas, r)
	}
	if p.Others > 0 {
		for _, r := range w.replicas {
			w.at(w.gap(), event{kind: others, replica: r})
		}
	}
}

// join lets a sender begin.
func (w *world) join(s *sender) {
	w.senders = append(w.senders, s)
	if w.p.Published {
		s.limiter.Publish(w.p.Slots)
	}
	w.look(s)
	w.feed(s)
}

// run goes on until everything that was sent has come back.
func (w *world) run() {
	for len(w.events.all) > 0 {
		e := w.events.pop()
		if w.more() {
			w.pass(min(e.at, w.end))
		}
		w.now = e.at
		if w.now > w.end && w.job != nil || !w.more() && w.flying == 0 {
			break
		}
		w.do(e)
	}
}

// more tells whether there is something to send.
func (w *world) more() bool {
	return w.now <= w.end && (w.job == nil || w.sent < len(w.job.requests) || len(w.senders[0].again) > 0)
}

// pass adds up what was in flight and what ran until now.
func (w *world) pass(now int64) {
	d := float64(now-w.last) / 1e9
	w.flown += d * float64(w.flying)
	run, slots := 0, 0
	for _, r := range w.replicas {
		run += len(r.running.all)
		slots += w.slots()
	}
	w.used += d * float64(run) / float64(slots)
	w.fed += now - w.last
	w.last = now
}

func (w *world) clock() time.Time { return epoch.Add(time.Duration(w.now)) }

func (w *world) at(at int64, e event) {
	e.at, e.nth = at, w.nth
	w.nth++
	w.events.push(e)
}

func (w *world) do(e event) {
	switch e.kind {
	case arrives:
		w.arrive(e.request)
	case stepped:
		e.replica.end()
	case gaveUp:
		if e.request.waiting {
			e.request.replica.leave(e.request)
			if e.request.ours { // a quota counts what runs
				w.requests--
				w.tokens -= e.request.prompt + e.request.output
			}
			w.reply(e.request, refused, 0)
		}
	case replied:
		w.land(e)
	case others:
		q := w.draw(-1 - w.others)
		q.ours, q.failures = false, 0
		w.others++
		e.replica.arrive(q)
		w.at(w.now+w.gap(), event{kind: others, replica: e.replica})
	case reading:
		w.look(e.sender)
	case retry:
		if s := e.sender; e.at == s.retryAt { // and was not brought forward
			s.retryAt = -1
			w.feed(s)
		}
	case planned:
		e.do()
	}
}

// slots is how many each replica has now.
func (w *world) slots() int {
	if w.p.Later > 0 && w.now >= w.p.Change.Nanoseconds() {
		return w.p.Later
	}
	return w.p.Slots
}

func (w *world) gap() int64 { return int64(w.random.ExpFloat64() / w.p.Others * 1e9) }

// draw makes a request of some number. It is the same in every run: its prompt, its answer, and how often it fails.
func (w *world) draw(n int) *request {
	r := rand.New(rand.NewPCG(w.p.Seed, uint64(n)))
	between := func(b [2]int) int { return b[0] + r.IntN(b[1]-b[0]+1) }
	q := &request{id: n, ours: true, prompt: between(w.p.Prompt), output: between(w.p.Output)}
	for r.Float64() < w.p.Errors {
		q.failures++
	}
	return q
}

// nextRequest is one that was refused or failed before, or the next of the job.
func (w *world) nextRequest(s *sender) (q *request) {
	if len(s.again) > 0 {
		q, s.again = s.again[0], s.again[1:]
		return q
	}
	n := w.sent
	if w.sent++; w.job != nil {
		n = w.job.requests[n]
	}
	return w.draw(n)
}

// feed sends as much as the limiter takes, while there is something to send.
func (w *world) feed(s *sender) {
	for w.more() && !s.gone && (s.most == 0 || len(s.flights) < s.most) {
		wait, ok := s.limiter.TryAcquire()
		if !ok {
			if at := w.now + wait.Nanoseconds(); wait > 0 && (s.retryAt < 0 || at < s.retryAt) {
				s.retryAt = at
				w.at(at, event{kind: retry, sender: s})
			}
			break
		}
		q := w.nextRequest(s)
		q.from = s
		s.flights[q.id] = s.limiter.Begin()
		w.flying++
		w.at(w.now+w.p.Transit.Nanoseconds()/2, event{kind: arrives, request: q})
	}
	s.result.Most = max(s.result.Most, len(s.flights))
}

// arrive is a request at the gateway.
func (w *world) arrive(q *request) {
	p := &w.p
	if minute := w.now / int64(time.Minute); minute > w.minute {
		w.minute, w.requests, w.tokens = minute, 0, 0
	}
	if p.Requests > 0 && w.requests >= p.Requests || p.Tokens > 0 && w.tokens >= p.Tokens {
		after := time.Duration((w.minute+1)*int64(time.Minute) - w.now)
		if o, knows := q.from.limiter.(*oracle); knows {
			o.quota = w.clock().Add(after)
		}
		if after = after.Round(time.Second); !p.Tells {
			after = 0
		}
		w.answer(q, refused, 0, after)
		return
	}
	switch {
	case w.random.Float64() < p.Refusals:
		w.reply(q, refused, 0)
		return
	case q.failures > 0 && !p.ErrorsLate:
		q.failures--
		w.reply(q, failed, 0)
		return
	}
	w.choose().arrive(q)
}

// choose is the balancer.
func (w *world) choose() *replica {
	switch w.p.Balance {
	case AtRandom:
		return w.replicas[w.random.IntN(len(w.replicas))]
	case LeastBusy:
		best := w.replicas[w.next%len(w.replicas)]
		w.next++
		for _, r := range w.replicas {
			if r.held() < best.held() {
				best = r
			}
		}
		return best
	}
	w.next++
	return w.replicas[w.next%len(w.replicas)]
}

func (w *world) reply(q *request, how ending, later int64) { w.answer(q, how, later, w.p.RetryAfter) }

func (w *world) answer(q *request, how ending, later int64, after time.Duration) {
	if q.ours {
		w.at(w.now+later+w.p.Transit.Nanoseconds()/2, event{kind: replied, request: q, how: how, after: after})
	}
}

// land takes an answer.
func (w *world) land(e event) {
	s := e.request.from
	f, ours := s.flights[e.request.id]
	if !ours { // its sender was killed
		return
	}
	l, r := s.limiter, s.result
	delete(s.flights, e.request.id)
	w.flying--
	l.Land(&f)
	switch q := e.request; e.how {
	case answered:
		l.Succeeded(f, float64(q.output))
		r.Answered++
		r.Work += float64(q.output)
		r.Took = time.Duration(w.now)
		r.done = append(r.done, q.id)
		if w.cold() {
			r.Cold, r.Answers = r.Took, r.Answered
		}
	case refused:
		l.Refused(f, e.after)
		r.Refused++
		s.again = append(s.again, q)
	case failed:
		l.Failed(f)
		r.Failed++
		s.again = append(s.again, q)
	}
	l.Release()
	w.feed(s)
}

// cold tells whether the cold start is not over yet.
func (w *world) cold() bool {
	if w.job == nil {
		return w.now < Early.Nanoseconds()
	}
	return w.result.Answered <= w.job.cold
}

// look reads the gauges, as often as dispatch does.
func (w *world) look(s *sender) {
	if s.gone {
		return
	}
	defer func() { w.at(w.now+s.limiter.ReadEvery().Nanoseconds(), event{kind: reading, sender: s}) }()
	if n := s.limiter.Size(); len(s.result.Limits) == 0 || s.result.Limits[len(s.result.Limits)-1].Limit != n {
		s.result.Limits = append(s.result.Limits, Point{time.Duration(w.now), n})
	}
	if w.p.Gauges == NoGauges || len(s.flights) == 0 && w.now > 0 {
		return
	}
	if w.now-w.read >= w.p.GaugeEvery.Nanoseconds() {
		w.read, w.gauges = w.now, w.told()
	}
	s.limiter.Gauge(w.gauges)
	w.feed(s)
}

// told is what the gauges say.
func (w *world) told() (g batholith.Gauges) {
	told := w.replicas
	switch w.p.Gauges {
	case OneReplica:
		told = told[:1]
	case AnyReplica:
		i := w.random.IntN(len(told))
		told = told[i : i+1]
	}
	for _, r := range told {
		g.Running += len(r.running.all)
		g.Waiting += r.waits
	}
	switch w.p.Gauges {
	case ForeignGauges:
		g.Running += w.p.Foreign[0]
		g.Waiting += w.p.Foreign[1]
	case CappedGauges:
		g.Running = min(g.Running, w.p.GaugeCap)
	}
	return g
}
