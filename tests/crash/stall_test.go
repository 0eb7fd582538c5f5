package crash

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/bedrock/types"

	"github.com/batholith/batholith/tests/harness"
)

// longerThanTheLease is how long the process stands still: its lease lasts 5 s.
const longerThanTheLease = 5500 * time.Millisecond

// noticed finds when the server wrote that its lease was lost.
var noticed = regexp.MustCompile(`time=(\S+) level=WARN msg="the worker's lease has expired`)

func TestAStalledServerNoticesBeforeItSendsAndRepeatsOnlyWhatWasInFlight(t *testing.T) {
	t.Parallel()
	const records = 3000
	w := harness.NewWitness(t, 20*time.Millisecond)
	s, job := begin(t, w, records)
	w.Await(t, 700)
	if err := s.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	w.Idle(t)
	before, _, _ := w.Requests()
	<-time.After(longerThanTheLease) // a stall is nothing but time
	if now, _, _ := w.Requests(); now != before {
		t.Fatalf("%d requests of a process that stands still", now-before)
	}
	if err := s.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	w.Await(t, before+1)
	next := w.Time(before + 1)
	if out := s.End(job); out.Status != types.ModelInvocationJobStatusCompleted {
		t.Fatalf("the job ended %s: %s", out.Status, harness.Told(out))
	}
	check(t, s, job, records)
	all, prompts, most := w.Requests()
	if prompts != records || all-prompts > slots || most > slots {
		t.Errorf("%d records asked, %d repeats, %d in flight", prompts, all-prompts, most)
	}
	line := noticed.FindStringSubmatch(s.Log())
	if line == nil {
		t.Fatalf("the server did not say that it lost its lease:\n%s", s.Log())
	}
	at, err := time.Parse(time.RFC3339, line[1])
	if err != nil || next.Before(at) {
		t.Errorf("sent at %s, before it was noticed at %s, %v", next, at, err)
	}
}

// quick is how long an end takes at most: less than any wait that it could be stuck in, of which 5 s for a request and a yield are the shortest. On a
// machine that is busy it may take longer by five times as long as a start took.
const quick = 5 * time.Second

func TestWheneverItIsToldToEndItEndsWellAndAsksNothingTwice(t *testing.T) {
	t.Parallel()
	const jobs, each = 14, 150
	seed := uint64(time.Now().UnixNano())
	r := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	w := harness.NewWitness(t, 5*time.Millisecond)
	s := harness.Start(t, harness.Model(w.URL, fmt.Sprint(", max_in_flight: ", slots)))
	var made []string
	var started time.Duration // what the last start took
	for i := range jobs {
		key := fmt.Sprintf("in/%d.jsonl", i)
		s.Put(key, harness.PromptsFrom(i*each, each))
		made = append(made, s.Create(key, func(in *bedrock.CreateModelInvocationJobInput) { in.JobName = aws.String(fmt.Sprint("job-", i)) }))
		<-time.After(time.Duration(r.IntN(150)) * time.Millisecond) // in validation, while records are sent, while it publishes
		stopping := time.Now()
		code := s.Stop()
		if took := time.Since(stopping); code != 0 || took > quick+5*started {
			t.Fatalf("exit status %d after %s, where a start took %s\n%s", code, took, started, s.Log())
		}
		starting := time.Now()
		s.Start()
		started = time.Since(starting)
	}
	for i, job := range made {
		if out := s.End(job); out.Status != types.ModelInvocationJobStatusCompleted {
			t.Fatalf("job %d ended %s: %s", i, out.Status, harness.Told(out))
		}
		lines := s.Lines(job, fmt.Sprintf("%d.jsonl.out", i))
		if len(lines) != each {
			t.Errorf("job %d has %d lines", i, len(lines))
		}
		for n, l := range lines {
			if l.RecordID != fmt.Sprintf("r%d", i*each+n) || l.Error != nil {
				t.Fatalf("line %d of job %d is of %s, error %v", n+1, i, l.RecordID, l.Error)
			}
		}
	}
	if all, prompts, _ := w.Requests(); all != prompts || prompts != jobs*each {
		t.Errorf("%d requests for %d records; want %d", all, prompts, jobs*each)
	}
	s.NothingLeft(2 * jobs)
}
