package dispatch

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
)

// However many records a worker has ready, it claims the chunks of a lost worker as soon as that one's lease ends, and no chunks between them: a
// worker that comes back needs those.
func TestChunksOfALostWorkerAreClaimedAtOnce(t *testing.T) {
	for name, records := range map[string]int{"while there is more to claim": 4000, "when there is nothing else": 300} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, s := newWorld(t), answering(time.Minute)
				s.limit = 2
				var ended atomic.Int64
				end := time.Now().Add(6300 * time.Millisecond)
				d := w.dispatcher(Options{Lease: 4 * time.Second, Workers: func(string) int { return 2 }, Leases: func() (int, time.Time) {
					return int(ended.Load()), end
				}}, s)
				job := w.job("j", records, 100)
				chunks := w.chunks["j"]
				var lost []*batholith.Chunk
				for n := 0; n < len(chunks); n += len(chunks) / 3 {
					chunks[n].State, chunks[n].Owner, chunks[n].Epoch = batholith.ChunkLeased, "lost", 1
					lost = append(lost, chunks[n])
				}
				d.Enqueue(job)
				stop := w.start(d)
				defer stop()
				time.Sleep(time.Until(end))
				w.mu.Lock()
				w.lost["lost"] = true
				before := pending(chunks)
				w.mu.Unlock()
				ended.Store(1)
				time.Sleep(100 * time.Millisecond)
				w.mu.Lock()
				defer w.mu.Unlock()
				if after := pending(chunks); after != before {
					t.Errorf("%d chunks that no worker held were claimed with them", before-after)
				}
				for _, c := range lost {
					if c.Owner != "w1" || c.Epoch != 2 {
						t.Errorf("chunk %d is owned by %q under epoch %d", c.N, c.Owner, c.Epoch)
					}
				}
			})
		})
	}
}

// A worker among others leaves them their part of the job, so that those who come later find work, and all end at about the same time.
func TestAWorkerAmongOthersClaimsOnlyItsPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const records, each, workers, slots = 6000, 100, 3, 4
		w, s := newWorld(t), answering(100*time.Millisecond)
		s.limit = slots
		var known atomic.Bool // the worker has just started
		d := w.dispatcher(Options{Workers: func(string) int {
			if known.Load() {
				return workers
			}
			return 0
		}}, s)
		d.Enqueue(w.job("j", records, each))
		stop := w.start(d)
		for second := range 140 {
			time.Sleep(time.Second)
			w.mu.Lock()
			left := 0
			for _, c := range w.chunks["j"] {
				if c.State == batholith.ChunkPending {
					left += c.Count
				}
			}
			held := records - left - len(w.outcomes["j"])
			w.mu.Unlock()
			// The chunk that is read, and the one before it, come on top.
			most := max(2*slots, 20*slots, (left+2*each)/(2*workers)) + 2*each
			if second < 5 {
				most = 20*slots + 2*each
			}
			if held > most {
				t.Errorf("%d records are held after %d s, and %d are left to others: more than %d", held, second, left, most)
			}
			known.Store(second >= 5)
		}
		w.await(records, "j")
		stop()
	})
}

// pending counts the chunks that no worker has claimed.
func pending(chunks []*batholith.Chunk) (n int) {
	for _, c := range chunks {
		if c.State == batholith.ChunkPending {
			n++
		}
	}
	return n
}
