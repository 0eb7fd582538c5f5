// Package results takes outcomes from the hand of the dispatcher to the output files of their job.
//
// The way of an outcome, and what is left when the process dies between two steps:
//
//	add       It is in memory and queued for the journal. Dies here: the record is asked again, as if its answer had been lost
//	          on the way. This takes microseconds, and on a busy disk as long as a write takes; the slot is not free before.
//	written   It is in a file of the journal, as far as the kernel knows. kill -9 cannot take it any more; [Writer.Recover]
//	          finds it at the next start, under the same epoch.
//	synced    20 ms later at most, and the time of one fsync: it outlives the machine's power, if its disk does.
//	segment   A second later at most, all that is pending of a job is one object in the output bucket. Until the commit nobody
//	          knows of it: Recover makes another, and [Publisher.Clean] deletes this one with all that is below .batholith/.
//	commit    One transaction: the segment exists, its records are done, the counters have risen. From here the outcome counts,
//	          and the record is asked by nobody, whichever machines are lost. Dies before the answer arrived: Recover finds the
//	          records done and passes over them.
//	freed     The journal file goes when all of its outcomes are committed or refused. Dies before that: as above.
//	run       Sixteen segments of a level become one sorted run of the next. The run's object first, then a transaction that
//	          names it in their place, then their deletion. Dies in between: an object too many, which Clean deletes.
//	publish   The runs and segments, merged in the order of records, are the output object: complete or not there at all. What
//	          another publisher could write differently, partial output and a large manifest, is always a multipart upload. A small
//	          manifest is written after the job's end was settled with it, so that nobody writes it differently.
//	begun     The bucket knows of the upload, and nobody else. Dies here: nobody can complete it; Clean aborts what is listed.
//	noted     Its id is in the database, under the epoch of the publication, before its first part. Dies here, or with some
//	          parts sent, or with the completion on its way: the next publisher, under a higher epoch, aborts it before it
//	          writes. Of an older epoch no more is noted.
//	clean     What is below .batholith/ goes, and every upload below the job's prefix. May be repeated, and is, later, for what
//	          was on its way to the bucket when its sender died.
//
// The invariant: an outcome counts by a commit and by nothing else, and a commit is never inferred. It is repeated, under the
// same key, until the store has said yes or no; what the store refused is looked up chunk by chunk. An object whose commit may
// still take effect is never deleted by the one who wrote it.
//
// Jobs do not wait for one another: each has a goroutine while it has pending outcomes, and the room that a job may take falls
// as the rest fills.
//
// The package must not know which store or which bucket is behind its ports, what an answer means, or what status a job has
// beyond the one that it is published with.
package results
