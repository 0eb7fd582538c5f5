// Package object is the S3 client: a handful of verbs over one bucket, for Amazon's S3, any other S3 and the embedded one alike.
//
// Its invariant: what it answers is so. A read never ends short without an error, an object is never another than the ETag
// that was asked for, and an upload that is reported complete was seen complete. A call that fails may still have happened;
// each verb can therefore be repeated, with the same result.
//
// Each error wraps a [Fault], which says what is wrong and what to do about it. Where repeating the call does not help, it also wraps
// batholith.ErrNoObject, ErrNoBucket, ErrAccessDenied, ErrObjectChanged or ErrRefused. Every other error may pass: an outage, keys that
// expired, a setting that is wrong. One table (answered.go) rules which is which. Keys that expired are fetched again, and the call is
// repeated. Each request ends by a deadline of its own, also when the context has none: a verb after its time limit, a read after
// [stallLimit] without a byte.
//
// It must not know what the objects mean, nor retry beyond the few attempts of one request: callers decide that.
package object
