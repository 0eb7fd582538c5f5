// Package storetest holds the laws of a store of jobs. Every implementation runs them: [Run] with a function that opens it.
//
// The laws are tests of what callers rely on, and of nothing else: they know no SQL and no file.
package storetest

import (
	"context"
	"iter"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
)

// Port is all that a store does. Its users have interfaces of their own, with what they need of it.
type Port interface {
	Table
	Tags
	Life
	History
	Plans
	Leases
	Commits
	Uploads
	Publications
	Keeping
	Pausing
	Draining
	Spending
	Forgetting
	Restoring
	Memory
	Sharing
	Processes
	Usages
	Censuses
	Check(ctx context.Context) error
}

// Table creates and finds jobs.
type Table interface {
	CreateJob(ctx context.Context, j batholith.Job, requestHash string, maxActive int) (batholith.Job, error)
	JobOfToken(ctx context.Context, account, token, requestHash string) (batholith.Job, error)
	Job(ctx context.Context, account, id string) (batholith.Job, error)
	Jobs(ctx context.Context, q batholith.ListQuery) (jobs []batholith.Job, next int64, err error)
	Unfinished(ctx context.Context) ([]batholith.Job, error)
	Unclean(ctx context.Context) ([]string, error)
	Unswept(ctx context.Context, until time.Time) ([]string, error)
}

// Tags reads and changes the tags of a job.
type Tags interface {
	Tags(ctx context.Context, account, id string) ([]batholith.Tag, error)
	Tagged(ctx context.Context, key string) (map[string]string, error)
	PutTags(ctx context.Context, account, id string, tags []batholith.Tag, limit int) error
	DeleteTags(ctx context.Context, account, id string, keys []string) error
}

// Life takes a job from its creation to its end, and beyond.
type Life interface {
	Move(ctx context.Context, id string, from, to batholith.Status, message string, at time.Time) error
	Note(ctx context.Context, id, message string) error
	Unnote(ctx context.Context, id, note string) error
	SealToPublish(ctx context.Context, id, why, worker string) (epoch int64, err error)
	Forget(ctx context.Context, id string, sweep time.Time) error
	Swept(ctx context.Context, id string, now time.Time) error
}

// History tells of changes: that there was one, and which.
type History interface {
	Subscribe() (changes <-chan struct{}, cancel func())
	Events(ctx context.Context, seq int64, limit int) ([]batholith.Change, error)
	History(ctx context.Context, id string) ([]batholith.Change, error)
	AccountEvents(ctx context.Context, account string, before int64, limit int) ([]batholith.Change, error)
	PutPoints(ctx context.Context, all []batholith.Point) error
	Points(ctx context.Context, id string) ([]batholith.Point, error)
}

// Draining keeps which model servers get no new requests.
type Draining interface {
	Drain(ctx context.Context, address, by string) error
	Undrain(ctx context.Context, address string) error
	Drains(ctx context.Context) ([]batholith.Drain, error)
}

// Plans keeps what validation found.
type Plans interface {
	Plan(ctx context.Context, id string, files []batholith.File, chunks []batholith.Chunk, total int64) error
	Accept(ctx context.Context, id string, files []batholith.File, chunks iter.Seq[batholith.Chunk], total int64, at time.Time) error
	Files(ctx context.Context, id string) ([]batholith.File, error)
	PlanFrom(ctx context.Context, id string, files []batholith.File, chunks iter.Seq[batholith.Chunk], total int64) error
	Chunks(ctx context.Context, id string) ([]batholith.Chunk, error)
	ChunksOf(ctx context.Context, id string, numbers []int) ([]batholith.Chunk, error)
}

// Leases hands chunks to workers.
type Leases interface {
	Claim(ctx context.Context, worker, id string, n int, now time.Time) ([]batholith.Chunk, error)
	ClaimLost(ctx context.Context, worker, id string, n int) ([]batholith.Chunk, error)
	Release(ctx context.Context, worker, id string) error
	Heartbeat(ctx context.Context, worker string, until time.Time) error
}

// Commits makes outcomes count, and keeps the segments that hold them.
type Commits interface {
	Commit(ctx context.Context, c batholith.Commit) (batholith.Counts, error)
	Ledger(ctx context.Context, id string) (batholith.Ledger, error)
	Segments(ctx context.Context, id string) ([]batholith.Segment, error)
	ReplaceSegments(ctx context.Context, id string, old []string, run batholith.Segment) (read bool, err error)
}

// Uploads remembers multipart uploads.
type Uploads interface {
	PutUpload(ctx context.Context, u batholith.Upload) error
	Uploads(ctx context.Context, id string) ([]batholith.Upload, error)
	DeleteUpload(ctx context.Context, u batholith.Upload) error
}

