package lifecycle

import (
	"encoding/binary"
	"iter"

	"github.com/batholith/batholith"
)

// cuts are the chunks of one file in the order of the file, in about nine bytes each: a file of 1 TB has a million, and they are kept until
// the job's last file was read. What follows from the chunks before is left out.
type cuts struct {
	n    int
	code []byte // of each chunk: records, bytes since the end of the last one, bytes, bytes of its index block; as uvarints
	end  int64  // where the last chunk ends in the input object
}

// add appends a chunk. Its First, Offset and IndexOffset come after those of the chunk before.
func (c *cuts) add(chunk batholith.Chunk) {
	for _, v := range []int64{int64(chunk.Count), chunk.Offset - c.end, chunk.Bytes, chunk.IndexBytes} {
		c.code = binary.AppendUvarint(c.code, uint64(v))
	}
	c.end = chunk.Offset + chunk.Bytes
	c.n++
}

// all returns the chunks, without job, number and file.
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

// numbered returns the chunks of all files of a job, numbered from 0 in the order of the files.
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
