// Package cli is the batholith command: it reads settings and arguments, builds the service from its parts, and prints results
// and messages.
//
// Invariant: results go to stdout, messages to stderr, so that any output can be piped. Every error ends in fault.go, which
// prints cause and remedy and selects the exit code.
//
// The commands submit, jobs, get, watch and stop use only the service's API, as any AWS client does. This package creates
// adapters only for commands that need one directly; the common part of serve and run is in package engine.
package cli