// Publications let one worker at a time write a job's output.
type Publications interface {
	ClaimPublication(ctx context.Context, id, worker string, final bool, now time.Time) (epoch int64, err error)
	YieldPublication(ctx context.Context, id string, epoch int64) error
	RestPublication(ctx context.Context, id string, epoch int64) error
	Decide(ctx context.Context, id string, epoch int64, from, to batholith.Status, message string, manifest []byte) error
	Decided(ctx context.Context, id string) (message string, manifest []byte, err error)
	End(ctx context.Context, id string, epoch int64, at, sweep time.Time) (forgotten bool, err error)
}

// Keeping keeps the results of jobs whose output could not be written.
type Keeping interface {
	DecideKept(ctx context.Context, id string, epoch int64, from batholith.Status, message string) error
	PublishKept(ctx context.Context, account, id string) error
	DiscardKept(ctx context.Context, account, id string) error
	Discarded(ctx context.Context, id, message string, at time.Time) error
	Asked(ctx context.Context) ([]string, error)
	Published(ctx context.Context, id string, epoch int64, message string, at time.Time) error
	Unpublished(ctx context.Context, id, why string) error
}

// Pausing pauses jobs and lets them go on.
type Pausing interface {
	PauseJob(ctx context.Context, account, id, reason string) error
	ResumeJob(ctx context.Context, account, id string) error
	Paused(ctx context.Context) ([]string, error)
	PauseJobUntil(ctx context.Context, id, reason string, until time.Time) error
	ClaimSample(ctx context.Context, worker, id string, n int) (chunks []batholith.Chunk, passed bool, err error)
	PassSample(ctx context.Context, id string) error
}

// Spending adds up what records took.
type Spending interface {
	Spent(ctx context.Context, q batholith.SpentQuery) ([]batholith.Spent, error)
	Reserve(ctx context.Context, worker string, j batholith.Job, base, need batholith.Amount, caps []batholith.Cap) (batholith.Allowance, error)
	Unreserve(ctx context.Context, worker, id string) error
	ResumeDue(ctx context.Context, id string) error
}

// Memory keeps what was learned of backends.
type Memory interface {
	Learned(ctx context.Context, backend, model string) (batholith.Learned, error)
	Learn(ctx context.Context, l batholith.Learned) error
}

// Processes is what the processes of a service know of each other, and how they divide work that is not done by the chunk.
type Processes interface {
	Shared(ctx context.Context, name string, value []byte) ([]byte, error)
	PutReach(ctx context.Context, p batholith.Process) error
	Processes(ctx context.Context) ([]batholith.Process, error)
	Undertake(ctx context.Context, worker, duty string) (bool, error)
	Receiver(ctx context.Context, name string) (int64, error)
	PutReceiver(ctx context.Context, name string, seq int64) error
	RetireReceivers(ctx context.Context, keep []string) (gone map[string]int64, err error)
	Resign(ctx context.Context, worker, duty string) error
	TidyProcesses(ctx context.Context) error
	Stopping(ctx context.Context) ([]string, error)
	LeasedByOthers(ctx context.Context, worker, id string) (bool, error)
	PutForecasts(ctx context.Context, worker string, all []batholith.JobForecast) error
	Forecasts(ctx context.Context, ids []string) (map[string]batholith.Forecast, error)
	PutFirstError(ctx context.Context, id string, e batholith.RecordError) error
	FirstError(ctx context.Context, id string) (*batholith.RecordError, error)
}

// Usages keep what interactive calls took.
type Usages interface {
	PutUsage(ctx context.Context, all []batholith.Usage) error
	UsedBeside(ctx context.Context, account, principal string, day int64, process string) (tokens int64, err error)
}

// A law is one test of a store that is empty when it begins.
type law struct {
	name string
	test func(*testing.T, Port)
}

// Run tests every law on stores that open returns, each empty and closed by open when the test ends. Each law runs in a bubble of virtual
// time, so that leases end without a wait.
func Run(t *testing.T, open func(*testing.T) Port) {
	for _, group := range []struct {
		name string
		laws []law
	}{
		{"Creation", creation()}, {"List", listing()}, {"Status", statuses()}, {"Events", happening()}, {"Points", plotting()}, {"Tags", tagging()}, {"Plan", planning()},
		{"Lease", leasing()}, {"Commit", committing()}, {"Progress", progressing()}, {"Publication", publishing()}, {"Keeping", keeping()}, {"Pausing", pausing()}, {"Needs", needing()}, {"Draining", draining()}, {"Forgetting", forgettingLaws()}, {"Restoring", restoring()}, {"Spending", spending()}, {"Cleaning", cleaning()}, {"Memory", learning()}, {"Sharing", sharing()}, {"Processes", processes()}, {"Usage", using()}, {"Census", counting()}, {"Model", models()},
	} {
		t.Run(group.name, func(t *testing.T) {
			for _, l := range group.laws {
				t.Run(l.name, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { l.test(t, open(t)) })
				})
			}
		})
	}
}
