// Package tinylm runs batholith.tiny-v1, a small llama-architecture language model that the binary carries, and serves it as an
// OpenAI-compatible server does, so that a first job needs no GPU, no download and no other program.
//
// The model reads bytes: a token is a byte, and a handful of tokens beyond 255 mark the turns of a conversation. What it can do,
// and how well, is written in training/MODEL.md; how it was made lies in training/.
//
// # The walk of one request
//
// [Engine.ServeHTTP] decodes the body and hands the prompt to [Engine.Complete], which puts it into a bounded queue. [Engine.Run] owns
// the workers, one goroutine a core. A worker takes requests from the queue into its slots and moves all of them on together, a
// step at a time: a sequence that is being decoded adds one row to the step, a new prompt as many as fit. A prompt that
// begins like another one the worker has seen starts from a copy of that one's keys and values.
//
// # The invariant
//
// The arithmetic of a row depends on nothing but the tokens before it: not on the other rows of the step, nor on which worker ran it,
// nor on whether its prefix was computed or copied, nor on the processor (no multiplication is fused with an addition). So a
// request has one answer, alone or among others, on any machine.
//
// The package knows nothing of jobs, records or Bedrock, and imports the standard library only.
package tinylm
