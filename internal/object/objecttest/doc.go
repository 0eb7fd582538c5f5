// Package objecttest contains the contract of a bucket as tests, and an in-memory bucket that
// fulfils it.
//
// [Run] tests every implementation; [RunReads] one that only reads; [RunRemote] those where the
// bucket itself can be missing. [Memory] is for other packages' tests. It can fail a call
// before or after its effect, or report an effect that did not happen.
package objecttest
