package limittest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"
)

// GaugeKind says what the gauges of a server are worth.
type GaugeKind int

// Kinds of gauges.
const (
	NoGauges      GaugeKind = iota
	RightGauges             // running and waiting requests of all replicas, at this moment
	StaleGauges             // the same, renewed every GaugeEvery
	ForeignGauges           // and those of another engine behind the same address
	CappedGauges            // running is never told as more than GaugeCap
	OneReplica              // of one replica only, always the same
	AnyReplica              // of one replica, another at each reading
)

// SickKind says what is wrong with the last replica.
type SickKind int

// Kinds of sickness.
const (
	Healthy  SickKind = iota
	Refuses           // answers 503 at once
	Fails             // answers 500 at once
	TenTimes          // each step takes ten times as long
)

// BalanceKind says how requests are spread over replicas.
type BalanceKind int

// Kinds of balancing.
const (
	RoundRobin BalanceKind = iota
	AtRandom
	LeastBusy
)

// Params are everything that there is to know of a server.
type Params struct {
	Seed   uint64
	Length time.Duration // of the run

	Replicas int
	Slots    int // of each replica
	Later    int // slots of each replica after Change; 0: they stay
	Change   time.Duration
	Balance  BalanceKind
	Sick     SickKind

	Step    time.Duration // of an empty server
	Curve   [5]float64    // time of a step as a multiple of Step, at 0, ¼, ½, ¾ and all slots (of the larger number)
	Prefill time.Duration // for each prompt token
	Budget  int           // prompt tokens that one step reads, and at least one prompt
	Transit time.Duration // of a request and its answer, together
	Prompt  [2]int        // tokens, least and most
	Output  [2]int

	MaxWaiting int           // requests that wait, in each replica; more are refused; 0: no bound
	MaxHeld    int           // requests that wait or run
	MaxTokens  int           // prompt tokens of those that wait
	Patience   time.Duration // a request that waits for longer is refused; 0: none is
	Late       time.Duration // refusals of MaxWaiting, MaxHeld and MaxTokens come after so long

	Refusals   float64       // share of requests that are refused at random
	RetryAfter time.Duration // what refusals ask for
	Errors     float64       // share of requests that fail at random,
	ErrorsLate bool          // not at once but half-way

	Requests int  // in a minute; 0: any number
	Tokens   int  // prompt and output tokens in a minute
	Tells    bool // the refusals of a quota say when it is over

	Others float64 // requests of others in a second, to each replica

	Gauges     GaugeKind
	GaugeEvery time.Duration
	GaugeCap   int
	Foreign    [2]int // running and waiting of the other engine
	Published  bool   // the server says how many slots it has
}

// Make draws the parameters of a server.
func Make(seed uint64) Params {
	r := rand.New(rand.NewPCG(seed, 0x5eed))
	p := Params{Seed: seed, Replicas: 1}
	between := func(a, b float64) float64 { return a + (b-a)*r.Float64() }
	log := func(a, b float64) float64 { return a * math.Pow(b/a, r.Float64()) }
	total := log(1, 1024.99)
	if r.Float64() < 0.4 {
		p.Replicas = min(1+r.IntN(4), int(total))
	}
	p.Slots = max(int(total)/p.Replicas, 1)
	p.Balance = BalanceKind(r.IntN(3))
	p.length(r, between, log)
	p.bounds(r, between, log)
	p.faults(r, between, log)
	p.gauges(r, between, log)
	return p
}

