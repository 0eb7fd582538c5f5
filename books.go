package batholith

// Books say what is done of a job, as its bucket shows it. They are made for a job of a restored database, which may be older than the bucket.
type Books struct {
	Before   []string  // keys of the segments that the database named when the bucket was read
	Segments []Segment // whole segments of the job; no two have a record in common
	Done     map[int]DoneChunk
	Counts   Counts // Total is not used
	Tokens   Tokens
	Ledger   Ledger

	// Ended is not nil if the job's manifest is in the bucket: the job had ended. Then nothing else is set.
	Ended *Manifest
	// Adopted are the records that the database did not know of, and Missing the segments that it named and that are not there.
	Adopted, Missing int64
}

// DoneChunk is the state of a chunk in [Books].
type DoneChunk struct {
	Records Bits // that have an outcome
	All     bool // all have
}
