package lifecycle

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/batholith/batholith"
)

func TestChunksAreReadBackAsTheyWereCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var plans []*plan
		var want []batholith.Chunk
		for file := range rapid.IntRange(0, 4).Draw(t, "files") {
			p := &plan{file: batholith.File{N: file}}
			var first, end, index int64
			for range rapid.IntRange(0, 20).Draw(t, "chunks") {
				c := batholith.Chunk{First: first, Count: rapid.IntRange(1, chunkRecords).Draw(t, "records"), Offset: end + rapid.Int64Range(0, 1<<40).Draw(t, "gap"),
					Bytes: rapid.Int64Range(1, 1<<30).Draw(t, "bytes"), IndexOffset: index, IndexBytes: rapid.Int64Range(1, 1<<20).Draw(t, "index")}
				first, end, index = first+int64(c.Count), c.Offset+c.Bytes, index+c.IndexBytes
				p.chunks.add(c)
				c.Job, c.N, c.File, c.State = "job", len(want), file, batholith.ChunkPending
				want = append(want, c)
			}
			plans = append(plans, p)
		}
		if d := cmp.Diff(want, slices.Collect(numbered("job", plans))); d != "" {
			t.Fatal(d)
		}
		for c := range numbered("job", plans) { // may be broken off
			if c.N > 0 {
				t.Fatal("the first chunk is not number 0")
			}
			break
		}
	})
}

// A job of 1 TB has a million chunks of 1 MiB, which wait in memory for its last file.
func TestTheChunksOfATerabyteTakeTenMegabytes(t *testing.T) {
	const chunks = 1 << 20
	var c cuts
	for n := range int64(chunks) {
		c.add(batholith.Chunk{First: n * 512, Count: 512, Offset: n * (1<<20 + 3), Bytes: 1<<20 + 2, IndexOffset: n * 9000, IndexBytes: 9000})
	}
	if len(c.code) > 10*chunks || c.n != chunks {
		t.Errorf("%d chunks take %d bytes", c.n, len(c.code))
	}
}
