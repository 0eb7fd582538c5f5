// Package dispatch decides which record goes next, to which backend, and what a failure means.
//
// A [Dispatcher] holds one queue for each model and one lane for each backend, which serves every model that the backend has. A job that
// was validated is enqueued; when its turn comes its feed claims a chunk, reads it and offers its records, and lanes take them. There is no
// barrier between chunks, files or jobs: a feed reads the next chunk while the last one is being sent.
//
//	feed:   wait to be granted a chunk → claim it → read its index block and its bytes → offer its records     (feed.go, claim.go)
//	lane:   wait for a free slot → take the next record → send it in a goroutine                               (lane.go, pick.go, take.go)
//	record: translate → ask → translate back → conclude, or have the table say what the failure means          (send.go, outcome.go)
//
// Which record is next is decided in this order, each in a file of its own:
//
//	outlook.go  a job that would end after its time is over goes first, if that saves it (nine records of ten); forecast.go computes that
//	share.go    principals get equal shares of tokens; a principal's jobs by their priority; and of one priority, the job with the least
//	            left three quarters and the oldest one, the others what these cannot use
//	walk.go     of a job's records, the next in the order of their prompts where that pays, and else in that of the input
//	pick.go     a job may get some records before its turn that go on with the prompts that a lane has just sent; and when little is left
//	            of all jobs, the record that takes longest is not left for the end
//	ahead.go    one record of each group of prompts is sent before its group, so that the server has computed what they share
//
// With Options.Reuse, records that are the same are sent once (twins.go). How many slots a lane has is found by package limit.
//
// A failed attempt becomes one of six things (verdict.go): the record is dropped, goes back, waits, is sent again, ends with an error line,
// or its class is paused on the lane. The status of an answer does not decide that, but what the lane knows of the record's class does
// (class.go, evidence.go, canary.go). Both are judged twice: when the attempt fails, and when the record has waited.
//
// A job begins (InProgress) before one of its records goes to a lane that has answered something, and before its first outcome.
//
// The invariant: between claim and commit a record is in exactly one place (ready, waiting, in flight, or in the sink), and it is sent only
// while the worker's lease holds. What a crash leaves is the chunks under this worker's lease: outcomes in the journal are committed at the
// next start, the chunks are released, and what was in flight is asked again.
//
// Locks are taken in this order: Dispatcher.mu, queue.mu, lane.mu, and the limiter's own.
//
// The package must not know SQL, S3 or HTTP, nor what a status is: jobs are begun, halted and failed through its ports.
package dispatch
