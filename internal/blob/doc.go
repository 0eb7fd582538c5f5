// Package blob is the port to object stores: what lifecycle, dispatch and results ask of a bucket, and the two ways in which they
// move more bytes than fit into memory, a [Reader] that resumes and a [Writer] that becomes one object or none.
//
// Its invariant: an object is visible whole or not at all. A Writer that is not closed leaves nothing that can be read, and a
// Reader never ends early without an error.
//
// It must not know which store is behind the port, nor what a job is.
package blob
