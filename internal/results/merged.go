package results

import (
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
)

const (
	mergeMemory = 4 << 20 // bytes that all readers of a merge read ahead, about
	mergePiece  = 1 << 20 // bytes that one reader reads ahead at most
	fanIn       = 64      // segments that are read in parallel at most
)

// merged reads several segments as one, in the order of keys. Its readers are a heap by their next key.
type merged struct {
	readers []*segmentReader
	ahead   *ahead // reads pieces ahead
	stale   bool   // the first reader's outcome was returned, so it must advance
	lenient bool   // a lost segment is skipped, from the place where it cannot be read
	last    batholith.RecordKey
	count   int64
}

// merge opens segments. Together they read mergeMemory bytes ahead, so that memory does not grow with their size. In addition each holds
// one block, of about blockBytes; of lines that are longer, only one is in memory at a time. From a bucket that is farAway they read as
// much again ahead. The caller must call close.
func merge(ctx context.Context, b blob.Bucket, segs []batholith.Segment, lenient bool) (*merged, error) {
	piece := min(max(mergeMemory/int64(max(len(segs), 1)), blockBytes), mergePiece)
	m := &merged{lenient: lenient, ahead: newAhead(ctx)}
	opened, errs := make([]*segmentReader, len(segs)), make([]error, len(segs))
	var g errgroup.Group
	g.SetLimit(opensAtOnce)
	for i, seg := range segs {
		if seg.Records == 0 {
			continue
		}
		g.Go(func() error {
			r, err := openAhead(m.ahead, b, seg, piece)
			if err == nil {
				err = r.nextKey()
			}
			opened[i], errs[i] = r, err
			return nil // errors are judged below, in the order of segments
		})
	}
	_ = g.Wait()
	for i, r := range opened {
		switch err := errs[i]; {
		case err != nil && !m.forgives(err):
			m.close()
			return nil, err
		case err == nil && r != nil:
			m.readers = append(m.readers, r)
		}
	}
	for i := len(m.readers) / 2; i >= 0; i-- {
		m.sink(i)
	}
	return m, nil
}

// close ends the reading ahead. It may be called at any time; next must not be called afterwards.
func (m *merged) close() { m.ahead.close() }

// next returns the next outcome, valid until the next call, or io.EOF after the last. Two outcomes for one record are an error: the store
// commits only one.
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
	if err := r.load(); err != nil { // a long line is read only now
		if !m.forgives(err) {
			return nil, err
		}
		m.drop()
		return m.next()
	}
	if m.count > 0 && m.last.Compare(r.now.Key) >= 0 {
		return nil, fmt.Errorf("record %d of file %d has two outcomes, the second in segment %s", r.now.Key.Record, r.now.Key.File, r.seg.Key)
	}
	m.stale, m.last = true, r.now.Key
	m.count++
	return &r.now, nil
}

// advance moves the first reader to its next outcome, and drops it at its end.
func (m *merged) advance() error {
	m.stale = false
	err := m.readers[0].nextKey()
	if err == io.EOF || m.forgives(err) {
		m.drop()
		return nil
	}
	m.sink(0)
	return err
}

// drop removes the first reader.
func (m *merged) drop() {
	n := len(m.readers) - 1
	m.readers[0], m.readers[n] = m.readers[n], nil
	m.readers = m.readers[:n]
	m.sink(0)
}

// forgives reports whether an error only ends its segment, because the merge is lenient.
func (m *merged) forgives(err error) bool {
	var bad *segmentError
	return m.lenient && errors.As(err, &bad) && bad.foul()
}

// sink moves the reader at i down in the heap until no child has a lower key.
func (m *merged) sink(i int) {
	for {
		child := 2*i + 1
		if child >= len(m.readers) {
			return
		}
		if right := child + 1; right < len(m.readers) && m.less(right, child) {
			child = right
		}
		if !m.less(child, i) {
			return
		}
		m.readers[i], m.readers[child] = m.readers[child], m.readers[i]
		i = child
	}
}

// less orders readers by their next key.
func (m *merged) less(i, j int) bool { return m.readers[i].key().Compare(m.readers[j].key()) < 0 }