// length draws how long things take, so that the run has no more than some 10⁵ requests.
func (p *Params) length(r *rand.Rand, between, log func(a, b float64) float64) {
	all := float64(p.Slots * p.Replicas)
	var mean, took float64
	for took < max(0.1, all/1000) || took > 8 || p.falls() {
		p.Step = time.Duration(log(2e6, 50e6))
		p.Curve[0] = 1
		for i := 1; i < len(p.Curve); i++ {
			p.Curve[i] = p.Curve[i-1] + max(0, between(-0.2, 0.6))*float64(i)/2
		}
		mean = log(8, 400)
		took = mean * p.Step.Seconds() * p.Curve[4]
	}
	spread := between(0, 0.9)
	p.Output = [2]int{max(int(mean*(1-spread)), 1), int(mean * (1 + spread))}
	prompt := log(20, 2000)
	p.Prompt = [2]int{int(prompt / 2), int(prompt * 1.5)}
	p.Prefill = time.Duration(between(1e3, 20e3))
	p.Budget = int(log(2048, 16384))
	if heavy := float64(p.Prefill) * prompt * float64(p.Slots); heavy > 0.5*took*1e9 { // most of the time is not for reading
		p.Prefill = time.Duration(float64(p.Prefill) * 0.5 * took * 1e9 / heavy)
	}
	p.Transit = time.Duration(log(1e6, 60e6))
	p.Length = time.Duration(between(60, 300) * 1e9)
	p.Length = max(min(p.Length, time.Duration(80e3/(all/took)*1e9)), time.Minute)
}

// bounds draws what the server refuses by a rule.
func (p *Params) bounds(r *rand.Rand, between, log func(a, b float64) float64) {
	mean := (p.Prompt[0] + p.Prompt[1]) / 2
	switch r.IntN(8) {
	case 0, 1:
		p.MaxWaiting = max(int(float64(p.Slots)*log(0.05, 1)), 2)
	case 2:
		p.MaxHeld = max(int(float64(p.Slots)*between(0.7, 2)), 1)
	case 3:
		p.MaxTokens = max(int(float64(p.Slots*mean)*log(0.05, 1)), 3*p.Prompt[1])
	case 4:
		p.Patience = time.Duration(between(4e9, 9e9))
	}
	if p.MaxWaiting+p.MaxHeld+p.MaxTokens > 0 && r.IntN(4) == 0 {
		p.Late = time.Duration(between(4e9, 9e9))
	}
	if r.IntN(3) == 0 {
		p.RetryAfter = [...]time.Duration{time.Second, 2 * time.Second, 5 * time.Second}[r.IntN(3)]
	}
	rate := p.Capacity()
	switch r.IntN(12) {
	case 0:
		p.Requests = max(int(60*rate*log(0.2, 1.2)), 2)
	case 1:
		p.Tokens = int(60 * rate * log(0.2, 1.2) * float64(mean+(p.Output[0]+p.Output[1])/2))
	}
	p.Tells = r.IntN(3) > 0
}

// faults draws what goes wrong.
func (p *Params) faults(r *rand.Rand, between, log func(a, b float64) float64) {
	if r.IntN(4) == 0 {
		p.Refusals = log(0.005, 0.2)
	}
	if r.IntN(4) == 0 {
		p.Errors, p.ErrorsLate = log(0.005, 0.2), r.IntN(2) == 0
	}
	if p.Replicas > 1 && r.IntN(2) == 0 {
		p.Sick = SickKind(1 + r.IntN(3))
		if p.Balance == LeastBusy && p.Sick != TenTimes { // it would draw all requests, and nothing helps against that
			p.Balance = RoundRobin
		}
	}
	if r.IntN(6) == 0 {
		p.Later = min(max(int(float64(p.Slots)*log(0.25, 4)), 1), 1024)
		p.Change = time.Duration(between(0.2, 0.6) * float64(p.Length))
	}
	if r.IntN(5) == 0 {
		p.Others = p.Capacity() / float64(p.Replicas) * between(0.05, 0.4)
	}
}

// gauges draws what the server says of itself.
func (p *Params) gauges(r *rand.Rand, between, log func(a, b float64) float64) {
	switch n := r.IntN(20); {
	case n < 9:
	case n < 14:
		p.Gauges = RightGauges
	case n < 16:
		p.Gauges, p.GaugeEvery = StaleGauges, time.Duration(log(0.5e9, 8e9))
	case n < 17:
		p.Gauges = ForeignGauges
		p.Foreign = [2]int{r.IntN(64), r.IntN(2) * r.IntN(64)}
	case n < 18:
		p.Gauges, p.GaugeCap = CappedGauges, max(int(float64(p.Slots*p.Replicas)*between(0.2, 0.9)), 1)
	case n < 19:
		p.Gauges = OneReplica
	default:
		p.Gauges = AnyReplica
	}
	p.Published = p.Replicas == 1 && p.Later == 0 && r.IntN(10) == 0
}

