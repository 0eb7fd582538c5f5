package cli

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/batholith/batholith/internal/simlm"
	"github.com/batholith/batholith/internal/words"
)

// simulatedServer holds the flags of simulate. The members that are texts (schedule, outages, output and the
// shares of failures) are parsed by read; options is complete after it.
type simulatedServer struct {
	options     simlm.Options
	listen      string
	engine      string
	output      string
	schedule    string
	seed        int64
	fail        map[string]string
	random      map[string]string
	outages     string
	queueBy     string
	accelerator string
	replicas    int
	sick        string
	asJSON      bool
}

// The defaults of --slots and --step.
const (
	// These are round numbers and describe no particular model server: docs/simulate.md tells how to measure one's
	// own.
	simulatedSlots = 64
	simulatedStep  = 20 * time.Millisecond
	// acceleratedStep is what a step costs besides the accelerator's work: scheduling and sampling.
	acceleratedStep = time.Millisecond
)

// simulateCommand returns the command simulate. The seed determines the texts, lengths and failures of its
// answers.
func (a *app) simulateCommand() *cobra.Command {
	var s simulatedServer
	cmd := &cobra.Command{
		Use:   "simulate",
		Short: "Serve a simulated model over HTTP, as a model server with continuous batching does",
		Long: `Serve a simulated model over HTTP that behaves like a model server with continuous batching. Use it to see how a job would run on a
server of some size, and for load tests. It needs no GPU and no weights; its answers are meaningless.

Its protocol is OpenAI's (chat completions, completions, embeddings). Each request uses one of --slots, and waits in order of
arrival while none is free. In each step every running request gains one token. The duration of a step is
--step + --decode × running requests + --prefill × prompt tokens that start and are not in the cache of --cache tokens. With --accelerator
it is --step and the time in which that GPU reads the weights and the context and computes the tokens.

It can fail like real servers. With --fail, the content decides: the same prompts fail each time, or --fail-times times. With
--fail-at-random, each request fails independently. Kinds are statuses from 400 to 599 and reset (the connection breaks), torn (the answer breaks off), nonsense (a page instead of JSON),
hang (no answer, until the client gives up) and crash (every connection breaks, for as long as --restart). During an --outage every request fails.

--engine selects whose metrics are at /metrics, and whether the number of slots is at /props (llamacpp) or /info (tei). Exact
statistics are at /simulated/stats; a POST to /simulated/reset clears them. SIGTERM or Ctrl-C ends the server and prints a summary.`,
		Example: `  batholith simulate
  batholith simulate --slots 256 --step 15ms --decode 40us --prefill 60us --cache 400000 --output-tokens 64-512
  batholith simulate --schedule 64@0s,16@30s,128@1m --others 2 --queue 128 --refuse 503 --fail internal=0.01,reset=0.005
  batholith simulate --engine none --list none --fail 403=0.02,hang=0.001 --fail-at-random 503=0.03 --outage 500@10m-1h10m`,
		Args: arguments(0, -1, ""),
	}
	s.bind(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if s.accelerator != "" && !cmd.Flags().Changed("step") {
			s.options.Step = acceleratedStep
		}
		if err := s.read(); err != nil {
			return err
		}
		return a.serveSimulated(cmd.Context(), &s)
	}
	return cmd
}

