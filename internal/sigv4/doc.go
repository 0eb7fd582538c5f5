// Package sigv4 authenticates requests: it verifies an AWS Signature Version 4 in the
// Authorization header, or a bearer key, against the configured keys.
//
// It computes the expected signature with the AWS SDK's own signer and compares in constant
// time, so the signing rules are not implemented a second time. The signature always covers the
// body, the host and the date.
//
// Invariant: an identity is returned only for a request that the holder of its secret signed
// for this region and this service, at most five minutes ago or ahead. The package does not
// know what the request asks for.
package sigv4