// step is how long a step with so many requests takes, before the reading of prompts.
func (p *Params) step(n int) float64 {
	at := float64(n) / float64(max(p.Slots, p.Later)) * float64(len(p.Curve)-1)
	i := min(int(at), len(p.Curve)-2)
	return p.Step.Seconds() * (p.Curve[i] + (p.Curve[i+1]-p.Curve[i])*(at-float64(i)))
}

// Rate is how many requests a replica answers in a second while so many run.
func (p *Params) Rate(n int) float64 {
	prompt, output := float64(p.Prompt[0]+p.Prompt[1])/2, float64(p.Output[0]+p.Output[1])/2
	return float64(n) / (output*p.step(n) + float64(n)*prompt*p.Prefill.Seconds())
}

// falls tells whether all slots together do much less than fewer of them: engines put some of a batch off before it comes to that.
func (p *Params) falls() bool {
	most := 0.0
	for i, t := range p.Curve {
		most = max(most, float64(i)/t)
	}
	return most*0.92 > 4/p.Curve[4]
}

// best is the number of running requests, at most slots, that gives the highest rate.
func (p *Params) best(slots int) (n int) {
	if p.MaxHeld > 0 {
		slots = min(slots, p.MaxHeld)
	}
	n = 1
	for i := 2; i <= slots; i++ {
		if p.Rate(i) > p.Rate(n) {
			n = i
		}
	}
	return n
}

// Capacity is how many requests all replicas answer in a second at best, were they healthy.
func (p *Params) Capacity() float64 { return p.Rate(p.best(p.Slots)) * float64(p.Replicas) }

// String names what is not as in the plainest server.
func (p Params) String() string {
	var s strings.Builder
	say := func(when bool, format string, args ...any) {
		if when {
			fmt.Fprintf(&s, ", "+format, args...)
		}
	}
	fmt.Fprintf(&s, "%d×%d slots", p.Replicas, p.Slots)
	say(p.Later > 0, "%d after %.0f s", p.Later, p.Change.Seconds())
	say(p.Replicas > 1, "%s", [...]string{"round robin", "random", "least busy"}[p.Balance])
	say(p.Sick != Healthy, "one %s", [...]string{"", "answers 503", "answers 500", "is ten times slower"}[p.Sick])
	say(true, "step %s %.1f", p.Step.Round(time.Millisecond), p.Curve)
	say(true, "output %d, prompt %d, transit %s", p.Output, p.Prompt, p.Transit.Round(time.Millisecond))
	say(p.MaxWaiting > 0, "%d may wait", p.MaxWaiting)
	say(p.MaxHeld > 0, "%d may run or wait", p.MaxHeld)
	say(p.MaxTokens > 0, "%d tokens may wait", p.MaxTokens)
	say(p.Patience > 0, "for %.1f s", p.Patience.Seconds())
	say(p.Late > 0, "told after %.1f s", p.Late.Seconds())
	say(p.Refusals > 0, "%.3f refused", p.Refusals)
	say(p.RetryAfter > 0, "retry after %s", p.RetryAfter)
	say(p.Errors > 0, "%.3f fail (late: %v)", p.Errors, p.ErrorsLate)
	say(p.Requests > 0, "%d requests a minute (told: %v)", p.Requests, p.Tells)
	say(p.Tokens > 0, "%d tokens a minute (told: %v)", p.Tokens, p.Tells)
	say(p.Others > 0, "%.2f/s of others", p.Others)
	say(p.Gauges != NoGauges, "gauges %s", [...]string{"", "right", "stale", "with another engine's", "capped", "of one replica", "of any replica"}[p.Gauges])
	say(p.Gauges == StaleGauges, "%.1f s", p.GaugeEvery.Seconds())
	say(p.Gauges == CappedGauges, "%d", p.GaugeCap)
	say(p.Gauges == ForeignGauges, "%d", p.Foreign)
	say(p.Published, "slots published")
	say(true, "for %.0f s", p.Length.Seconds())
	return s.String()
}