// bind adds the flags, in groups: the server, its slots and queue, the times of its steps, and its failures. Their
// defaults are a server with 64 slots and steps of 20 ms that never fails.
func (s *simulatedServer) bind(cmd *cobra.Command) {
	f, o := cmd.Flags(), &s.options
	f.StringVar(&s.listen, "listen", "127.0.0.1:8000", "`address` to listen on; port 0 selects a free one")
	f.StringVar(&o.Model, "model", simlm.Model, "`name` of the served model")
	f.StringVar(&s.engine, "engine", string(simlm.EngineVLLM), "whose metrics it has: "+engineNames())
	f.Int64Var(&s.seed, "seed", 0, "`number` that determines all texts, lengths and failures")

	f.IntVar(&o.Slots, "slots", simulatedSlots, "requests that run in parallel, a `number`; 0: unlimited")
	f.StringVar(&s.schedule, "schedule", "", "slots that change, `SLOTS@TIME,…`, counted from the start or the last reset")
	f.IntVar(&o.Queue, "queue", 0, "`number` of requests that may wait; 0: unlimited, -1: none")
	f.IntVar(&o.RefuseStatus, "refuse", 429, "`status` for requests beyond the queue: 429 or 503")
	f.StringVar(&s.queueBy, "queue-by", string(simlm.QueuePlaces), "what --queue counts: places (running and waiting, beyond the slots), waiting (alone), tokens (of prompts that wait)")
	f.DurationVar(&o.RetryAfter, "retry-after", 0, "Retry-After of these; 0: no such header")
	f.DurationVar(&o.RefuseAfter, "refuse-after", 0, "how long these wait before they are rejected")
	f.IntVar(&o.Quota, "quota", 0, "`number` of requests accepted per minute; others are rejected like those beyond the queue; 0: unlimited")
	f.IntVar(&s.replicas, "replicas", 1, "`number` of such servers behind the address, which take turns")
	f.StringVar(&s.sick, "sick", "", "`kind` of failure of everything that one of the replicas is asked")
	f.StringSliceVar(&o.List, "list", nil, "`names` in its list of models, none for no list; as a rule that of --model")

	f.DurationVar(&o.Step, "step", simulatedStep, "time of every step")
	f.DurationVar(&o.Decode, "decode", 0, "time of a step for each running request, besides")
	f.DurationVar(&o.Prefill, "prefill", 0, "time of a step for each prompt token computed in it, besides")
	f.IntVar(&o.Chunk, "chunk", 0, "most prompt `tokens` computed in a step; 0: no bound")
	f.StringVar(&s.accelerator, "accelerator", "", "add the cost of a step on this GPU with this model to --step (whose default is then 1ms): "+acceleratorNames())
	f.IntVar(&o.Roofline.Memory, "memory", 0, "`tokens` of context that fit in the accelerator's memory; 0: the value of --accelerator")
	f.Float64Var(&o.Roofline.Overlap, "overlap", 0, "`share` of the reading of context that runs while the accelerator computes, 0 to 1")
	f.BoolVar(&o.Roofline.Apart, "apart", false, "with --accelerator: a step computes either prompts or answers, as SGLang's do by default")
	f.DurationVar(&o.Latency, "latency", 0, "time on the way to the server and back")
	f.IntVar(&o.Cache, "cache", 0, "`tokens` of prompts that the prefix cache holds; 0: there is none")
	f.StringVar(&s.output, "output-tokens", "32", "`tokens` of an answer, or a range such as 16-256; max_tokens bounds them")

	f.Float64Var(&o.Others.Rate, "others", 0, "requests of others a second, at random times, which take slots and wait: their `rate`")
	f.StringToStringVar(&s.fail, "fail", nil, "shares of the prompts that fail, `KIND=SHARE,…`; kinds: 400 to 599, "+strings.Join(failureNames, ", "))
	f.IntVar(&o.Failures.Times, "fail-times", 0, "`times` that such a prompt fails before it is answered; 0: always")
	f.StringToStringVar(&s.random, "fail-at-random", nil, "shares of the requests that fail, `KIND=SHARE,…`, whichever prompt they have")
	f.BoolVar(&o.Marks, "fail-marked", false, "a prompt that holds fail:KIND fails so, such as fail:403 or fail:hang")
	f.DurationVar(&o.Restart, "restart", 10*time.Second, "how long it is away after a crash")
	f.StringVar(&s.outages, "outage", "", "times in which everything fails, `KIND@FROM-TO,…`: a status, reset or hang")
	f.DurationVar(&o.Series, "series", 0, "how often to note what runs and waits, for /simulated/stats?series=1 and --json; 0: never")
	f.BoolVar(&s.asJSON, "json", false, "print the summary as JSON")
	f.SortFlags = false
}

