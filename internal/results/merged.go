package results

import (
	"container/heap"
	"context"
	"fmt"
	"io"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
)

const (
	mergeMemory = 16 << 20 // of all readers of a merge together, about
	fanIn       = 64       // segments that are read at once, at most
)

// merged reads several segments as one, in the order of keys. Its readers are a heap by their next key.
type merged struct {
	readers []*segmentReader
	stale   bool // the first reader's outcome was handed out
	last    batholith.RecordKey
	count   int64
}

// merge opens segments. Memory is bounded however large they are, and grows with their number only below fanIn.
func merge(ctx context.Context, b blob.Bucket, segs []batholith.Segment) (*merged, error) {
	piece := min(max(mergeMemory/int64(max(len(segs), 1)), blockBytes), 2<<20)
	m := &merged{}
	for _, seg := range segs {
		if seg.Records == 0 {
			continue
		}
		r, err := openSegment(ctx, b, seg, piece)
		if err != nil {
			return nil, err
		}
		if err := r.next(); err != nil {
			return nil, err
		}
		m.readers = append(m.readers, r)
	}
	heap.Init(m)
	return m, nil
}

// next returns the next outcome, which holds until the next call, or io.EOF after the last. A record that has two outcomes is
// an error: the store lets none be committed twice.
func (m *merged) next() (*batholith.Outcome, error) {
	if m.stale {
		if err := m.advance(); err != nil {
			return nil, err
		}
	}
	if len(m.readers) == 0 {
		return nil, io.EOF
	}
	r := m.readers[0]
	if m.count > 0 && m.last.Compare(r.now.Key) >= 0 {
		return nil, fmt.Errorf("record %d of file %d has two outcomes, the second in segment %s", r.now.Key.Record, r.now.Key.File, r.seg.Key)
	}
	m.stale, m.last = true, r.now.Key
	m.count++
	return &r.now, nil
}

func (m *merged) advance() error {
	m.stale = false
	switch err := m.readers[0].next(); err {
	case nil:
		heap.Fix(m, 0)
	case io.EOF:
		heap.Pop(m)
	default:
		return err
	}
	return nil
}

// The methods of heap.Interface.

func (m *merged) Len() int           { return len(m.readers) }
func (m *merged) Less(i, j int) bool { return m.readers[i].now.Key.Compare(m.readers[j].now.Key) < 0 }
func (m *merged) Swap(i, j int)      { m.readers[i], m.readers[j] = m.readers[j], m.readers[i] }
func (m *merged) Push(x any)         { m.readers = append(m.readers, x.(*segmentReader)) }
func (m *merged) Pop() any {
	n := len(m.readers) - 1
	r := m.readers[n]
	m.readers[n] = nil
	m.readers = m.readers[:n]
	return r
}
