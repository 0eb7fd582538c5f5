// Package object is the S3 client. It implements the methods of blob.Bucket for Amazon's S3,
// for other S3 servers and for the embedded one.
//
// Invariant: results are true. A read never ends early without an error, an object always has
// the requested ETag, and an upload that is reported complete was seen complete. A failed call
// may have taken effect; every method can be repeated with the same result.
//
// Each error wraps a [Fault] with cause and remedy. If a retry is useless, it also wraps
// batholith.ErrNoObject, ErrNoBucket, ErrAccessDenied, ErrObjectChanged or ErrRefused. Any
// other error may be temporary: an outage, expired keys, a wrong setting. The table in
// answered.go decides which. Expired keys are renewed and the request is repeated. Every
// request has a time limit, even if the context has none: a method call has [limit], a read
// fails after [stallLimit] without a byte.
//
// The package does not know what the objects mean. It retries single requests only; callers
// retry method calls.
package object
