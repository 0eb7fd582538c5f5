package dispatch

import (
	"context"

	"golang.org/x/sync/errgroup"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/jsonl"
)

// Small files have a chunk each, and each chunk takes a call to the store and two of the bucket, however few records it has. So that a job of
// many small files does not wait for the bucket once for every file, they are claimed together, as many as one full chunk has of records or bytes,
// and read beside one another.
const (
	claimRecords = 512     // as many as a full chunk has
	claimBytes   = reserve // as a full chunk has, as a rule
	claimsAtOnce = 32      // chunks of one claim, at most
	readsAtOnce  = 32      // chunks that one job reads at once, with two calls each
	mostReads    = 64      // and of all jobs together, beside the first of each
)

// together is how many chunks to claim next. The files behind the last chunk that was claimed have the next ones, unless a chunk was given back
// meanwhile: then a claim may be larger than meant, and what there is memory for is read first.
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
		if file.Records == 0 { // it has no chunk
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

// fetched is a chunk that was read.
type fetched struct {
	p       *portion
	data    []byte
	entries []jsonl.Entry
}

// fetch reads as many of the chunks as there is memory for, beside one another, and at least the first, for which it waits. While it waits
// it holds nothing, and after an error neither: what others hold and wait for cannot be in its hands.
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
		c.p.hold.Release() // a job that waits for its bucket holds nothing that another could use
	}
	return nil, err
}
