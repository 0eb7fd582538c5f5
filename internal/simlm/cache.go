package simlm

import (
	"container/list"
	"hash/fnv"
)

const (
	blockTokens = 16                          // tokens of a block, as vLLM's --block-size has it by default
	blockBytes  = blockTokens * bytesPerToken // of the rendered prompt
)

// blocksOf names the whole blocks of a prompt. A name stands for the block and all before it, so that two prompts have as many
// leading names in common as they have blocks.
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

// prefixes is a prefix cache: the blocks that were used last. Unlike a real one it does not keep the blocks of running sequences
// from being forgotten, and it holds prompts only, no answers.
type prefixes struct {
	most int // blocks
	used list.List
	at   map[uint64]*list.Element
}

func newPrefixes(tokens int) *prefixes {
	return &prefixes{most: tokens / blockTokens, at: map[uint64]*list.Element{}}
}

// leading is how many of the first blocks are held.
func (p *prefixes) leading(blocks []uint64) int {
	for i, b := range blocks {
		if p.at[b] == nil {
			return i
		}
	}
	return len(blocks)
}

// use holds these blocks, the leading ones of a prompt. The first of them is forgotten last: what follows is of no use without it.
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
