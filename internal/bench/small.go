package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/bedrock/types"
)

// small measures the cost of small jobs: the CPU time of the server's process per job, and the jobs per second, with a model server that
// answers at once. The jobs have 1 record, 100 records, or an input that is refused; they run one after the other, and 32 in parallel. The
// floor is a process that only does the necessary work of a job: it reads the input, asks the model, writes output and manifest, and
// syncs both and a log entry.
func small(b *bench) error {
	url, err := b.silentServer()
	if err != nil {
		return err
	}
	s, err := b.serve(fmt.Sprintf("models:\n- {id: m, family: openai, backends: [{url: %q, model: bench, max_in_flight: 64}]}\n", url))
	if err != nil {
		return err
	}
	defer s.end()
	for _, k := range []struct {
		what          string
		records       int
		cpu, rate     float64 // goals: ms of CPU time per job, jobs per second
		refused, warm bool
	}{
		{what: "1 record", records: 1, warm: true},
		{what: "1 record", records: 1, cpu: 12, rate: 80},
		{what: "100 records", records: 100, cpu: 25, rate: 40},
		{what: "refused", records: 3, refused: true, cpu: 8, rate: 120},
	} {
		input, err := s.smallInput(k.records, k.refused)
		if err != nil {
			return err
		}
		if k.warm { // the first jobs also open connections, fill caches and grow the heap
			if _, err := s.jobsOf(input, b.size(60, 20), 4, k.refused); err != nil {
				return err
			}
			continue
		}
		var floor smallCost
		if !k.refused {
			if floor, err = b.smallFloor(url, input.path, b.size(200, 40)); err != nil {
				return err
			}
		}
		for _, atOnce := range []int{1, 32} {
			got, err := s.jobsOf(input, b.size(200, 40), atOnce, k.refused)
			if err != nil {
				return err
			}
			how := "one after another"
			if atOnce > 1 {
				how = fmt.Sprintf("%d at once", atOnce)
			}
			r := row{what: fmt.Sprintf("job, %s, %s: CPU, ms", k.what, how), against: "the same without a service", reference: none, ours: got.cpu, digits: 1, goal: atMost(k.cpu)}
			rate := row{what: fmt.Sprintf("jobs, %s, %s: a second", k.what, how), against: "the same without a service", reference: none, ours: got.rate, goal: atLeast(k.rate)}
			if !k.refused {
				r.reference, rate.reference = floor.cpu, floor.rate
			}
			b.table.add(r)
			b.table.add(rate)
		}
	}
	return nil
}

// smallCost is the cost of jobs.
type smallCost struct {
	cpu  float64 // CPU time of the server per job, in ms
	rate float64 // jobs per second
}

// smallObject is an input of small jobs: a file, and the key of its object.
type smallObject struct{ path, key string }

// smallInput makes and uploads an input with that many records, or one in which every line is invalid.
func (s *server) smallInput(records int, refused bool) (o smallObject, err error) {
	o.path = s.b.unique("small") + ".jsonl"
	o.key = "in/" + o.path[strings.LastIndexByte(o.path, '/')+1:]
	err = prompts(o.path, records, 900, openaiBody)
	if refused {
		err = os.WriteFile(o.path, []byte(strings.Repeat("{\"recordId\":\"r\"}\n", records)), 0o600)
	}
	if err != nil {
		return o, err
	}
	return o, s.upload(o.key, o.path)
}

// smallLook is the time between two calls of Get, over all clients. Each call also costs the server CPU time, as in practice.
const smallLook = 5 * time.Millisecond

// jobsOf runs n jobs with one input, atOnce of them in parallel, and returns their cost.
func (s *server) jobsOf(input smallObject, n, atOnce int, refused bool) (smallCost, error) {
	var (
		wg     sync.WaitGroup
		mu     sync.Mutex
		failed error
	)
	turns := make(chan int)
	cpu, err := s.cpu()
	if err != nil {
		return smallCost{}, err
	}
	began := time.Now()
	for range atOnce {
		wg.Go(func() {
			c := s.client(0)
			for i := range turns {
				if err := s.smallJob(c, fmt.Sprintf("small-%d-%d", uniques.Add(1), i), input.key, time.Duration(atOnce)*smallLook, refused); err != nil {
					mu.Lock()
					failed = err
					mu.Unlock()
				}
			}
		})
	}
	for i := range n {
		turns <- i
	}
	close(turns)
	wg.Wait()
	took := time.Since(began)
	now, err := s.cpu()
	if failed != nil {
		err = failed
	}
	return smallCost{cpu: (now - cpu).Seconds() * 1000 / float64(n), rate: float64(n) / took.Seconds()}, err
}

// smallJob creates a job and reads it at intervals until it has ended as expected: Completed, or Failed if refused.
func (s *server) smallJob(c client, name, input string, every time.Duration, refused bool) error {
	arn, err := s.create(c, name, input)
	if err != nil {
		return err
	}
	job, err := s.over(c, arn, every, time.Minute)
	if err != nil {
		return err
	}
	want := types.ModelInvocationJobStatusCompleted
	if refused {
		want = types.ModelInvocationJobStatusFailed
	}
	if job.Status != want {
		return fmt.Errorf("the job %s is %s", arn, job.Status)
	}
	return nil
}

// cpu is the CPU time that the server's process has used so far.
func (s *server) cpu() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.child.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), ") ") // after the name, which ends with the last parenthesis
	fields := strings.Fields(rest)
	var ticks int64
	for _, at := range []int{11, 12} { // utime and stime (proc_pid_stat(5): fields 14 and 15)
		n, err := strconv.ParseInt(fields[at], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read the process's CPU time: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * (time.Second / clockTicks), nil
}

// clockTicks is USER_HZ, the unit of the kernel's times of processes.
const clockTicks = 100
