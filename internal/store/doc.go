// Package store stores jobs, plans, leases and commits in SQL.
//
// Invariant: a change that the store confirmed has happened as a whole and is on disk. Each change is one transaction, which also
// compares the state that the change depends on: the status that a job moves from, the epoch of a chunk, the token of a request.
// A crash, a second process or a cancelled context leaves all of the change or nothing. An error does not tell which, so every
// change may be repeated, and to repeat an applied change does no harm.
//
// No transaction writes more than a few thousand rows: a heartbeat waits for it, and if it waited for longer than the lease, all requests
// in flight would be cancelled. A plan, and the rows of a job that is forgotten, are written in many transactions; only the last one makes
// the change valid.
//
// Reads and writes have connections of their own, and no read waits for a writer. On SQLite one connection writes, and each reader has its own
// snapshot (WAL). On PostgreSQL several connections write, and rows are locked at the isolation level READ COMMITTED.
// The statements are for SQLite and PostgreSQL alike: numbered placeholders, integers for times. Type dialect and the folders of
// migrations hold the differences.
//
// In PostgreSQL many transactions write at the same time, at the isolation level READ COMMITTED. They lock rows in this order, so that
// they never wait for each other in a circle, and no row is one that all workers of a job have to lock:
//
//	rows               locked by
//	account            a creation, until its end
//	job                every change of the job itself: moves, notes, seal, publication, plan, tags, forgetting; the first commit of a
//	                   worker, which shares the lock with other such commits
//	progress           a commit: its worker's row; a seal or an end: all rows of the job
//	segments           a commit: its own; an exchange of segments for a run: the old ones
//	chunks, by number  a commit and a release wait for them; a claim skips those that are locked
//
// Rows of workers, duties, forecasts, loads and limits are changed by transactions of their own. If two transactions wait for each other all the
// same, PostgreSQL ends one of them, and it is repeated.
//
// Files: create.go, job.go, list.go, tags.go, event.go (jobs), move.go (statuses and notes), plan.go (files and chunks), lease.go and
// watch.go (claims and leases), commit.go, progress.go and segment.go (outcomes), publication.go, kept.go and clean.go (the end of a job), clock.go (times),
// store.go, lost.go, lock.go, schema.go (the database file), postgres.go, answer.go, listen.go (PostgreSQL: connections, lost answers, other
// processes' changes).
//
// The store must not know more about a status than whether it is terminal and accepts outcomes, nor the content of lines or segments, nor
// who calls. It logs nothing, since rows hold what clients wrote.
package store
