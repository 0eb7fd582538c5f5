package simlm

import (
	"container/list"
	"hash/fnv"
)

const (
	blockTokens = 16                          // tokens of a block, the default of vLLM's --block-size
	blockBytes  = blockTokens * bytesPerToken // bytes of the rendered prompt in a block
)

// blocksOf returns a name for each whole block of a prompt. A name depends on the block and on all blocks before it, so that two prompts
// have as many leading names in common as they share leading blocks.
func blocksOf(prompt []byte) []uint64 {
	names := make([]uint64, 0, len(prompt)/blockBytes)
	for before := uint64(0); len(prompt) >= blockBytes; prompt = prompt[blockBytes:] {
		h := fnv.New64a()
		h.Write(prompt[:blockBytes])
		before = mix(before ^ h.Sum64())
		names = append(names, before)
	}
	return names
}

// prefixes is a prefix cache: it holds the blocks that were used last. Unlike a real one, it may evict blocks of running sequences, and
// it holds prompts only, no answers.
type prefixes struct {
	most int // blocks
	used list.List
	at   map[uint64]*list.Element
}

// newPrefixes makes a cache for that many tokens.
func newPrefixes(tokens int) *prefixes {
	return &prefixes{most: tokens / blockTokens, at: map[uint64]*list.Element{}}
}

// leading is the number of leading blocks that the cache holds.
func (p *prefixes) leading(blocks []uint64) int {
	for i, b := range blocks {
		if p.at[b] == nil {
			return i
		}
	}
	return len(blocks)
}

// use adds the leading blocks of a prompt. The first of them is evicted last, since the others are of no use without it.
func (p *prefixes) use(blocks []uint64) {
	if len(blocks) > p.most {
		blocks = blocks[:p.most]
	}
	for i := len(blocks) - 1; i >= 0; i-- {
		if e := p.at[blocks[i]]; e != nil {
			p.used.MoveToFront(e)
			continue
		}
		p.at[blocks[i]] = p.used.PushFront(blocks[i])
	}
	for p.used.Len() > p.most {
		delete(p.at, p.used.Remove(p.used.Back()).(uint64))
	}
}
