package lifecycle

import (
	"encoding/binary"
	"iter"

	"github.com/batholith/batholith"
)

// cuts are the chunks of one file, in about nine bytes each: a file of 1 TB has a million chunks, which are in memory until the job's last
// file is read. Values that follow from the chunks before are not stored.
type cuts struct {
	n    int
	code []byte // for each chunk, as uvarints: records, bytes since the end of the chunk before, bytes, bytes of its index block
	end  int64  // end of the last chunk in the input object, in bytes
}

// add appends a chunk, which must follow the chunk before in First, Offset and IndexOffset.
func (c *cuts) add(chunk batholith.Chunk) {
	for _, v := range []int64{int64(chunk.Count), chunk.Offset - c.end, chunk.Bytes, chunk.IndexBytes} {
		c.code = binary.AppendUvarint(c.code, uint64(v))
	}
	c.end = chunk.Offset + chunk.Bytes
	c.n++
}

// all yields the chunks, without Job, N and File.
func (c *cuts) all() iter.Seq[batholith.Chunk] {
	return func(yield func(batholith.Chunk) bool) {
		var first, end, index int64
		for code := c.code; len(code) > 0; {
			var v [4]int64
			for i := range v {
				u, n := binary.Uvarint(code)
				v[i], code = int64(u), code[n:]
			}
			chunk := batholith.Chunk{First: first, Count: int(v[0]), Offset: end + v[1], Bytes: v[2], IndexOffset: index, IndexBytes: v[3], State: batholith.ChunkPending}
			first, end, index = first+v[0], chunk.Offset+chunk.Bytes, index+v[3]
			if !yield(chunk) {
				return
			}
		}
	}
}

// numbered yields the chunks of all files of a job, numbered from 0 in the order of the files.
func numbered(job string, plans []*plan) iter.Seq[batholith.Chunk] {
	return func(yield func(batholith.Chunk) bool) {
		n := 0
		for _, p := range plans {
			for c := range p.chunks.all() {
				c.Job, c.N, c.File = job, n, p.file.N
				if n++; !yield(c) {
					return
				}
			}
		}
	}
}
