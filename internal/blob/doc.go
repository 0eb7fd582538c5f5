// Package blob is the interface to object stores: what lifecycle, dispatch and results need of
// a bucket. It also moves objects that are larger than memory: a [Reader] that resumes after
// errors, and a [Writer] that creates one complete object or none.
//
// Invariant: an object is visible completely or not at all. A Writer that is not closed leaves
// nothing readable, and a Reader never ends early without an error.
//
// It does not know which store is behind the interface, nor what a job is.
package blob
