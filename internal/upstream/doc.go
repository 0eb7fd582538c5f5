// Package upstream sends calls to model servers over HTTP, one [Backend] for each server, and says of every failure which of
// the five kinds it is. The embedded models are reached the same way, without a socket: see [InProcess].
//
// The invariant: an attempt ends with a body, with a [*batholith.Failure], or with the cause of its context, and within its
// timeout. Nothing is sent twice here; whether to try again is the caller's to decide.
//
// The package must not know records, dialects or limits of concurrency, and it reads of an answer only what tells a failure.
package upstream
