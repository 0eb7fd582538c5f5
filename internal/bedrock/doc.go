// Package bedrock is the wire of Amazon Bedrock's control plane as far as batch inference goes: REST with JSON bodies. It
// binds requests to typed inputs, holds them to every published constraint, calls a [Service] and writes what it answers.
//
// The description of the API is api.yaml; types, checks, rules and routes are generated from it. A fact about the wire is
// changed there and nowhere else.
//
// Its one invariant: a Service sees only inputs that hold every constraint, from a caller who is known; and a client sees
// either a modelled error or an InternalServerException that says nothing but its request id.
//
// The package must not know what a job means, where it is kept, or how a signature is made.
package bedrock

//go:generate go run ./gen .
