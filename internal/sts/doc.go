// Package sts is a small token service in the protocol of AWS STS: AssumeRole, GetSessionToken and GetCallerIdentity.
//
// It issues temporary keys, which are valid for the Bedrock API, the embedded S3 and this service. Nothing is stored
// for them. The session token contains all about a session, sealed with AES-256-GCM under a key of the data
// directory, and the secret is derived from that key. So sessions survive a restart, and every process with the same
// key accepts them.
//
// Invariant: a session has at most the rights of what it was made from, at the time of its use. A role that is no
// longer configured, and a key that is gone or has another secret, end their sessions.
//
// The package must not know what the keys give access to.
package sts
