// Package upstream sends calls to model servers over HTTP, with one [Backend] per server, and
// classifies every failure as one of five kinds. The embedded models are reached through the
// same code without a socket: see [InProcess].
//
// Invariant: an attempt ends with a body, a [*batholith.Failure], or the cause of its context,
// and within its timeout. The package never repeats a request; the caller decides about
// retries.
//
// The package does not know records, dialects or concurrency limits. It parses answers only to
// find errors in them.
package upstream
