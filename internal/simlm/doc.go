// Package simlm is batholith.simulated-v1: a model server with the OpenAI protocol that makes its answers up. The text
// is a function of the prompt and the seed. Options set the time of an answer, the number of parallel requests, and failures.
// It is for load tests and first trials, and every answer names the model.
//
// With a cost of steps it simulates continuous batching: requests with a slot advance together, one
// token per step; others wait in a queue; a prefix cache saves the prefill of known prompts. Its metrics have the names of vLLM,
// SGLang, llama.cpp or TEI; [Server.Stats] has exact figures.
//
//	server.go   options, routes, the way of a request      request.go, prompt.go, answer.go   bodies
//	batch.go    slots and queue                            step.go, roofline.go, cache.go     steps, their cost, prefix cache
//	faults.go   failures of requests                       outage.go, replicas.go             outages, crashes, a sick replica
//	gauges.go   metrics under the engines' names           stats.go, account.go, series.go    exact figures
//	others.go   requests of other clients                  schedule.go                        slots that change
//
// Invariant: the same options and request give the same text, and the same load takes the same time. Without times set, an
// answer costs nearly no CPU time.
//
// The package must not know who calls it; it is an [http.Handler] like any model server.
package simlm