// acceleratorNames lists the accelerators whose costs are known.
func acceleratorNames() string {
	return strings.Join(slices.Sorted(maps.Keys(simlm.Accelerators)), ", ")
}

// engineNames lists the model servers whose metrics can be imitated.
func engineNames() string {
	var names []string
	for _, e := range simlm.Engines {
		names = append(names, string(e))
	}
	return strings.Join(names, ", ")
}

// read converts the flags into options and checks them. A value that is not possible is a *usageError with an
// example of one that is. It returns the first mistake only, in the order of the checks below.
func (s *simulatedServer) read() error {
	o := &s.options
	o.Seed, o.Engine = uint64(s.seed), simlm.Engine(s.engine)
	if !slices.Contains(simlm.Engines, o.Engine) {
		return &usageError{reason: fmt.Sprintf("--engine %q is not known", s.engine), remedy: didYouMeanOf(s.engine, strings.Split(engineNames(), ", "))}
	}
	if o.RefuseStatus != 429 && o.RefuseStatus != 503 {
		return &usageError{reason: fmt.Sprintf("--refuse %d is not possible", o.RefuseStatus), remedy: "write 429 or 503"}
	}
	if err := s.readOutput(); err != nil {
		return err
	}
	if err := s.readAccelerator(); err != nil {
		return err
	}
	if o.QueueBy = simlm.QueueBy(s.queueBy); !slices.Contains(simlm.QueueBys, o.QueueBy) {
		return &usageError{reason: fmt.Sprintf("--queue-by %q is not known", s.queueBy), remedy: "write places, waiting or tokens"}
	}
	var err error
	if o.Outages, err = simlm.ParseOutages(s.outages); err != nil {
		return &usageError{reason: "--outage: " + err.Error(), remedy: "write a status, reset or hang, and two times, such as 500@10s-1h"}
	}
	if _, ok := simlm.ParseFaultKind(s.sick); !ok && s.sick != "" {
		return &usageError{reason: fmt.Sprintf("--sick %q is not a valid kind of failure", s.sick), remedy: "write a status from 400 to 599, reset, torn, nonsense, hang or crash"}
	}
	if s.replicas < 1 {
		return &usageError{reason: fmt.Sprintf("--replicas %d is not possible", s.replicas), remedy: "write 1 or more"}
	}
	if o.Schedule, err = simlm.ParseSchedule(s.schedule); err != nil {
		return &usageError{reason: "--schedule: " + err.Error(), remedy: "write slots and times that go up, such as 64@0s,16@30s"}
	}
	if o.Queue < -1 {
		return &usageError{reason: fmt.Sprintf("--queue %d is not possible", o.Queue), remedy: "write how many may wait, 0 for any number, or -1 for none"}
	}
	// Map order is random, but at most one message is printed, and each of them is true.
	for name, below := range map[string]bool{"slots": o.Slots < 0, "step": o.Step < 0, "decode": o.Decode < 0, "prefill": o.Prefill < 0,
		"chunk": o.Chunk < 0, "cache": o.Cache < 0, "latency": o.Latency < 0, "retry-after": o.RetryAfter < 0, "series": o.Series < 0,
		"fail-times": o.Failures.Times < 0, "refuse-after": o.RefuseAfter < 0, "quota": o.Quota < 0, "restart": o.Restart < 0, "others": !(o.Others.Rate >= 0)} {
		if below {
			return &usageError{reason: fmt.Sprintf("--%s is below 0", name), remedy: "write 0 or more"}
		}
	}
	return s.readFailures()
}

