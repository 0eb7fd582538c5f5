// Package simlm is batholith.simulated-v1: a model server that speaks the OpenAI protocol and makes its answers up. The text
// is a function of the prompt and the seed; how long it takes, how many it serves at once and how often it fails are settings.
// It is for load tests and for trying things out, and says in every answer what it is.
//
// With a cost of steps it keeps time as a server with continuous batching does: requests that have a slot advance together, a
// token a step; those that have none wait in a queue; a prefix cache spares prompts their prefill (batch.go and step.go have the
// story, cache.go the cache). It tells of itself under the names of vLLM, SGLang, llama.cpp or TEI, and truly in [Server.Stats].
//
// The invariant: the same options and the same request give the same text, the same load takes the same time, and with no time
// set it costs next to none.
//
// The package must not know who calls it; it is an [http.Handler] like any model server.
package simlm
