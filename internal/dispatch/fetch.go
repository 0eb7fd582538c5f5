package dispatch

import (
	"context"

	"golang.org/x/sync/errgroup"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/jsonl"
)

// A small file is one chunk. To claim a chunk takes a transaction, and to read it takes two calls of the bucket, however few records it has.
// A job of many small files therefore claims several chunks in one transaction and reads them in parallel. The chunks of one claim together
// have about as many records and bytes as one full chunk.
const (
	claimRecords = 512     // records of one claim at most; a full chunk has 512
	claimBytes   = reserve // bytes of one claim at most; a full chunk has about 1 MiB
	claimsAtOnce = 32      // chunks of one claim at most
	readsAtOnce  = 32      // chunks that one job reads in parallel at most, with two calls of the bucket each
	mostReads    = 64      // chunks that all jobs together read in parallel at most, not counting the first of each job
)

// together returns how many chunks to claim next. It assumes that the next chunks are those of the files after the last claimed chunk, and counts
// small files until a limit is reached. If a chunk was given back meanwhile, the store returns that one first, and the claim may exceed the
// limits. Then fetch reads only as many of its chunks as there is memory for, and the others later.
func (f *feed) together() int {
	if f.last == nil || f.last.First+int64(f.last.Count) < f.files[f.last.File].Records {
		return 1
	}
	n, records, bytes := 0, int64(0), int64(0)
	for at := f.last.File + 1; n < claimsAtOnce; at++ {
		file, there := f.files[at]
		if !there {
			break
		}
		if file.Records == 0 { // a file without records has no chunk
			continue
		}
		records, bytes = records+file.Records, bytes+file.Bytes
		if records > claimRecords || bytes > claimBytes {
			break
		}
		n++
	}
	return max(n, 1)
}

// fetched is a chunk with its bytes and its block of the index.
type fetched struct {
	p       *portion
	data    []byte
	entries []jsonl.Entry
}

// fetch reads the first chunk, and in parallel as many of the next as there is memory for now. It waits for memory only for the first,
// while it holds none for the others, and returns all memory after an error. So two jobs cannot wait for each other's memory.
func (f *feed) fetch(take context.Context, chunks []batholith.Chunk) (got []*fetched, err error) {
	for i, c := range chunks[:min(len(chunks), readsAtOnce)] {
		p := &portion{Chunk: c, hold: f.queue.chunks.Hold()}
		if i == 0 {
			if err := p.hold.Reserve(take, requestCopies*p.Bytes); err != nil {
				return nil, err
			}
		} else {
			if !f.d.reads.TryAcquire(1) {
				break
			}
			defer f.d.reads.Release(1)
			if !p.hold.TryReserve(requestCopies * p.Bytes) {
				break
			}
		}
		got = append(got, &fetched{p: p})
	}
	g, ctx := errgroup.WithContext(take)
	for _, c := range got {
		g.Go(func() (err error) {
			c.data, c.entries, err = f.read(ctx, c.p.Chunk)
			return err
		})
	}
	if err = g.Wait(); err == nil {
		return got, nil
	}
	for _, c := range got {
		c.p.hold.Release() // a job that waits for its bucket must not keep memory from other jobs
	}
	return nil, err
}
