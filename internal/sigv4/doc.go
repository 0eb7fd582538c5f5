// Package sigv4 tells who sent a request: it checks AWS Signature Version 4 in the Authorization header, or a bearer key,
// against the keys that it was given.
//
// A signature is checked by making it again with the SDK's own signer and comparing in constant time, so there is no second
// reading of the rules here. The signature always covers the body, the host and the date.
//
// Its one invariant: an identity is returned only for a request that the holder of a secret made for this region, this service
// and these five minutes. The package must not know what the request asks for.
package sigv4
