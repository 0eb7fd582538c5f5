package main

import (
	"fmt"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
)

// control measures the API among very many finished jobs: the time of create, get and list as an AWS SDK sees it, with network and
// signature, and the time in which a server with these jobs starts.
func control(b *bench) error {
	url, err := b.silentServer()
	if err != nil {
		return err
	}
	s, err := b.serve(fmt.Sprintf("models:\n- {id: m, family: openai, backends: [{url: %q, model: bench}]}\n", url))
	if err != nil {
		return err
	}
	defer func() { s.end() }()
	if err := s.oneJob("one"); err != nil {
		return err
	}
	s.end()
	if err := s.start(); err != nil {
		return err
	}
	few := s.took
	s.end()
	many := b.size(100_000, 5_000)
	if err := s.multiply(many, true); err != nil {
		return err
	}
	if err := s.start(); err != nil {
		return err
	}
	b.table.add(row{what: fmt.Sprintf("start with %d finished jobs until /readyz, s", many), against: "with 1 job", reference: few.Seconds(),
		ours: s.took.Seconds(), digits: 3, goal: atMost(1), stretch: atMost(0.2)})
	return s.calls(many)
}

// calls measures the operations one after the other, and adds their rows. many is the number of finished jobs.
func (s *server) calls(many int) error {
	n := s.b.size(100, 20)
	floor, err := s.syncs(n)
	if err != nil {
		return err
	}
	c := s.client(0)
	var arn string
	var creates, gets, lists []float64
	for i := range n {
		creates, err = timedCall(creates, func() (err error) {
			arn, err = s.create(c, fmt.Sprintf("created-%d", i), "in/one.jsonl")
			return err
		})
		if err != nil {
			return err
		}
		if _, err := s.ended(arn, often, time.Minute); err != nil { // so that no job runs during the next create
			return err
		}
	}
	for range 3 * n {
		if gets, err = timedCall(gets, func() error { _, err := s.get(c, arn); return err }); err != nil {
			return err
		}
		lists, err = timedCall(lists, func() error {
			_, err := c.ListModelInvocationJobs(s.b.ctx, &bedrock.ListModelInvocationJobsInput{MaxResults: aws.Int32(100)})
			return err
		})
		if err != nil {
			return err
		}
	}
	s.b.table.add(row{what: "create, durable, ms, p50", against: "a write and fsync", digits: 2, reference: floor, ours: quantile(creates, 0.5), goal: atMost(5), stretch: atMost(1)})
	s.b.table.add(row{what: "get, ms, p50", reference: none, digits: 2, ours: quantile(gets, 0.5), goal: atMost(2), stretch: atMost(0.5)})
	s.b.table.add(row{what: fmt.Sprintf("a page of 100 of a list of %d jobs, ms, p50", many), reference: none, digits: 2, ours: quantile(lists, 0.5), goal: atMost(10), stretch: atMost(2)})
	return nil
}

// timedCall makes a call and appends its time, in ms.
func timedCall(to []float64, call func() error) ([]float64, error) {
	began := time.Now()
	err := call()
	return append(to, time.Since(began).Seconds()*1000), err
}

// syncs measures the floor of a durable write: the median time, in ms, to append a page of 4 KiB to a file beside the database and to sync
// it.
func (s *server) syncs(n int) (float64, error) {
	f, err := os.Create(s.data + "/floor")
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	var took []float64
	page := make([]byte, 4096)
	for range n {
		took, err = timedCall(took, func() error {
			if _, err := f.Write(page); err != nil {
				return err
			}
			return f.Sync()
		})
		if err != nil {
			return 0, err
		}
	}
	return quantile(took, 0.5), nil
}
