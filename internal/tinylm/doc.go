// Package tinylm runs batholith.tiny-v1, a small language model with llama architecture that is embedded in the binary, and serves it
// with the OpenAI protocol. So a first job needs no GPU, no download and no other program.
//
// A token is a byte; a few tokens above 255 mark the turns of a conversation. training/MODEL.md describes what the model can do and how
// well; training/ has the code that made it.
//
// # The walk of one request
//
// [Engine.ServeHTTP] decodes the body and gives the prompt to [Engine.Complete], which puts it into a bounded queue. [Engine.Run] owns
// the workers, one goroutine per core. A worker takes requests from the queue into its slots and computes all of them together, step
// by step: a sequence that is being decoded adds one row to a step, a new prompt as many rows as fit. A prompt that
// begins like another one that the worker has seen starts with a copy of its keys and values.
//
// # The invariant
//
// The result of a row depends only on the tokens before it: not on the other rows of the step, the worker, or the processor (no
// multiplication is fused with an addition), nor on whether its prefix was computed or copied. So a request gets the same answer alone
// or among others, on any machine.
//
// The package knows nothing of jobs, records or Bedrock, and imports the standard library only.
package tinylm
