// Package bedrock implements the HTTP API of Amazon Bedrock's control plane for batch
// inference: REST with JSON bodies. It decodes requests into typed inputs, checks every
// published constraint, calls a [Service] and encodes the result.
//
// The API is described in api.yaml. Types, checks, rules and routes are generated from it, so a
// fact about the API is changed only there.
//
// Invariant: a Service receives only inputs that satisfy every constraint, from an
// authenticated caller. A client receives either an error that the operation declares, or an
// InternalServerException that contains nothing but its request id.
//
// The package does not know what a job means, where it is stored, or how a signature is
// computed.
package bedrock

//go:generate go run ./gen .
