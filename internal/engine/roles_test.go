package engine

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/bedrock"
	"github.com/batholith/batholith/internal/simlm"
	"github.com/batholith/batholith/internal/store"
)

// anyRole is a process's knowledge of roles: all are known.
type anyRole struct{}

func (anyRole) Known(string) bool { return true }

// front is a process that answers and runs nothing, over a handle of its own on the simulation's database.
type front struct {
	s    *simulation
	e    *Engine
	ctx  context.Context
	stop func()
}

func (s *simulation) front() *front {
	s.t.Helper()
	db, err := store.Open(s.t.Context(), filepath.Join(s.dir, "db"))
	if err != nil {
		s.t.Fatal(err)
	}
	e, err := New(Options{API: true, Shared: true, Store: db, Models: s.served(nil), Roles: anyRole{}, Limits: batholith.DefaultLimits(), Region: "us-east-1"})
	if err != nil {
		s.t.Fatal(err)
	}
	running, stop := context.WithCancel(s.t.Context())
	done := make(chan error, 1)
	go func() { done <- e.Run(running) }()
	if err := e.Recover(running); err != nil {
		s.t.Fatal(err)
	}
	return &front{s, e, bedrock.WithCaller(s.t.Context(), bedrock.Caller{Account: simAccount, Principal: "alice"}), func() {
		stop()
		if err := <-done; err != nil {
			s.t.Errorf("the API process ended by itself: %v", err)
		}
		db.Close()
	}}
}

// create has a client create a job of one file.
func (f *front) create(name string, records int) *simJob {
	f.s.t.Helper()
	out, err := f.e.Service().CreateModelInvocationJob(f.ctx, &bedrock.CreateModelInvocationJobInput{
		JobName: name, ModelID: "m0", RoleARN: "arn:aws:iam::" + simAccount + ":role/r", ClientRequestToken: name,
		InputDataConfig:  &bedrock.InputDataConfig{S3InputDataConfig: &bedrock.S3InputDataConfig{S3URI: "s3://in/"}},
		OutputDataConfig: &bedrock.OutputDataConfig{S3OutputDataConfig: &bedrock.S3OutputDataConfig{S3URI: "s3://out/"}}})
	if err != nil {
		f.s.t.Fatal(err)
	}
	return f.s.adopt(out.JobARN[strings.LastIndexByte(out.JobARN, '/')+1:], "m0", records)
}

func (f *front) status(j *simJob) batholith.Status {
	f.s.t.Helper()
	job, err := f.s.db.Find(f.ctx, j.id)
	if err != nil {
		f.s.t.Fatal(err)
	}
	return job.Status
}

// A process without worker creates jobs, and one without API runs them. They share the database and the buckets, and nothing else.
func TestAWorkerRunsTheJobsOfAnAPIProcess(t *testing.T) {
	simulate(t, 1, simSetup{calm: true, failures: &simlm.Failures{}}, func(s *simulation) {
		s.shared = true
		f := s.front()
		defer f.stop()
		j := f.create("first", 300)
		time.Sleep(time.Hour)
		if status := f.status(j); status != batholith.StatusSubmitted {
			s.t.Fatalf("a process without worker made the job %s", status)
		}
		w := s.worker("w")
		w.start()
		if w.p.engine.Service() != nil {
			s.t.Error("a process without API answers")
		}
		time.Sleep(time.Minute)
		got, err := f.e.Service().GetModelInvocationJob(f.ctx, &bedrock.GetModelInvocationJobInput{JobIdentifier: j.id})
		if err != nil || got.Status != batholith.StatusCompleted {
			s.t.Errorf("a minute later the API process says %+v, %v", got, err)
		}
		s.check(j, batholith.StatusCompleted)

		long := f.create("second", 20000)
		time.Sleep(20 * time.Second) // a worker looks every five seconds for new jobs, if nothing tells it of them
		if status := f.status(long); status != batholith.StatusInProgress {
			s.t.Fatalf("the second job is %s", status)
		}
		if _, err := f.e.Service().StopModelInvocationJob(f.ctx, &bedrock.StopModelInvocationJobInput{JobIdentifier: long.id}); err != nil {
			s.t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		s.check(long, batholith.StatusStopped)
		time.Sleep(longEnough)
		synctest.Wait()
		w.stop()
		s.checkTraces(w)
	})
}

func TestAProcessWithoutPartsIsRefused(t *testing.T) {
	if e, err := New(Options{}); err == nil {
		t.Errorf("%+v", e)
	}
}
