// Package simlm is batholith.simulated-v1: a model server that speaks the OpenAI protocol and makes its answers up. The text
// is a function of the prompt and the seed; how long it takes, how many it serves at once and how often it fails are settings.
// It is for load tests and for trying things out, and says in every answer what it is.
//
// The invariant: the same options and the same request give the same answer, and with no time set it costs next to none.
//
// The package must not know who calls it; it is an [http.Handler] like any model server.
package simlm
