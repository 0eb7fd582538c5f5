package dialect

import "github.com/batholith/batholith"

// block is the kind of content that a stream of blocks is in.
type block int

// The kinds of blocks.
const (
	blockNone block = iota
	blockText
	blockThought
	blockTool
)

// blocks counts the content blocks of a stream. One block is open at a time, and a block ends
// when content of another kind comes.
type blocks struct {
	open  block
	index int64 // of the open block, or of the last one; -1 before the first
}

// newBlocks returns the state before the first block.
func newBlocks() blocks { return blocks{index: -1} }

// turn makes kind the open block. It reports which block ends, if one does, and whether a new
// one begins. A tool call always begins one.
func (b *blocks) turn(kind block) (ended, began bool) {
	if b.open == kind && kind != blockTool {
		return false, false
	}
	ended = b.open != blockNone
	if b.open = kind; kind != blockNone {
		b.index++
		began = true
	}
	return ended, began
}

// empty reports whether an empty text block must be written, because the answer has no other
// content: see anthropic.content.
func (b *blocks) empty(c completion) bool { return b.index < 0 && !c.text.absent() }

// metrics writes what Bedrock adds to the last chunk of a stream of InvokeModel.
func (b *buffer) metrics(a batholith.Answer, t StreamTimes) {
	if t.Plain {
		return
	}
	b.key("amazon-bedrock-invocationMetrics")
	b.open('{')
	b.integerMember("inputTokenCount", a.Tokens.Input-a.Tokens.CacheRead-a.Tokens.CacheWrite)
	b.integerMember("outputTokenCount", a.Tokens.Output)
	b.integerMember("invocationLatency", t.Took.Milliseconds())
	b.integerMember("firstByteLatency", t.First.Milliseconds())
	if a.Tokens.CacheRead > 0 || a.Tokens.CacheWrite > 0 {
		b.integerMember("cacheReadInputTokenCount", a.Tokens.CacheRead)
		b.integerMember("cacheWriteInputTokenCount", a.Tokens.CacheWrite)
	}
	b.close('}')
}
