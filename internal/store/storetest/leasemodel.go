package storetest

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/batholith/batholith"
)

// leaseModel is the chunks of one job and the workers that contend for them, in memory. A worker never learns that it lost
// a chunk: it goes on and commits what it holds, under the epoch that it had.
type leaseModel struct {
	port   Port
	job    string
	names  [3]string
	chunks []batholith.Chunk
	lease  map[string]time.Time
	held   []batholith.Chunk // every chunk that was ever claimed, as it was then
	commit []batholith.Commit
	counts batholith.Counts
	sealed bool
}

const modelChunks = 4

// newLeaseModel plans the n-th job.
func newLeaseModel(t *testing.T, p Port, n int) *leaseModel {
	m := &leaseModel{port: p, job: running(t, p, n, modelChunks), lease: map[string]time.Time{}}
	for i := range m.names {
		m.names[i] = fmt.Sprintf("worker-%d-%d", n, i)
	}
	_, m.chunks = plan(m.job, modelChunks)
	m.counts.Total = modelChunks * 10
	return m
}

func (m *leaseModel) worker(t *rapid.T) string {
	return rapid.SampledFrom(m.names[:]).Draw(t, "worker")
}

// Heartbeat renews a lease for five seconds.
func (m *leaseModel) Heartbeat(t *rapid.T) {
	w := m.worker(t)
	m.lease[w] = time.Now().Add(5 * time.Second)
	no(t, m.port.Heartbeat(t.Context(), w, m.lease[w]))
}

// Wait lets time pass, and leases run out.
func (m *leaseModel) Wait(t *rapid.T) {
	time.Sleep(time.Duration(rapid.IntRange(1, 4).Draw(t, "seconds")) * time.Second)
}

// Claim takes what the model says is free.
func (m *leaseModel) Claim(t *rapid.T) {
	w, n := m.worker(t), rapid.IntRange(1, 3).Draw(t, "n")
	want := []batholith.Chunk{}
	for i := range m.chunks {
		c := &m.chunks[i]
		lost := c.State == batholith.ChunkLeased && c.Owner != w && !m.lease[c.Owner].After(time.Now())
		if m.sealed || len(want) == n || c.State != batholith.ChunkPending && !lost {
			continue
		}
		c.State, c.Owner, c.Epoch = batholith.ChunkLeased, w, c.Epoch+1
		want = append(want, copyOf(*c))
	}
	skew := time.Duration(rapid.IntRange(-10, 10).Draw(t, "skew")) * time.Second
	got, err := m.port.Claim(t.Context(), w, m.job, n, time.Now().Add(skew))
	no(t, err)
	same(t, append([]batholith.Chunk{}, got...), want)
	m.held = append(m.held, want...)
}

// ClaimLost takes what a worker without a lease holds, and leaves what is pending.
func (m *leaseModel) ClaimLost(t *rapid.T) {
	w, n := m.worker(t), rapid.IntRange(1, 3).Draw(t, "n")
	want := []batholith.Chunk{}
	for i := range m.chunks {
		c := &m.chunks[i]
		if !m.sealed && len(want) < n && c.State == batholith.ChunkLeased && c.Owner != w && !m.lease[c.Owner].After(time.Now()) {
			c.Owner, c.Epoch = w, c.Epoch+1
			want = append(want, copyOf(*c))
		}
	}
	got, err := m.port.ClaimLost(t.Context(), w, m.job, n)
	no(t, err)
	same(t, append([]batholith.Chunk{}, got...), want)
	m.held = append(m.held, want...)
}

func copyOf(c batholith.Chunk) batholith.Chunk {
	c.Done = append(batholith.Bits{}, c.Done...)
	return c
}

// Release gives a worker's chunks back.
func (m *leaseModel) Release(t *rapid.T) {
	w := m.worker(t)
	for i := range m.chunks {
		if c := &m.chunks[i]; c.State == batholith.ChunkLeased && c.Owner == w {
			c.State, c.Owner = batholith.ChunkPending, ""
		}
	}
	no(t, m.port.Release(t.Context(), w, m.job))
}

// Commit commits random records of one or two chunks that a worker was ever given.
func (m *leaseModel) Commit(t *rapid.T) {
	if len(m.held) == 0 {
		t.Skip("nothing was claimed")
	}
	var c batholith.Commit
	for i := range rapid.IntRange(1, 2).Draw(t, "parts") {
		chunk := m.held[rapid.IntRange(0, len(m.held)-1).Draw(t, "chunk")]
		records := rapid.SliceOfNDistinct(rapid.IntRange(0, 9), 1, 6, rapid.ID).Draw(t, "records")
		one := commitOf(chunk.Owner, fmt.Sprintf("%s/%04d", m.job, len(m.commit)), chunk, records...)
		switch {
		case i == 0:
			c = one
		case c.Worker == one.Worker && c.Parts[0].Chunk != one.Parts[0].Chunk:
			c.Parts = append(c.Parts, one.Parts...)
			c.Counts = c.Counts.Add(one.Counts)
		}
	}
	m.try(t, c)
}

// try commits and compares with what the model says.
func (m *leaseModel) try(t *rapid.T, c batholith.Commit) {
	var lost []int
	for _, part := range c.Parts {
		chunk := m.chunks[part.Chunk]
		if chunk.State != batholith.ChunkLeased || chunk.Owner != c.Worker || chunk.Epoch != part.Epoch || chunk.Done.Overlaps(part.Done) {
			lost = append(lost, part.Chunk)
		}
	}
	counts, err := m.port.Commit(t.Context(), c)
	switch {
	case m.sealed:
		refused(t, err, batholith.ErrSealed)
		return
	case lost != nil:
		stale(t, err, lost...)
		return
	}
	no(t, err)
	for _, part := range c.Parts {
		chunk := &m.chunks[part.Chunk]
		for i := range part.Done {
			chunk.Done[i] |= part.Done[i]
		}
		if chunk.Done.Len() == chunk.Count {
			chunk.State = batholith.ChunkDone
		}
	}
	m.commit = append(m.commit, c)
	m.counts = m.counts.Add(c.Counts)
	same(t, counts, m.counts)
}

// Repeat sends a commit again that was applied.
func (m *leaseModel) Repeat(t *rapid.T) {
	if len(m.commit) == 0 {
		t.Skip("nothing was committed")
	}
	counts, err := m.port.Commit(t.Context(), rapid.SampledFrom(m.commit).Draw(t, "commit"))
	no(t, err)
	same(t, counts, m.counts)
}

// Seal closes the job, now and then.
func (m *leaseModel) Seal(t *rapid.T) {
	if rapid.IntRange(0, 9).Draw(t, "really") == 0 {
		m.sealed = true
		seal(t, m.port, m.job, "")
	}
}

// Check compares the chunks, and the counters with the records that are done.
func (m *leaseModel) Check(t *rapid.T) {
	chunks, err := m.port.Chunks(t.Context(), m.job)
	no(t, err)
	same(t, chunks, m.chunks)
	var done int64
	for _, c := range chunks {
		done += int64(c.Done.Len())
	}
	same(t, m.counts.Processed, done)
	j, err := m.port.Job(t.Context(), account, m.job)
	no(t, err)
	same(t, j.Counts, m.counts)
}
