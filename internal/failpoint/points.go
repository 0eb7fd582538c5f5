package failpoint

// Point is a place in the program where a test can kill it.
type Point struct {
	Name string // PACKAGE.WHAT-HAS-HAPPENED
	Left string // what a crash there leaves
}

// Points lists every point, in the order in which the service and a job reach them.
func Points() []Point {
	return []Point{
		{"config.data-made", "a data directory with a lock and nothing else"},
		{"files.file-written", "a file under its temporary name: the first key, the worker's id or the addresses"},
		{"store.file-made", "an empty database file"},
		{"store.migrated", "a database without jobs"},
		{"cli.s3-opened", "a bucket without objects"},
		{"cli.recovered", "a journal that was taken up, and released chunks"},
		{"control.created", "a job that its client has not heard of"},
		{"lifecycle.moved", "a status that nobody acts on yet"},
		{"lifecycle.probed", "the object that tried the access to the output"},
		{"lifecycle.indexed", "the index of a file, and no plan"},
		{"lifecycle.reusable", "the same, with a table of earlier answers"},
		{"store.plan-begun", "a Validating job whose earlier plan, if it had one, is withdrawn, and a plan of many rows that was begun"},
		{"store.plan-half", "a Validating job with some chunks of a plan, which nobody sees"},
		{"lifecycle.begun", "an InProgress job without a claim"},
		{"dispatch.claimed", "a chunk under this worker's name"},
		{"dispatch.reused", "a chunk some of whose records have the answers of an earlier job"},
		{"dispatch.answered", "an answer that is nowhere"},
		{"results.journalled", "a frame in the journal"},
		{"results.stored", "a segment that no transaction names"},
		{"results.committed", "a job that is further along, and its frames in the journal"},
		{"results.merged", "a run that no transaction names"},
		{"results.exchanged", "segments that a run has replaced"},
		{"lifecycle.stopping", "a Stopping job whose client has not heard of it"},
		{"lifecycle.halted", "a job that has ended and is not terminal"},
		{"lifecycle.sealed", "the same, to which nobody can commit, and a publisher that has written nothing"},
		{"results.begun", "an upload that no row names"},
		{"results.registered", "an upload without parts, and its row"},
		{"results.published", "the output of a file, and no manifest"},
		{"results.manifested", "the whole output of a job that is not terminal, with a large manifest"},
		{"lifecycle.decided", "a job that can only become what its output says, what the output was made of, and a manifest in the database"},
		{"results.announced", "the same, and the manifest in the output"},
		{"lifecycle.kept", "a job that can only become Failed, and whose results nobody cleans up"},
		{"lifecycle.kept-published", "the output of a job whose results are still kept"},
		{"lifecycle.cleaned", "the same, with nothing but the output in the bucket"},
		{"lifecycle.ended", "rows of a terminal job"},
		{"lifecycle.forgotten", "nothing beside the job and its output, and that it is to be cleaned up once more"},
		{"lifecycle.swept", "the same; or, once it was due, nothing"},
		{"dispatch.drained", "a worker that has chunks and does not send"},
		{"dispatch.released", "an orderly end, but for the journal"},
		{"results.closed", "an orderly end of everything but the S3 and the database"},
	}
}

// BatchPoints lists the points that only batches of OpenAI's API pass, and jobs whose output is in OpenAI's lines, in their order.
func BatchPoints() []Point {
	return []Point{
		{"openai.expiry-stored", "the object that stores the expiry of a file, without the file"},
		{"openai.file-stored", "a file whose client has not heard of it"},
		{"openai.file-deleted", "the object that stores the expiry of a deleted file"},
		{"results.untried", "the same as lifecycle.sealed, with a part of the lines of records that were never tried"},
		{"results.errors-published", "the errors of a file whose output is in OpenAI's lines, and perhaps not its answers"},
	}
}

// HeldPoints lists the points of jobs that are paused, or have a sample or a cap, in their order.
func HeldPoints() []Point {
	return []Point{
		{"control.paused", "a paused job whose client has no answer yet, and whose records are in flight"},
		{"dispatch.rested", "a paused job whose outcomes are committed, with chunks and a reservation under this worker's name"},
		{"dispatch.unreserved", "the same, without the reservation"},
		{"dispatch.let-go", "a paused job without chunks or reservations of any worker"},
		{"control.resumed", "a resumed job whose client has no answer yet"},
		{"dispatch.sample-claimed", "the chunks of a sample under this worker's name"},
		{"dispatch.sample-judged", "a sample whose records have ended, which the job's row does not say"},
		{"dispatch.sample-passed", "a job without a sample, whose other records nobody has sent"},
		{"dispatch.sample-failed", "a paused job whose sample failed, with chunks under this worker's name"},
		{"dispatch.reserved", "a reservation for records that were not sent"},
		{"dispatch.settled", "outcomes that count both as stored and as reserved"},
		{"dispatch.capped", "a job that a cap has paused, with chunks and a reservation under this worker's name"},
	}
}

// MovePoints lists the points of a move of jobs to another database, in their order. No running service passes them.
func MovePoints() []Point {
	return []Point{
		{"store.copy-begun", "a SQLite database with the mark of a move, and a target that knows nothing of it"},
		{"store.copy-claimed", "the same, and a target without jobs that no server may use"},
		{"store.copy-half", "the same: the rows were not committed"},
		{"store.copy-whole", "all jobs in the target, and a mark that does not say so"},
	}
}

// ForgetPoints lists the points of forgetting a job, in their order. Only a process that forgets one passes them.
func ForgetPoints() []Point {
	return []Point{
		{"lifecycle.withdrawn", "rows of a job that is to be forgotten, and no object of it"},
		{"lifecycle.erased", "bytes of deleted rows in the files of the database"},
	}
}

// BackupPoints lists the points of a backup, of a restoration, and of the first start after it, in their order.
func BackupPoints() []Point {
	return []Point{
		{"backup.copied", "contents that no list names"},
		{"backup.settled", "all contents of a backup, and no list"},
		{"backup.restored", "a whole data directory under another name"},
		{"lifecycle.compared", "a restored job that nobody claims, and segments of it that no row names"},
	}
}

// SharedPoints lists the points that only a worker of a shared database passes.
func SharedPoints() []Point {
	return []Point{
		{"lifecycle.undertaken", "a job that this worker was to validate; another one does when the lease is lost"},
	}
}
