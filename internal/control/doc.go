// Package control implements Bedrock's operations, the interface [bedrock.Service]. It resolves
// names in a request, makes the checks that need settings or stored data, and converts the
// store's results and errors to Bedrock's format.
//
// Invariant: callers see and change only jobs of their own account, and learn nothing about
// others, not even that they exist.
//
// It keeps no state, so several processes may serve the API in parallel. The package does not
// know how a job runs, how requests are encoded, or what SQL is.
package control
