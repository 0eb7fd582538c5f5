// Package lifecycle moves each job from Submitted to its end. It is the only caller of the status table: a status changes only here, by
// one compare-and-swap in the store.
//
// A [Lifecycle] drives every job that is not terminal in a goroutine of its own, one status after the other:
//
//	Submitted   → Validating
//	Validating  both buckets are opened with the role, every line is read once, an index and a plan of chunks are written → Scheduled | Failed
//	Scheduled   the job is enqueued, and its turn at the model comes → InProgress
//	InProgress  records are sent; the last outcome is committed → Completed
//	Stopping    requests in flight are cancelled, finished outcomes are published → Stopped
//
// Every job with output ends by these steps, each of which may be repeated:
//
//	1 halt      no record is sent any more, finished outcomes are committed
//	2 seal      the store refuses further claims and commits of the job. In the same transaction this worker becomes the job's publisher,
//	            under a new epoch, unless another worker is
//	3 publish   writes the output objects and a large manifest: a pure function of the committed outcomes and the status
//	4 decide    fixes the terminal status, under the same epoch. A small manifest is stored with it
//	5 announce  writes the small manifest from the stored one
//	6 clean     deletes everything below .batholith/
//	7 move      sets the terminal status, with its event. A client that sees it finds the output and no temporary objects. The same
//	            transaction deletes the rows that only a running job needs, if they are few
//	8 forget    deletes these rows, if they are many
//	9 sweep     cleans the bucket again, 15 minutes later and at the start of a process
//
// What a crash leaves:
//
//   - after 1 or 2, a job that is not terminal. The next start drives it to the same end, since the reason is stored: every record is
//     processed, the deadline has passed, the status is Stopping, or batholith.Job.Failing is set, by 2. The same worker claims the
//     publication again, or another one when its lease has ended
//   - after 3, the same. The same bytes are published again, under a higher epoch
//   - after 4, 5 or 6, a decided job. It is claimed, announced, cleaned and moved, and not published again: after 6 the segments are gone
//   - after 7, rows of a terminal job. The next start cleans up
//   - after 8, the time of the sweep. Any process sweeps when it comes
//
// A stop during 1 to 3 wins: 4 is refused, and the job is driven as Stopping. From 4 on a stop is refused. If the manifest cannot be
// written at 5, or the output at 3, the results are kept (kept.go). If the clean-up fails at 6, the job is moved all the same, and the
// sweep cleans up.
//
// A job whose input is refused has no output. It is moved to Failed and cleaned up.
//
// Several processes may drive the same job, and one of them publishes. The others skip a partial publication. For the final one they wait
// until the publisher has moved the job, has failed and yielded, or is dead. When they see the terminal status, at once or some seconds
// later, they cancel their work on the job and delete what they have written since the clean-up. The sweep deletes what a process
// wrote that died before that, and requests that arrived late.
//
// The cause of a context says why work is cancelled: batholith.ErrStopped, ErrExpired, ErrShutdown, ErrMoved.
//
// The package must not know SQL, S3 or HTTP, nor how a record is sent.
package lifecycle
