// Package results stores the outcomes that dispatch has finished, and writes the output files of jobs from them.
//
// The steps of an outcome, and what a crash after each of them leaves:
//
//	add       The outcome is in memory and queued for the journal. Crash: the record is sent again, as if its answer had been lost.
//	          The step takes microseconds, or on a busy disk the time of a write. The slot is released only after it.
//	written   The outcome is in a journal file, written but not synced. It survives kill -9: [Writer.Recover]
//	          finds it at the next start, and commits it under the same epoch.
//	synced    After at most 20 ms and the time of one fsync, the outcome survives a loss of power.
//	segment   After at most 1 s, all pending outcomes of a job are one object in the output bucket. Crash: no row names the
//	          object. Recover makes another one, and [Publisher.Clean] deletes this one with everything below .batholith/.
//	commit    One transaction adds the segment, marks its records as done and adds to the counters. From here the outcome counts,
//	          and the record is never sent again, whichever machines are lost. Crash before the answer of the transaction:
//	          Recover finds the records done and skips them.
//	freed     A journal file is deleted when all of its outcomes are committed or refused. Crash before: as after commit.
//	run       24 segments of a level (mergeWidth) become one sorted run of the next level. First the run's object is written, then a
//	          transaction replaces the segments by the run, then their objects are deleted. Crash: one object more, which Clean deletes.
//	publish   The runs and segments, merged in the order of records, become the output object: complete or not at all. Objects that
//	          two publishers could write differently (partial output, a large manifest) are always multipart uploads. A small manifest
//	          is written after the job's end was decided with it, so that all publishers write the same one.
//	begun     An upload has begun, and only the bucket knows it. Crash: nobody can complete it; Clean aborts the uploads that the bucket lists.
//	noted     The upload's id is in the database, under the epoch of the publication, before its first part. Crash here or later: the
//	          next publisher, under a higher epoch, aborts the upload before it writes. The store accepts no id under an older epoch.
//	clean     Everything below .batholith/ is deleted, and every upload below the job's prefix is aborted. Clean is repeated later, for
//	          requests that were on their way to the bucket when their sender died.
//
// Invariant: only a commit makes an outcome count, and a commit is never inferred. It is repeated, under the same key, until the store
// has accepted or refused it. After a refusal the chunks say which outcomes may still be committed. A worker never deletes an object
// whose commit may still take effect.
//
// Jobs do not wait for each other: each has a goroutine while it has pending outcomes, and the memory that one job may use shrinks
// as the total grows.
//
// The package must not know which store or bucket is behind its ports, what an answer means, or any status of a job except the one that
// it is published with.
package results
