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
)

type event struct {
	at      int64
	nth     int // events of one moment keep their order
	kind    kind
	how     ending
	request *request
	replica *replica
	after   time.Duration
}

// world is a server and the one who sends to it.
type world struct {
	p        Params
	now, end int64      // nanoseconds; end is when no more is sent
	job      *job       // what is sent; nil: as much as comes until the end
	again    []*request // what was refused or failed
	events   queue[event]
	nth      int
	random   *rand.Rand
	replicas []*replica
	next     int // round robin
	limiter  Limiter
	flights  map[int]limit.Flight
	sent     int   // requests that were begun
	others   int   // requests of others
	minute   int64 // of the quota
	requests int
	tokens   int
	gauges   batholith.Gauges
	read     int64
	retryAt  int64
	result   Result

	flown, used float64 // request-seconds in flight, and of slots
	fed         int64   // until when they are summed
	last        int64
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
	w := &world{p: p, job: j, end: end.Nanoseconds(), random: rand.New(rand.NewPCG(p.Seed, 1)), flights: map[int]limit.Flight{}, retryAt: -1, read: -1 << 62,
		events: queue[event]{less: func(a, b *event) bool { return a.at < b.at || a.at == b.at && a.nth < b.nth }}}
	w.limiter = make(w.clock)
	for i := range p.Replicas {
		r := newReplica(w)
		if i == p.Replicas-1 {
			r.sick = p.Sick
		}
		w.replicas = append(w.replicas, r)
	}
	if p.Published {
		w.limiter.Publish(p.Slots)
	}
	w.look()
	if p.Others > 0 {
		for _, r := range w.replicas {
			w.at(w.gap(), event{kind: others, replica: r})
		}
	}
	w.feed()
	for len(w.events.all) > 0 {
		e := w.events.pop()
		if w.more() {
			w.pass(min(e.at, w.end))
		}
		w.now = e.at
		if w.now > w.end && w.job != nil || !w.more() && len(w.flights) == 0 {
			break
		}
		w.do(e)
	}
	w.result.InFlight = w.flown / float64(w.fed) * 1e9
	w.result.Busy = w.used / float64(w.fed) * 1e9
	slices.Sort(w.result.done)
	return w.result
}

// more tells whether there is something to send.
func (w *world) more() bool {
	return w.now <= w.end && (w.job == nil || w.sent < len(w.job.requests) || len(w.again) > 0)
}

// pass adds up what was in flight and what ran until now.
func (w *world) pass(now int64) {
	d := float64(now-w.last) / 1e9
	w.flown += d * float64(len(w.flights))
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
		w.look()
	case retry:
		if e.at == w.retryAt { // and was not brought forward
			w.retryAt = -1
			w.feed()
		}
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
func (w *world) nextRequest() (q *request) {
	if len(w.again) > 0 {
		q, w.again = w.again[0], w.again[1:]
		return q
	}
	n := w.sent
	if w.sent++; w.job != nil {
		n = w.job.requests[n]
	}
	return w.draw(n)
}

// feed sends as much as the limiter takes, while there is something to send.
func (w *world) feed() {
	for w.more() {
		wait, ok := w.limiter.TryAcquire()
		if !ok {
			if at := w.now + wait.Nanoseconds(); wait > 0 && (w.retryAt < 0 || at < w.retryAt) {
				w.retryAt = at
				w.at(at, event{kind: retry})
			}
			break
		}
		q := w.nextRequest()
		w.flights[q.id] = w.limiter.Begin()
		w.at(w.now+w.p.Transit.Nanoseconds()/2, event{kind: arrives, request: q})
	}
	w.result.Most = max(w.result.Most, len(w.flights))
}

// arrive is a request at the gateway.
func (w *world) arrive(q *request) {
	p := &w.p
	if minute := w.now / int64(time.Minute); minute > w.minute {
		w.minute, w.requests, w.tokens = minute, 0, 0
	}
	if p.Requests > 0 && w.requests >= p.Requests || p.Tokens > 0 && w.tokens >= p.Tokens {
		after := time.Duration((w.minute+1)*int64(time.Minute) - w.now)
		if o, knows := w.limiter.(*oracle); knows {
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
	l, f := w.limiter, w.flights[e.request.id]
	delete(w.flights, e.request.id)
	l.Land(&f)
	switch q := e.request; e.how {
	case answered:
		l.Succeeded(f, float64(q.output))
		w.result.Answered++
		w.result.Work += float64(q.output)
		w.result.Took = time.Duration(w.now)
		w.result.done = append(w.result.done, q.id)
		if w.cold() {
			w.result.Cold, w.result.Answers = w.result.Took, w.result.Answered
		}
	case refused:
		l.Refused(f, e.after)
		w.result.Refused++
		w.again = append(w.again, q)
	case failed:
		l.Failed(f)
		w.result.Failed++
		w.again = append(w.again, q)
	}
	l.Release()
	w.feed()
}

// cold tells whether the cold start is not over yet.
func (w *world) cold() bool {
	if w.job == nil {
		return w.now < Early.Nanoseconds()
	}
	return w.result.Answered <= w.job.cold
}

// look reads the gauges, as often as dispatch does.
func (w *world) look() {
	defer func() { w.at(w.now+w.limiter.ReadEvery().Nanoseconds(), event{kind: reading}) }()
	if n := w.limiter.Size(); len(w.result.Limits) == 0 || w.result.Limits[len(w.result.Limits)-1].Limit != n {
		w.result.Limits = append(w.result.Limits, Point{time.Duration(w.now), n})
	}
	if w.p.Gauges == NoGauges || len(w.flights) == 0 && w.now > 0 {
		return
	}
	if w.now-w.read >= w.p.GaugeEvery.Nanoseconds() {
		w.read, w.gauges = w.now, w.told()
	}
	w.limiter.Gauge(w.gauges)
	w.feed()
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
