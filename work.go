package batholith

import "time"

// File is one input object of a job as validation saw it.
type File struct {
	N       int    // from 0, in the order of keys
	Key     string // object key in the input bucket
	ETag    string // every later read demands it; a changed object is a fault, not other data
	Bytes   int64
	Records int64
	CRC32C  string // of the object's bytes as validation read them, 8 hexadecimal digits; "" when a version that kept none planned the job
	Output  string // path below OUT/<job id>/, ends in .out
	Index   string // object key of the file's index in the output bucket
}

// ChunkState is where a chunk stands.
type ChunkState string

// The states of a chunk.
const (
	ChunkPending ChunkState = "pending" // may be claimed
	ChunkLeased  ChunkState = "leased"  // owned under Epoch, until the owner's lease runs out
	ChunkDone    ChunkState = "done"    // every record has a committed outcome
)

// Chunk is a range of consecutive records of one file that is handed out as a whole and finished record by record.
type Chunk struct {
	Job    string
	N      int // from 0 within the job, in the order of the input
	File   int
	First  int64 // first record, counted from 0 within the file
	Count  int   // records
	Offset int64 // first byte in the input object
	Bytes  int64 // from Offset to the end of the last record
	// IndexOffset and IndexBytes say where the chunk's block lies in the file's index object.
	IndexOffset, IndexBytes int64
	State                   ChunkState
	Owner                   string // worker id
	Epoch                   int64  // rises by one with every claim
	Done                    Bits   // which records have a committed outcome; bit i is record First+i
}

// Bits is a set of small numbers, bit i of byte i/8.
type Bits []byte

// NewBits returns an empty set with room for n members.
func NewBits(n int) Bits { return make(Bits, (n+7)/8) }

// Has tells whether i is in the set.
func (b Bits) Has(i int) bool { return i/8 < len(b) && b[i/8]&(1<<(i%8)) != 0 }

// Set puts i into the set, which must have room for it.
func (b Bits) Set(i int) { b[i/8] |= 1 << (i % 8) }

// Len counts the members.
func (b Bits) Len() int {
	n := 0
	for _, c := range b {
		for ; c != 0; c &= c - 1 {
			n++
		}
	}
	return n
}

// Overlaps tells whether b and c have a member in common.
func (b Bits) Overlaps(c Bits) bool {
	for i := range min(len(b), len(c)) {
		if b[i]&c[i] != 0 {
			return true
		}
	}
	return false
}

// Segment is an immutable object with outcomes of one job, sorted by [RecordKey]. A run is a segment of merged segments.
type Segment struct {
	Job     string
	Key     string // object key in the output bucket
	Level   int    // 0: straight from a journal; n+1: merged from level n
	Bytes   int64
	Records int64
	Lines   int64  // bytes of output lines in it
	Sum     uint32 // CRC-32C of the whole object
}

// Commit records that a segment's outcomes count. It is applied as one transaction or not at all.
type Commit struct {
	Segment Segment
	Worker  string
	Parts   []CommitPart
	Counts  Counts // what the segment adds; Total is 0
	Tokens  Tokens
	Ledger  Ledger
}

// CommitPart is a commit's share in one chunk.
type CommitPart struct {
	Chunk int
	Epoch int64 // refused unless it is the chunk's
	Done  Bits  // the records; refused when one of them is done already
}

// Upload is a multipart upload. Its id is stored before its first part, so that a crash leaves nothing behind that nobody knows of.
type Upload struct {
	Job      string
	Key      string
	UploadID string
	Epoch    int64 // of the publication that it belongs to, which is refused unless it is the job's; 0: it is no output
}

// Object is what a listing or a HEAD tells of an object in a bucket.
type Object struct {
	Key      string
	Bytes    int64
	ETag     string // opaque, without quotes; changes whenever the content does
	Modified time.Time
}
