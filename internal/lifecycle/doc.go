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
//	2 seal      the store takes no claim and no commit of it any more
//	3 publish   the output objects and the manifest, a pure function of the committed outcomes
//	4 move      the terminal status, with its event
//	5 clean     everything below .batholith/ and the rows that only a running job needs
//
// A crash after 1 or 2 leaves a job that is not terminal: the next start drives it again and comes to the same end, since why it ends
// can be read off the stored job (every record processed, the time passed, Stopping, or the reason of a failure as its message). After 3
// the same bytes are published once more. After 4 the next start finds rows of a terminal job and cleans. A stop that arrives during 1
// to 3 wins: the move at 4 is refused, and the job is driven as Stopping.
//
// Several processes may drive the same job. Each move is one process's; the others see it, at once or some seconds later, call off what
// they have of the job, and clean up what they wrote since.
//
// Why work is called off travels as the cause of its context: batholith.ErrStopped, ErrExpired, ErrShutdown.
//
// The package must not know SQL, S3 or HTTP, nor how a record is sent.
package lifecycle
