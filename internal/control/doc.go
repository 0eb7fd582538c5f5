// Package control answers Bedrock's operations: it is the [bedrock.Service]. It resolves what a request names, checks what
// needs knowledge beyond the request, and turns what the store says into Bedrock's words.
//
// Its one invariant: a caller sees and changes only jobs of the caller's own account, and learns nothing of others, not even
// that they exist.
//
// It keeps nothing itself, so any number of processes may answer side by side. It must not know how a job runs, how the wire
// looks, or what SQL is.
package control
