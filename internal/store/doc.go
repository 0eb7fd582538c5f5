// Package store keeps jobs, plans, leases and commits in SQL.
//
// Its one invariant: whatever the store answered has happened, is on disk, and happened as a whole. A change is one
// transaction that compares what it stands on (the status a job moves from, the epoch of a chunk, the token of a request)
// in the same transaction that writes. A crash, a second process or a cancelled context leaves all of it or nothing; an
// error alone does not tell which, so every change may be repeated, and a repetition of what happened does no harm.
//
// No transaction writes more than some thousand rows, since a heartbeat that waits for it longer than its lease costs every job its
// requests. A plan, and the rows of a job that is forgotten, are written in many, and count with the last one only.
//
// One connection writes; a few others read, each from its own snapshot (SQLite: WAL), so that no read waits for a writer.
// The statements are written for SQLite and PostgreSQL alike: numbered placeholders, integers for times. What differs
// between the two is in type dialect and in the folder of migrations.
//
// The store must not know what a status means beyond whether it is terminal and takes outcomes, how lines or segments look
// inside, or who calls. It logs nothing: rows hold what clients wrote.
package store
