package dispatch

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
)

// begunJobs are the jobs that were begun, in order.
func (w *world) begunJobs() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return fmt.Sprint(w.begun)
}

// With one slot, which the first job has for hours, the others have begun nothing: they are Scheduled, and Expired when their time is over.
func TestAJobHasBegunWhenItsRecordsAreBeingSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := &server{limit: 1, do: func(ctx context.Context, body string, nth int) ([]byte, error) {
			if body == `{"n":1}` && nth == 1 {
				return wait(ctx, 90*time.Minute)
			}
			return wait(ctx, time.Second)
		}}
		d := w.dispatcher(Options{}, s)
		defer w.start(d)()
		d.Enqueue(w.job("held", 2, 2))
		time.Sleep(10 * time.Second)
		for _, job := range []string{"second", "third"} {
			d.Enqueue(w.job(job, 10, 10))
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := w.begunJobs(); got != "[held]" {
			t.Errorf("begun: %s", got)
		}
		if err := d.Halt(t.Context(), "third", batholith.ErrExpired); err != nil {
			t.Fatal(err)
		}
		w.await(10, "second")
		if got := w.begunJobs(); got != "[held second]" {
			t.Errorf("begun: %s", got)
		}
		if all, _ := s.requests(); all > 12 || w.count("third") > 0 {
			t.Errorf("%d requests, and %d outcomes of a job that never began", all, w.count("third"))
		}
	})
}

// A job whose records are read and wait behind others' has begun nothing either.
func TestAJobThatWaitsBehindOthersHasNotBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t), answering(time.Second)
		s.limit = 1
		d := w.dispatcher(Options{}, s)
		defer w.start(d)()
		for _, j := range []struct {
			name    string
			records int
		}{{"oldest", 500}, {"shortest", 400}, {"third", 450}, {"fourth", 460}} {
			d.Enqueue(w.job(j.name, j.records, 100))
			synctest.Wait()
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if got := w.begunJobs(); got != "[oldest shortest]" {
			t.Errorf("begun: %s", got)
		}
		w.await(400, "shortest")
		w.await(1, "third")
		if got := w.begunJobs(); got != "[oldest shortest third]" {
			t.Errorf("begun: %s", got)
		}
	})
}

// A server that has not answered yet may not work at all: what is sent to find that out begins no job.
func TestTrialsBeginNoJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		mended := time.Now().Add(30 * time.Minute)
		s := &server{limit: 4, do: func(ctx context.Context, _ string, _ int) ([]byte, error) {
			if time.Now().Before(mended) {
				return nil, &batholith.Failure{Kind: batholith.FailureMisconfigured, Status: 401, Public: "host answered 401; check the API key", Sent: true}
			}
			return wait(ctx, time.Second)
		}}
		d := w.dispatcher(Options{}, s)
		defer w.start(d)()
		d.Enqueue(w.job("a", 100, 100))
		time.Sleep(25 * time.Minute)
		synctest.Wait()
		if got := w.begunJobs(); got != "[]" {
			t.Errorf("begun: %s", got)
		}
		if note := w.note("a"); !strings.Contains(note, "check the API key") {
			t.Errorf("note %q", note)
		}
		w.await(100, "a")
		if got := w.begunJobs(); got != "[a]" || w.errors("a") > 0 {
			t.Errorf("begun: %s, %d errors", got, w.errors("a"))
		}
	})
}

// A job that is not to begin any more has nothing sent, and no outcome.
func TestAJobThatMayNotBeginIsLetGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t), answering(time.Second)
		d := w.dispatcher(Options{}, s)
		begin := d.o.Begin
		d.o.Begin = func(ctx context.Context, job string) error {
			if job == "stopped" {
				return fmt.Errorf("begin: %w", batholith.ErrMoved)
			}
			return begin(ctx, job)
		}
		defer w.start(d)()
		d.Enqueue(w.job("stopped", 100, 100))
		d.Enqueue(w.job("other", 1000, 100))
		w.await(1000, "other")
		if n := w.count("stopped"); n > 0 || len(w.faults) > 0 {
			t.Errorf("%d outcomes, faults %v", n, w.faults)
		}
	})
}

// A database that does not answer when a job begins holds up nothing of the jobs that have begun.
func TestABeginThatHangsHoldsUpNoOtherJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t), answering(time.Second)
		s.limit = 8
		d := w.dispatcher(Options{}, s)
		begin := d.o.Begin
		d.o.Begin = func(ctx context.Context, job string) error {
			if job == "hangs" {
				<-ctx.Done()
				return context.Cause(ctx)
			}
			return begin(ctx, job)
		}
		defer w.start(d)()
		d.Enqueue(w.job("first", 100, 100))
		w.await(10, "first")
		d.Enqueue(w.job("hangs", 100, 100))
		w.await(100, "first")
		d.Enqueue(w.job("last", 100, 100))
		took := time.Now()
		w.await(100, "last")
		if d := time.Since(took); d > time.Minute {
			t.Errorf("it took %v", d)
		}
	})
}
