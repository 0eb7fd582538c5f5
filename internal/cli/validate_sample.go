package cli

import (
	"context"
	"encoding/binary"
	"hash/crc32"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/catalog"
	"github.com/batholith/batholith/internal/dialect"
	"github.com/batholith/batholith/internal/jsonl"
)

// tokenSample are records of an input whose tokens the model server's own tokenizer counts. The choice depends on the records and their places
// only, so every reading of an input chooses the same ones.
type tokenSample struct {
	servers  []tokenCounter
	dialects []dialect.Dialect // of the servers
	model    string

	least atomic.Uint64 // a record with this rank or a higher one is not chosen; 0: every record may be
	mu    sync.Mutex
	kept  []ranked // by rank
}

// tokenCounter is a server that may have a tokenizer to ask.
type tokenCounter interface {
	Count(context.Context, batholith.Call) (tokens int64, ok bool)
}

// ranked is a record that may be counted.
type ranked struct {
	rank   uint64
	likely int64 // estimate, in thousandths of a token
	input  []byte
}

const (
	// sampleRecords is the number of records that are counted, and samplePatience the time for all of them.
	sampleRecords  = 100
	samplePatience = 5 * time.Second
	// sampleBody is the largest body that is counted. A larger one would fill the memory and is slow to count.
	sampleBody = 64 << 10
	// sampleAtOnce is the number of requests in flight.
	sampleAtOnce = 8
)

// serversOf returns a sample for the servers of a model that can take bodies of this type.
func serversOf(s catalog.Serving, typ batholith.InvocationType) *tokenSample {
	able, dialects, err := s.For(typ)
	if err != nil {
		return nil
	}
	t := &tokenSample{model: s.Model.ID}
	for _, b := range able {
		if c, ok := b.(tokenCounter); ok {
			t.servers, t.dialects = append(t.servers, c), append(t.dialects, dialects[b.Protocol()])
		}
	}
	return t
}

// see considers a record whose body the model takes. It is safe for concurrent use.
func (t *tokenSample) see(l jsonl.Line, likely int64) {
	if t == nil || len(t.servers) == 0 || len(l.Input) > sampleBody {
		return
	}
	rank := rankOf(l)
	if least := t.least.Load(); least != 0 && rank >= least {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	at, _ := slices.BinarySearchFunc(t.kept, rank, func(r ranked, rank uint64) int {
		if r.rank < rank {
			return -1
		}
		return 1
	})
	if at == sampleRecords {
		return
	}
	t.kept = slices.Insert(t.kept, at, ranked{rank, likely, slices.Clone(l.Input)})
	if len(t.kept) > sampleRecords {
		t.kept = t.kept[:sampleRecords]
		t.least.Store(t.kept[sampleRecords-1].rank)
	}
}

// rankOf spreads records evenly over all numbers.
func rankOf(l jsonl.Line) uint64 {
	place := binary.LittleEndian.AppendUint64(nil, uint64(l.Offset))
	x := uint64(crc32.Checksum(l.Input, castagnoli))<<32 | uint64(crc32.Checksum(place, castagnoli))
	x = (x ^ x>>33) * 0xff51afd7ed558ccd // neighbours get ranks far apart
	return max(x^x>>33, 1)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// count asks the first server that has a tokenizer. It returns the number of records that were counted, their tokens, and what was estimated for
// them in thousandths of a token.
func (t *tokenSample) count(ctx context.Context) (records, tokens, likely int64) {
	if t == nil || len(t.kept) == 0 {
		return 0, 0, 0
	}
	ctx, cancel := context.WithTimeout(ctx, samplePatience)
	defer cancel()
	for i, s := range t.servers {
		if _, ok := t.one(ctx, s, t.dialects[i], t.kept[0]); !ok {
			continue // it has none, or does not answer
		}
		var mu sync.Mutex
		var g errgroup.Group
		g.SetLimit(sampleAtOnce)
		for _, r := range t.kept {
			g.Go(func() error {
				if n, ok := t.one(ctx, s, t.dialects[i], r); ok {
					mu.Lock()
					defer mu.Unlock()
					records, tokens, likely = records+1, tokens+n, likely+r.likely
				}
				return nil
			})
		}
		_ = g.Wait()
		return records, tokens, likely
	}
	return 0, 0, 0
}

// one counts the tokens of one record.
func (t *tokenSample) one(ctx context.Context, s tokenCounter, d dialect.Dialect, r ranked) (tokens int64, ok bool) {
	err := batholith.Guard("count the tokens of a body", func() error {
		input, err := dialect.StandIn(r.input)
		if err != nil {
			return err
		}
		call, err := d.Request(input, t.model)
		if err == nil {
			tokens, ok = s.Count(ctx, call)
			dialect.Discard(call)
		}
		return err
	})
	return tokens, ok && err == nil
}
