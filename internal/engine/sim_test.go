package engine

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/object/objecttest"
	"github.com/batholith/batholith/internal/raced"
	"github.com/batholith/batholith/internal/simlm"
	"github.com/batholith/batholith/internal/store"
)

// A simulation is the whole engine in a bubble of virtual time: the real database and journal, a bucket in memory, simulated models,
// all of them failing as one seed decides, and processes that are killed, frozen and started again. sim_process_test.go is a process,
// sim_faults_test.go what it meets on its way out, sim_laws_test.go what must hold in the end.
type simulation struct {
	t      *testing.T
	db     *store.Store
	bucket *objecttest.Memory
	dir    string
	models map[string]*simlm.Server
	jobs   []*simJob
	shared bool // a worker's chunks may be another's before it comes back

	listener batholith.Listener                                       // of every process that starts from now on
	place    func(context.Context, batholith.Job) (blob.Place, error) // of the same; nil: the bucket itself
	caps     func(batholith.Job) []batholith.Cap                      // of the same; nil: nothing has a cap
	inFlight int
	timeout  time.Duration

	workers   int           // that through has run
	processes []*simProcess // those that have not ended
	distance  time.Duration // that every call of the bucket takes, there and back

	late    sync.WaitGroup // calls that take effect later
	visible sync.Mutex     // held while an object of the bucket changes

	plan *rand.Rand // decides what happens when; the test's own goroutine's

	mu            sync.Mutex
	r             *rand.Rand // decides which calls fail
	trouble       float64    // how often they do; 1 is as written
	outages       map[part]time.Time
	refused       map[part]int            // calls during them
	calls         map[part]map[string]int // of each part, by method; nil: they are not counted
	denied        bool                    // the output may not be written any more
	requests      map[string]*requests
	probes        []time.Time // questions for the list of models
	canaries      []time.Time // requests that are for no record
	abreast       int         // calls that are on their way to the bucket
	mostAbreast   int
	thawed        time.Time // when the last process that was frozen goes on: what it had sent by then is sent
	shrunk        []string  // outputs that were replaced by less
	interruptions int       // kills, and leases that were lost: each may cost what was in flight
}

// simJob is a job of the simulation. Its records are named by job, file and number, in their prompts as well.
type simJob struct {
	id, model string
	files     []int                   // records of each
	faults    map[int]simlm.FaultKind // of the records of the first file that have one
}

func (j *simJob) input(file int) string  { return fmt.Sprintf("in/%s/%d.jsonl", j.id, file) }
func (j *simJob) output(file int) string { return fmt.Sprintf("out/%s/%d.jsonl.out", j.id, file) }

// requests are those that reached a model for one job.
type requests struct {
	asked map[string][]*asking // by record
	last  time.Time
}

// simInFlight is the limit of every backend of the simulation.
const simInFlight = 16

// longEnough is when all that a job may have left behind must be gone: it is cleaned up for the second time within 25 minutes.
const longEnough = 30 * time.Minute

// The jobs of the simulation are small, and yet their output is published while they run, and in several parts.
const (
	simPart    = 16 << 10
	simPartial = 40
)

// simSetup says what is in a simulation.
type simSetup struct {
	models   int // 0: 1
	calm     bool
	latency  time.Duration // 0: 300 ms
	failures *simlm.Failures
	server   *simlm.Options // of every model, in place of latency and failures
	inFlight int            // the limit of a backend; 0: simInFlight, below 0: it is found
	timeout  time.Duration  // of an attempt; 0: as usual
}

// everyFailure is a model that fails in every way, and recovers.
var everyFailure = simlm.Failures{RateLimit: .02, Internal: .03, Unavailable: .01, BadRequest: .02, Reset: .02, Nonsense: .01, Times: 2}

// simulate runs a test in a bubble, for each of so many seeds, or as many as BATHOLITH_SEEDS says; BATHOLITH_SEED names a single one. With the
// race detector it is the first seed, if nothing else is asked for.
func simulate(t *testing.T, seeds int, setup simSetup, test func(s *simulation)) {
	from, to := 0, seeds
	if raced.On {
		to = min(seeds, 1)
	}
	for name, at := range map[string]*int{"BATHOLITH_SEEDS": &to, "BATHOLITH_SEED": &from} {
		if text := os.Getenv(name); text != "" {
			if _, err := fmt.Sscan(text, at); err != nil {
				t.Fatalf("%s=%s: %v", name, text, err)
			}
		}
	}
	if os.Getenv("BATHOLITH_SEED") != "" {
		to = from + 1
	}
	for seed := from; seed < to; seed++ {
		law := t.Name()
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("again: BATHOLITH_SEED=%d go test ./internal/engine -run '^%s$'", seed, law)
				}
			})
			synctest.Test(t, func(t *testing.T) {
				s := newSimulation(t, uint64(seed), setup)
				defer s.close()
				test(s)
			})
		})
	}
}

// close ends what a test that failed has left running.
func (s *simulation) close() {
	for len(s.processes) > 0 {
		s.processes[0].end(s)
	}
	s.late.Wait()
	s.db.Close()
}

