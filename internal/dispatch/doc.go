// Package dispatch decides which record goes next, to which backend, and how many are in flight at once.
//
// A [Dispatcher] holds one queue for each model and one lane for each backend of a model. A job that was validated is enqueued; when
// its turn comes it is opened: it is granted its first chunk, and from then on the lanes take its records. There is no barrier between
// chunks, files or jobs: a feed reads the next chunk while the last one is being sent.
//
//	lane:  wait for a free slot → take the next record of the queue → send it in a goroutine → settle it
//	feed:  wait to be granted a chunk → claim it → read its index block and its bytes → offer its records
//
// Which record is next is decided in this order, each in a file of its own:
//
//	outlook.go  a job that would end after its time is over goes first, if that saves it (nine records of ten); forecast.go reckons that
//	share.go    principals get equal shares of tokens; a principal's jobs by their priority; and of one priority, the job with the least
//	            left three quarters and the oldest one, the others what these cannot use
//	walk.go     of a job's records, the next in the order of their prompts where that pays, and else in that of the input
//	pick.go     a job may get some records out of turn that go on with the prompts that a lane has just sent; and when little is left
//	            of all jobs, the record that takes longest is not left for the end
//
// With Options.Reuse, records that are the same are sent once (twins.go).
//
// How many slots a lane has is found by its limiter, from what the backend publishes, its gauges, its refusals, or the work that comes
// back; a second goroutine of the lane reads the gauges while requests are in flight.
//
// Settling a record is one of four things: its outcome goes to the sink (an answer, or an error line); it waits and is tried again, the
// attempt counted; it goes back at once, nothing counted (back-pressure, or a backend that is misconfigured); or it is let go, because
// the job was halted or the lease was lost.
//
// A record whose request broke off may have crashed the backend, or been beside one that did. After two such crashes it is sent with
// nothing beside it, and only a crash then ends it with an error.
//
// The invariant: between claim and commit a record is in exactly one place (ready, waiting to be retried, in flight, or in the sink), and
// it is sent only while the worker's lease holds. What a crash leaves is the chunks under this worker's lease: outcomes in the journal
// are committed at the next start, the chunks are released, and what was in flight is asked again.
//
// The package must not know SQL, S3 or HTTP, nor what a status is: jobs are begun, halted and failed through its ports.
package dispatch
