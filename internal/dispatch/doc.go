// Package dispatch decides which record goes next, to which backend, and what a failure means.
//
// A [Dispatcher] holds one queue for each model and network, and one lane for each backend and network. A lane serves every model that its
// backend has. Lanes to the same server share its limit (host.go). After
// validation a job is enqueued. When its turn comes, its feed claims a chunk, reads it and offers its records to the lanes, which send them.
// There is no barrier between chunks, files or jobs: a feed reads the next chunk while the last one is being sent.
//
//	feed:   wait for permission to claim → claim a chunk → read its index block and its bytes → offer its records   (feed.go, claim.go)
//	lane:   wait for a free slot → take the next record → send it in a goroutine                                    (lane.go, pick.go, take.go)
//	record: translate → send → translate back → conclude, or let the table decide about the failure                 (send.go, outcome.go)
//
// The next record of a lane is chosen in these steps:
//
//	outlook.go  A job that would miss its deadline, and can still meet it, gets nine records of ten. forecast.go computes when jobs end.
//	share.go    Principals get equal shares of the tokens. A principal's priorities get 16 : 4 : 1. Within one priority, the job with the
//	            fewest tokens left gets 3/4 and the oldest job 1/4. Other jobs get what these two cannot use.
//	walk.go     Within a job, records are sent in the order of their prompts if many prompts share beginnings, else in input order.
//	pick.go     A job may get some records before its turn, if their prompts continue those that the lane has just sent. Near the end of
//	            all work, the longest record is sent early, so that the last slots do not wait for it alone.
//	ahead.go    One record of each group of prompts is sent before its group, so that the server has cached the shared beginning.
//
// Interactive calls (interact.go, turn.go) use the same lanes and limits, and go ahead of all records.
//
// With Options.Reuse, identical records are sent once (twins.go). Package limit finds the number of slots of each lane.
//
// After a failed attempt (verdict.go) the record is dropped, is put back, waits, is sent again, or ends with an error line, or its class is
// paused on the lane. The HTTP status alone does not decide: what the lane knows about the record's class does (class.go, evidence.go,
// canary.go). Each failure is judged twice: when the attempt fails, and after the record has waited.
//
// A job moves to InProgress before its first outcome, and before one of its records is sent to a lane that has already answered something.
//
// Invariant: between claim and commit a record is in exactly one place (ready, waiting, in flight, or in the sink), and it is sent only
// while the worker's lease holds. After a crash the chunks are still under this worker's lease. The next start commits the outcomes that
// are in the journal, releases the chunks, and sends the records that were in flight again.
//
// Lock order: Dispatcher.mu, queue.mu, lane.mu, the limiter's own.
//
// The package must not know SQL, S3, HTTP or the rules of job status: it begins, halts and fails jobs through its ports.
package dispatch