// readAccelerator reads --accelerator and the flags that change it.
func (s *simulatedServer) readAccelerator() error {
	set := s.options.Roofline
	if s.accelerator == "" && set == (simlm.Roofline{}) {
		return nil
	}
	r, ok := simlm.Accelerators[s.accelerator]
	switch {
	case s.accelerator == "":
		return &usageError{reason: "--memory, --overlap and --apart need --accelerator", remedy: "add --accelerator with one of " + acceleratorNames()}
	case !ok:
		return &usageError{reason: fmt.Sprintf("--accelerator %q is not known", s.accelerator), remedy: didYouMeanOf(s.accelerator, strings.Split(acceleratorNames(), ", "))}
	case !(set.Overlap >= 0 && set.Overlap <= 1):
		return &usageError{reason: fmt.Sprintf("--overlap %v is not possible", set.Overlap), remedy: "write a share from 0 to 1"}
	case set.Memory < 0:
		return &usageError{reason: "--memory is below 0", remedy: "write 0 or more"}
	}
	r.Overlap, r.Apart = set.Overlap, set.Apart
	if set.Memory > 0 {
		r.Memory = set.Memory
	}
	s.options.Roofline = r
	return nil
}

// readOutput reads --output-tokens: a number of tokens, or a range such as 16-256 from which each answer's length
// is drawn. The least is 1.
func (s *simulatedServer) readOutput() error {
	low, high, ranged := strings.Cut(s.output, "-")
	least, err := strconv.Atoi(low)
	most := least
	if err == nil && ranged {
		most, err = strconv.Atoi(high)
	}
	if err != nil || least < 1 || most < least {
		return &usageError{reason: fmt.Sprintf("--output-tokens %q is not a valid number or range of tokens", s.output), remedy: "write a number such as 32, or a range such as 16-256"}
	}
	s.options.OutputTokens, s.options.OutputTokensMax = least, most
	return nil
}

// failureNames are the kinds of failure that have a name. Any status from 400 to 599 is possible besides.
var failureNames = []string{"rate_limit", "internal", "unavailable", "bad_request", "reset", "nonsense", "torn", "hang", "crash"}

// namedStatuses are the statuses that the names of the settings stand for.
var namedStatuses = map[string]simlm.Fault{"rate_limit": {Kind: "429", RetryAfter: time.Second}, "internal": {Kind: "500"}, "unavailable": {Kind: "503"},
	"bad_request": {Kind: "400"}}

// readFailures reads the shares of --fail and --fail-at-random. Each share lies between 0 and 1, and those of one
// flag add up to at most 1, because a request fails in one way. The kinds are read in alphabetical order, so that
// equal command lines give equal failures.
func (s *simulatedServer) readFailures() error {
	for _, set := range []struct {
		flag   string
		shares map[string]string
	}{{"--fail", s.fail}, {"--fail-at-random", s.random}} {
		sum := 0.0
		for _, name := range slices.Sorted(maps.Keys(set.shares)) {
			fault, named := namedStatuses[name]
			if kind, ok := simlm.ParseFaultKind(name); ok {
				fault.Kind = kind
			} else if !named {
				return &usageError{reason: fmt.Sprintf("%s: %q is not a valid kind of failure", set.flag, name), remedy: didYouMeanOf(name, failureNames)}
			}
			share, err := strconv.ParseFloat(set.shares[name], 64)
			if err != nil || !(share >= 0 && share <= 1) {
				return &usageError{reason: fmt.Sprintf("%s %s=%s is not a valid share", set.flag, name, set.shares[name]), remedy: "write shares from 0 to 1"}
			}
			fault.Share, fault.Random = share, set.flag != "--fail"
			s.options.Faults = append(s.options.Faults, fault)
			sum += share
		}
		if sum > simlm.MostShares {
			return &usageError{reason: set.flag + ": the shares add up to more than 1", remedy: "lower them"}
		}
	}
	return nil
}

// didYouMeanOf returns the remedy for a word that is not one of the possible ones: the most similar of them if one
// is close, otherwise all.
func didYouMeanOf(word string, possible []string) string {
	if c := words.Closest(word, possible); c != "" {
		return fmt.Sprintf("did you mean %s?", c)
	}
	return "one of " + strings.Join(possible, ", ")
}
