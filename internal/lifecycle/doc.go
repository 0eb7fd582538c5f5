// Package lifecycle takes each job from Submitted to its end. It is the only caller of the status table: a status changes here, by
// one compare-and-swap in the store, or nowhere.
//
// A [Lifecycle] drives every job that is not terminal in a goroutine of its own, one status after the other:
//
//	Submitted   → Validating
//	Validating  the role reaches both buckets, every line is read once, an index is written, chunks are planned → Scheduled | Failed
//	Scheduled   enqueued; its turn at the model comes → InProgress
//	InProgress  records are sent; the last outcome is committed → Completed
//	Stopping    what is in flight is called off, what was finished is published → Stopped
//
// The end of a job that has output is always the same, whatever ended it, and each step may be repeated:
//
//	1 halt      nothing of it is sent any more, finished outcomes are committed
//	2 seal      the store takes no claim and no commit of it any more; in the same transaction this worker becomes the job's publisher,
//	            under a new epoch, unless another is
//	3 publish   the output objects and a large manifest, a pure function of the committed outcomes and of the status
//	4 decide    that the job becomes what the output says and nothing else, under the same epoch; a small manifest is stored with it
//	5 announce  the small manifest, from what was stored
//	6 clean     everything below .batholith/
//	7 move      the terminal status, with its event: who sees it finds the output and nothing beside it; in the same transaction the rows
//	            that only a running job needs are deleted, if they are not many
//	8 forget    those rows, if they are
//	9 sweep     the bucket once more, a quarter of an hour later and at the start of a process
//
// A crash after 1 or 2 leaves a job that is not terminal: the next start drives it again and comes to the same end, since why it ends
// can be read off the stored job: every record processed, the time passed, Stopping, or batholith.Job.Failing, which 2 stores. The same
// worker claims again, and another when its lease has run out. After 3 the same bytes are published once more, under a higher epoch. After
// 4, 5 and 6 the job is not published again, which after 6 could not be done, but claimed, announced, cleaned and moved. After 7 the next
// start finds rows of a terminal job and cleans. After 8 any process finds when the job is due. A stop that arrives during 1 to 3 wins: 4
// is refused, and the job is driven as Stopping. From 4 on it is refused as that of a job that is over. A manifest that cannot be written
// at 5 has the job keep its results, as an output that cannot be written at 3 does: nothing was cleaned up yet. A clean-up that fails at 6
// keeps the output from nobody: the move is made, and the sweep cleans.
//
// A job whose input was refused has no output: it is cleaned up, and moved to Failed and forgotten in one transaction.
//
// Several processes may drive the same job. One of them publishes: a partial output is left to whoever does so already, the final one
// is waited for until the other has made the move, has failed and yielded, or is dead. The others see the move, at once or some
// seconds later, call off what they have of the job, and clean up what they wrote since. What a process wrote that died before it saw the
// move, or what was on its way to the bucket by then, goes with the sweep.
//
// Why work is called off travels as the cause of its context: batholith.ErrStopped, ErrExpired, ErrShutdown.
//
// The package must not know SQL, S3 or HTTP, nor how a record is sent.
package lifecycle