func newSimulation(t *testing.T, seed uint64, setup simSetup) *simulation {
	dir := memoryDir(t)
	db, err := store.Open(t.Context(), filepath.Join(dir, "db"))
	if err != nil {
		t.Fatal(err)
	}
	s := &simulation{t: t, db: db, bucket: objecttest.NewMemory(), dir: dir, models: map[string]*simlm.Server{},
		plan: rand.New(rand.NewPCG(seed, 2)), r: rand.New(rand.NewPCG(seed, 1)), trouble: 1, outages: map[part]time.Time{}, refused: map[part]int{}, requests: map[string]*requests{}}
	if setup.calm {
		s.trouble = 0
	}
	if s.inFlight, s.timeout = setup.inFlight, setup.timeout; s.inFlight == 0 {
		s.inFlight = simInFlight
	}
	if setup.failures == nil {
		setup.failures = &everyFailure
	}
	if setup.latency == 0 {
		setup.latency = 300 * time.Millisecond
	}
	for i := range max(1, setup.models) {
		o := simlm.Options{Latency: setup.latency, Failures: *setup.failures}
		if setup.server != nil {
			o = *setup.server
		}
		o.Seed = seed
		s.models[fmt.Sprint("m", i)] = simlm.New(o)
	}
	return s
}

// memoryDir is a folder whose syncs cost nothing, where there is one: nothing here depends on a disk.
func memoryDir(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "batholith-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// create makes a job for a model with files of so many records.
func (s *simulation) create(model string, life time.Duration, files ...int) *simJob {
	s.t.Helper()
	j := s.adopt(s.nextID(), model, files...)
	s.submit(j, "", life)
	return j
}

func (s *simulation) nextID() string { return fmt.Sprintf("abcdefghij%02d", len(s.jobs)) }

// submit makes a job of a principal whose input is there.
func (s *simulation) submit(j *simJob, owner string, life time.Duration, tags ...batholith.Tag) {
	s.t.Helper()
	now := time.Now()
	_, err := s.db.CreateJob(s.t.Context(), batholith.Job{ID: j.id, Account: simAccount, Owner: owner, Region: "us-east-1", Submitted: now, Expires: now.Add(life),
		Request: batholith.Request{Name: j.id, ModelID: j.model, RoleARN: "r", Type: batholith.InvokeModel, Tags: tags}}, "h", 0)
	if err != nil {
		s.t.Fatal(err)
	}
}

// adopt writes the input of a job and keeps an account of it.
func (s *simulation) adopt(id, model string, files ...int) *simJob {
	s.t.Helper()
	j := &simJob{id: id, model: model, files: files}
	for n, records := range files {
		s.put(j, n, records, "")
	}
	return s.enter(j)
}

// enter begins the account of a job.
func (s *simulation) enter(j *simJob) *simJob {
	s.count(func() { s.requests[j.id] = &requests{asked: map[string][]*asking{}} })
	s.jobs = append(s.jobs, j)
	return j
}

const simAccount = "000000000000"

// put writes an input file.
func (s *simulation) put(j *simJob, file, records int, more string) {
	s.t.Helper()
	s.putEach(j, file, records, func(int) string { return more })
}

// putEach writes an input file whose prompts end as more says.
func (s *simulation) putEach(j *simJob, file, records int, more func(i int) string) {
	s.t.Helper()
	var input strings.Builder
	for i := range records {
		fmt.Fprintf(&input, `{"recordId":"r%d","modelInput":{"messages":[{"role":"user","content":"%s/%d/%d%s"}]}}`+"\n", i, j.id, file, i, more(i))
	}
	if err := s.bucket.Put(s.t.Context(), j.input(file), []byte(input.String())); err != nil {
		s.t.Fatal(err)
	}
}

// some returns a time up to most.
func (s *simulation) some(most time.Duration) time.Duration {
	return time.Duration(s.plan.Int64N(int64(most/time.Millisecond))) * time.Millisecond
}

// calm ends the trouble.
func (s *simulation) calm() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trouble = 0
	clear(s.outages)
}

func TestJobsThroughKillsAndFaultsEndWithEveryRecordOnce(t *testing.T) {
	simulate(t, 3, simSetup{models: 2}, func(s *simulation) {
		for range 1 + s.plan.IntN(3) {
			files := make([]int, 1+s.plan.IntN(3))
			for i := range files {
				files[i] = 1 + s.plan.IntN(250)
			}
			s.create(fmt.Sprint("m", s.plan.IntN(2)), 24*time.Hour, files...)
		}
		s.create("m0", 24*time.Hour, 600) // more than a chunk
		w := s.worker("w")
		for range 4 {
			w.start()
			time.Sleep(s.some(6 * time.Second))
			w.leave()
		}
		s.calm()
		w.start()
		time.Sleep(longEnough)
		synctest.Wait()
		w.stop()
		for _, j := range s.jobs {
			s.check(j, batholith.StatusCompleted)
		}
		s.checkTraces(w)
	})
}
