// Package objecttest has the law of a bucket as tests, and a bucket in memory that keeps it.
//
// [Run] is for every implementation; [RunReads] for one that only reads; [RunRemote] for those where a bucket can be missing.
// [Memory] serves other packages' tests: it can be told to fail a call before or after it took effect, or to claim an effect
// that did not happen.
package objecttest
