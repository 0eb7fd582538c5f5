package dispatch

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/dialect"
	"github.com/batholith/batholith/internal/jsonl"
	"github.com/batholith/batholith/internal/object/objecttest"
)

// world is a Dispatcher among fakes: jobs in memory, a sink that keeps outcomes, and backends made of functions.
type world struct {
	t      *testing.T
	bucket *objecttest.Memory

	mu        sync.Mutex
	files     map[string][]batholith.File
	chunks    map[string][]*batholith.Chunk
	begun     []string
	notes     map[string]string
	tags      map[string][]batholith.Tag
	faults    map[string]error
	outcomes  map[string]map[batholith.RecordKey]batholith.Outcome
	twice     []string
	lines     map[string]string               // record id → output line
	dead      bool                            // heartbeats fail
	beat      func(ctx context.Context) error // when set, is passed before every heartbeat
	releasing func()                          // when set, is passed before every release
	// uncommitted is what Flush answers for a job whose outcomes are in the journal only.
	uncommitted map[string]error

	reserved     map[string]batholith.Amount
	mostReserved int64

	lost    map[string]bool // workers whose leases have ended
	sampled map[string]bool
	holds   map[string]batholith.Pause

	claims  int
	claimed func(nth int) error // fails a claim after its effect
	sunk    chan struct{}       // told after every outcome
}

func newWorld(t *testing.T) *world {
	return &world{reserved: map[string]batholith.Amount{}, sampled: map[string]bool{}, lost: map[string]bool{}, holds: map[string]batholith.Pause{}, t: t, bucket: objecttest.NewMemory(), files: map[string][]batholith.File{}, chunks: map[string][]*batholith.Chunk{},
		notes: map[string]string{}, faults: map[string]error{}, outcomes: map[string]map[batholith.RecordKey]batholith.Outcome{},
		lines: map[string]string{}, sunk: make(chan struct{}, 1)}
}

// job stores the input, index and chunks of a job with so many records, whose ids are "<job>-<number>".
func (w *world) job(id string, records, perChunk int) batholith.Job {
	return w.jobOf(id, records, perChunk, func(n int) string { return fmt.Sprintf(`{"n":%d}`, n) })
}

