package batholith

import "time"

// File is one input object of a job, as validation read it.
type File struct {
	N       int    // index, from 0, in the order of keys
	Key     string // object key in the input bucket
	ETag    string // every later read requires it; if the object has changed the read fails
	Bytes   int64
	Records int64
	CRC32C  string // CRC-32C of the bytes that validation read, 8 hexadecimal digits; "" for jobs planned by an old version
	Output  string // path below OUT/<job id>/, ends in .out
	Index   string // object key of the file's index in the output bucket
}

// ChunkState is the state of a chunk.
type ChunkState string

// The states of a chunk.
const (
	ChunkPending ChunkState = "pending" // free: a worker may claim it
	ChunkLeased  ChunkState = "leased"  // owned under Epoch until the owner's lease expires
	ChunkDone    ChunkState = "done"    // every record has a committed outcome
)

// Chunk is a range of consecutive records of one file. A worker claims the whole chunk and finishes its records
// one by one.
type Chunk struct {
	Job    string
	N      int   // from 0 within the job, in the order of the input
	File   int   // index of the file in the job
	First  int64 // first record, counted from 0 within the file
	Count  int   // number of records
	Offset int64 // first byte in the input object
	Bytes  int64 // length in bytes, from Offset to the end of the last record
	// IndexOffset and IndexBytes locate the chunk's block in the file's index object.
	IndexOffset, IndexBytes int64
	State                   ChunkState
	Owner                   string // worker id
	Epoch                   int64  // rises by one with every claim
	Done                    Bits   // records with a committed outcome; bit i is record First+i
}

// Bits is a set of small numbers. Number i is bit i%8 of byte i/8.
type Bits []byte

// NewBits returns an empty set for the numbers 0 to n-1.
func NewBits(n int) Bits { return make(Bits, (n+7)/8) }

// Has reports whether i is in the set. Numbers beyond the set's size are not.
func (b Bits) Has(i int) bool { return i/8 < len(b) && b[i/8]&(1<<(i%8)) != 0 }

// Set adds i. It panics if i is beyond the set's size.
func (b Bits) Set(i int) { b[i/8] |= 1 << (i % 8) }

// Len returns the number of members.
func (b Bits) Len() int {
	n := 0
	for _, c := range b {
		for ; c != 0; c &= c - 1 { // c&(c-1) clears the lowest bit
			n++
		}
	}
	return n
}

// Overlaps reports whether b and c have a common member.
func (b Bits) Overlaps(c Bits) bool {
	for i := range min(len(b), len(c)) {
		if b[i]&c[i] != 0 {
			return true
		}
	}
	return false
}

// Segment is an immutable object with outcomes of one job, sorted by [RecordKey]. A run is a segment merged
// from others.
type Segment struct {
	Job     string
	Key     string // object key in the output bucket
	Level   int    // 0: written from a journal; n+1: merged from segments of level n
	Bytes   int64  // size of the object
	Records int64  // number of outcomes
	Lines   int64  // total bytes of the output lines in it
	Sum     uint32 // CRC-32C of the whole object
}

// Commit makes the outcomes of a segment count. The store applies it as one transaction: completely or not at
// all.
type Commit struct {
	Segment Segment
	Worker  string // id of the worker that holds the leases
	Parts   []CommitPart
	Counts  Counts // what the segment adds to the job's counts; Total is 0
	Tokens  Tokens
	Ledger  Ledger
	Price   string // of the job's model now, see Price.String; "": there is none
}

// CommitPart is the part of a commit that concerns one chunk.
type CommitPart struct {
	Chunk int   // chunk number within the job
	Epoch int64 // the commit is rejected if the chunk has another epoch
	Done  Bits  // records that the segment contains; the commit is rejected if one of them is done already
}

// Upload is a multipart upload. Its id is stored before its first part is sent, so a crash never leaves an
// upload that nobody can abort.
type Upload struct {
	Job      string
	Key      string
	UploadID string
	Epoch    int64 // epoch of the publication that it belongs to; the upload is rejected if the job has a newer one. 0: not an output
}

// Object describes an object of a bucket, as a listing or HEAD returns it.
type Object struct {
	Key      string
	Bytes    int64
	ETag     string // opaque, without quotes; changes with the content
	Modified time.Time
}