// jobOf stores a job whose records have these inputs.
func (w *world) jobOf(id string, records, perChunk int, input func(n int) string) batholith.Job {
	var data, index []byte
	var chunks []*batholith.Chunk
	file := batholith.File{Key: id + ".jsonl", Index: id + ".idx", Records: int64(records)}
	for first := 0; first < records; first += perChunk {
		n := min(perChunk, records-first)
		var entries []jsonl.Entry
		start := len(data)
		for i := range n {
			line := fmt.Sprintf(`{"recordId":"%s-%d","modelInput":%s}`, id, first+i, input(first+i))
			entries = append(entries, jsonl.Entry{Offset: int64(len(data)), Length: uint32(len(line)), Line: int64(first + i + 1)})
			data = append(data, line+"\n"...)
		}
		block := jsonl.AppendBlock(nil, int64(first), entries)
		chunks = append(chunks, &batholith.Chunk{Job: id, N: len(chunks), First: int64(first), Count: n,
			Offset: int64(start), Bytes: int64(len(data) - 1 - start), IndexOffset: int64(len(index)), IndexBytes: int64(len(block)),
			State: batholith.ChunkPending, Done: batholith.NewBits(n)})
		index = append(index, block...)
	}
	for key, body := range map[string][]byte{file.Key: data, file.Index: index} {
		if err := w.bucket.Put(w.t.Context(), key, body); err != nil {
			w.t.Fatal(err)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.chunks[id], w.files[id] = chunks, []batholith.File{file}
	return batholith.Job{ID: id, Counts: batholith.Counts{Total: int64(records)}, Request: batholith.Request{ModelID: "model"}}
}

// jobAgain is a job that was stored before, as it is enqueued later.
func (w *world) jobAgain(id string) batholith.Job {
	w.mu.Lock()
	defer w.mu.Unlock()
	j := batholith.Job{ID: id, Status: batholith.StatusInProgress, Request: batholith.Request{ModelID: "model"}}
	for _, c := range w.chunks[id] {
		j.Counts.Total += int64(c.Count)
		j.Counts.Processed += int64(c.Done.Len())
	}
	return j
}

func (w *world) dispatcher(o Options, backends ...Backend) *Dispatcher {
	o.Worker, o.Store, o.Sink = "w1", w, w
	o.Serving = func(j batholith.Job) (Serving, error) {
		return Serving{Model: j.ModelID, Backends: backends, Dialect: always(plain{})}, nil
	}
	o.Place = func(context.Context, batholith.Job) (blob.Place, error) {
		return blob.Place{Input: w.bucket, Output: w.bucket}, nil
	}
	if o.Canary == nil {
		o.Canary = fakeCanary
	}
	o.Begin = func(_ context.Context, id string) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.begun = append(w.begun, id)
		return nil
	}
	o.Fault = func(id string, err error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.faults[id] = err
	}
	return New(o)
}

func (w *world) Claim(_ context.Context, worker, job string, n int, _ time.Time) ([]batholith.Chunk, error) {
	return w.claim(worker, job, n, func(c *batholith.Chunk) bool { return c.State == batholith.ChunkPending || w.isLost(c) })
}

func (w *world) ClaimLost(_ context.Context, worker, job string, n int) ([]batholith.Chunk, error) {
	return w.claim(worker, job, n, w.isLost)
}

// isLost reports whether a chunk's owner has lost its lease.
func (w *world) isLost(c *batholith.Chunk) bool {
	return c.State == batholith.ChunkLeased && w.lost[c.Owner]
}

func (w *world) claim(worker, job string, n int, free func(*batholith.Chunk) bool) (out []batholith.Chunk, _ error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.chunks[job] {
		if len(out) < n && free(c) {
			c.State, c.Owner, c.Epoch = batholith.ChunkLeased, worker, c.Epoch+1
			cp := *c
			cp.Done = slices.Clone(c.Done)
			out = append(out, cp)
		}
	}
	w.claims++
	if w.claimed != nil {
		if err := w.claimed(w.claims); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// ClaimSample claims spread chunks; w.sampled says that there is no sample any more.
func (w *world) ClaimSample(_ context.Context, worker, job string, n int) (out []batholith.Chunk, passed bool, _ error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sampled[job] {
		return nil, true, nil
	}
	all := w.chunks[job]
	for i := range n {
		if c := all[i*len(all)/n]; c.State == batholith.ChunkPending {
			c.State, c.Owner, c.Epoch = batholith.ChunkLeased, worker, c.Epoch+1
			cp := *c
			cp.Done = slices.Clone(c.Done)
			out = append(out, cp)
		}
	}
	return out, false, nil
}

func (w *world) PassSample(_ context.Context, job string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sampled[job] = true
	return nil
}

func (w *world) PauseJobUntil(_ context.Context, job, reason string, until time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sampled[job], w.holds[job] = true, batholith.Pause{Reason: reason, Until: until}
	return nil
}

// Reserve keeps one cap: tokens of the job, of which stored is what its outcomes took.
func (w *world) Reserve(_ context.Context, worker string, j batholith.Job, base, need batholith.Amount, caps []batholith.Cap) (a batholith.Allowance, _ error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var used batholith.Amount
	for _, o := range w.outcomes[j.ID] {
		used.Tokens += o.Tokens.Input + o.Tokens.Output
	}
	a = batholith.Allowance{Granted: true, Cap: caps[0], Used: used, Left: batholith.Amount{Tokens: max(caps[0].Tokens-used.Tokens-base.Tokens, 0), Micros: 1 << 60}}
	if a.Granted = need.Tokens <= a.Left.Tokens; a.Granted {
		base = base.Add(need)
		w.mostReserved = max(w.mostReserved, used.Tokens+base.Tokens)
	}
	w.reserved[j.ID] = base // may count a record twice: as stored, and as reserved until the next call
	return a, nil
}

func (w *world) Unreserve(_ context.Context, _, job string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.reserved, job)
	return nil
}

func (w *world) pauseOf(job string) batholith.Pause {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.holds[job]
}

func (w *world) Release(_ context.Context, worker, job string) error {
	w.mu.Lock()
	releasing := w.releasing
	w.mu.Unlock()
	if releasing != nil {
		releasing()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, chunks := range w.chunks {
		for _, c := range chunks {
			if (job == "" || job == id) && c.State == batholith.ChunkLeased && c.Owner == worker {
				c.State = batholith.ChunkPending
			}
		}
	}
	return nil
}

func (w *world) Heartbeat(ctx context.Context, _ string, _ time.Time) error {
	w.mu.Lock()
	beat := w.beat
	w.mu.Unlock()
	if beat != nil {
		if err := beat(ctx); err != nil {
			return err
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dead {
		return fmt.Errorf("the database is away")
	}
	return nil
}

func (w *world) Files(_ context.Context, job string) ([]batholith.File, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.files[job], nil
}

func (w *world) Tags(_ context.Context, _, job string) ([]batholith.Tag, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.tags[job], nil
}

func (w *world) Tagged(_ context.Context, key string) (map[string]string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	values := map[string]string{}
	for job, tags := range w.tags {
		for _, t := range tags {
			if t.Key == key {
				values[job] = t.Value
			}
		}
	}
	return values, nil
}

func (w *world) Note(_ context.Context, job, message string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.notes[job] = message
	return nil
}

// Add is the commit as well: an outcome under an old epoch is refused, one that is there already is remembered.
func (w *world) Add(_ context.Context, o batholith.Outcome) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.chunks[o.Job][o.Chunk]
	if c.Epoch != o.Epoch {
		return nil
	}
	if w.outcomes[o.Job] == nil {
		w.outcomes[o.Job] = map[batholith.RecordKey]batholith.Outcome{}
	}
	if _, ok := w.outcomes[o.Job][o.Key]; ok {
		w.twice = append(w.twice, fmt.Sprint(o.Job, o.Key))
	}
	w.outcomes[o.Job][o.Key] = o
	c.Done.Set(int(o.Key.Record - c.First))
	if c.Done.Len() == c.Count {
		c.State = batholith.ChunkDone
	}
	var line struct{ RecordID string }
	if err := json.Unmarshal(o.Line, &line); err != nil {
		w.t.Errorf("output line %q: %v", o.Line, err)
	}
	w.lines[line.RecordID] = string(o.Line)
	select {
	case w.sunk <- struct{}{}:
	default:
	}
	return nil
}

// Flush fails for a job whose outcomes cannot be committed for now.
func (w *world) Flush(_ context.Context, job string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.uncommitted[job]
}

// Unfinished lists every job that was ever claimed: none of them ends here.
func (w *world) Unfinished(context.Context) (jobs []batholith.Job, _ error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id := range w.chunks {
		jobs = append(jobs, batholith.Job{ID: id, Status: batholith.StatusInProgress})
	}
	return jobs, nil
}

// count returns how many records of a job have an outcome.
func (w *world) count(job string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.outcomes[job])
}

// await waits until these jobs have so many outcomes each.
func (w *world) await(n int, jobs ...string) {
	w.t.Helper()
	late := time.After(time.Hour)
	for slices.ContainsFunc(jobs, func(j string) bool { return w.count(j) < n }) {
		select {
		case <-w.sunk:
		case <-late:
			w.t.Fatalf("after an hour, outcomes: %v", maps.Collect(func(yield func(string, int) bool) {
				for _, j := range jobs {
					yield(j, w.count(j))
				}
			}))
		}
	}
}

func (w *world) errors(job string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, o := range w.outcomes[job] {
		if o.Errored {
			n++
		}
	}
	return n
}

func (w *world) note(job string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.notes[job]
}

// start runs d; the returned function ends it and waits.
func (w *world) start(d *Dispatcher) (stop func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan error)
	go func() { done <- d.Run(ctx) }()
	return func() {
		w.t.Helper()
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("Run: %v", err)
		}
	}
}

// plain is a dialect that changes nothing.
type plain struct{}

func (plain) Request(input []byte, _ string) (batholith.Call, error) {
	if strings.Contains(string(input), "impossible") {
		return batholith.Call{}, &batholith.RecordError{Code: 400, Message: "cannot be asked"}
	}
	return batholith.Call{Path: "/x", Body: input, ServerTools: strings.Contains(string(input), "web_search")}, nil
}

func (plain) Answer(input []byte, _ batholith.Call, body []byte) (batholith.Answer, error) {
	if strings.Contains(string(body), "nonsense") {
		return batholith.Answer{}, fmt.Errorf("no JSON")
	}
	tokens := batholith.Tokens{Input: 1, Output: 1}
	if _, n, ok := strings.Cut(string(input), `"tokens":`); ok {
		fmt.Sscan(n, &tokens.Output)
	}
	return batholith.Answer{Output: body, Tokens: tokens}, nil
}

// server is a backend made of a function that is given the number of the request for this body, from 1.
type server struct {
	do     func(ctx context.Context, body string, nth int) ([]byte, error)
	probe  func(nth int) error
	limit  int
	slots  int
	gauges func() batholith.Gauges

	mu       sync.Mutex
	asked    map[string]int
	probes   int
	canaries int
	inFlight int
	most     int
	times    []time.Time
}

func answering(latency time.Duration) *server {
	return &server{do: func(ctx context.Context, body string, _ int) ([]byte, error) { return wait(ctx, latency) }}
}

// wait answers after a while, unless it is called off.
func wait(ctx context.Context, d time.Duration) ([]byte, error) {
	select {
	case <-time.After(d):
		return []byte(`"ok"`), nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// always is a serving's Dialect for backends that all have one protocol.
func always(d dialect.Dialect) func(string) dialect.Dialect {
	return func(string) dialect.Dialect { return d }
}

// fakeCanary is a canary for every class: its body is {"canary":n}, which servers answer like a record.
func fakeCanary(_, _ string, f dialect.Features, _ string, n int) (batholith.Call, bool) {
	return batholith.Call{Path: "/x", Body: fmt.Appendf(nil, `{"canary":%d,"features":%d}`, n, f)}, true
}

func isCanary(body string) bool { return strings.HasPrefix(body, `{"canary"`) }

// noCanary is for a dispatcher without any.
func noCanary(string, string, dialect.Features, string, int) (batholith.Call, bool) {
	return batholith.Call{}, false
}

func (s *server) Do(ctx context.Context, c batholith.Call) ([]byte, error) {
	if isCanary(string(c.Body)) {
		s.mu.Lock()
		s.canaries++
		s.mu.Unlock()
		if _, err := s.do(ctx, string(c.Body), 1); err != nil {
			return nil, err
		}
		return []byte(`{"choices":[{"finish_reason":"length"}]}`), nil
	}
	s.mu.Lock()
	if s.asked == nil {
		s.asked = map[string]int{}
	}
	s.asked[string(c.Body)]++
	nth := s.asked[string(c.Body)]
	s.inFlight++
	s.most = max(s.most, s.inFlight)
	s.times = append(s.times, time.Now())
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.inFlight--
		s.mu.Unlock()
	}()
	return s.do(ctx, string(c.Body), nth)
}

func (s *server) Probe(context.Context) error {
	s.mu.Lock()
	s.probes++
	nth := s.probes
	s.mu.Unlock()
	if s.probe == nil {
		return nil
	}
	return s.probe(nth)
}

func (s *server) Gauges(context.Context) (batholith.Gauges, bool) {
	if s.gauges == nil {
		return batholith.Gauges{}, false
	}
	return s.gauges(), true
}
func (s *server) Slots(context.Context) (int, bool) { return s.slots, s.slots > 0 }
func (s *server) MaxInFlight() int                  { return s.limit }
func (s *server) ModelName() string                 { return "m" }
func (s *server) Protocol() string                  { return "openai" }
func (s *server) String() string                    { return "http://fake" }

// canaries is how many canaries are on the accounts of these jobs' records.
func (w *world) canaries(jobs ...string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, job := range jobs {
		for _, o := range w.outcomes[job] {
			n += o.Canaries
		}
	}
	return n
}

// requests returns how often each record was asked, and how often in all.
func (s *server) requests() (all int, repeated int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.asked {
		all += n
		if n > 1 {
			repeated++
		}
	}
	return all, repeated
}

func (s *server) busy() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inFlight
}

// askedFor is how often a record was sent.
func (s *server) askedFor(body string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[body]
}

func (s *server) mostAtOnce() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.most
}

func (s *server) canariesSent() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.canaries
}

// line is the output line of a record.
func (w *world) line(id string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lines[id]
}
