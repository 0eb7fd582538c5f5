// Package batholith defines the types and rules of batch inference as Amazon Bedrock specifies it. Batholith
// runs it on your own machines.
//
// A client creates a model invocation [Job] over .jsonl files in S3. Each input line is a record: a recordId
// and a modelInput, which is the request body of one model invocation. Batholith validates the job and sends
// its records to a model server. It writes one output line for each record, in input order, to <input>.out, and
// the counts to a [Manifest] beside it. A job moves through the ten statuses of [Status] and never goes back to
// an earlier one.
//
// These terms mean the same in code, logs, metrics and documents:
//
//   - record: one input line. It ends with an [Outcome]: the model's answer, or an error for the user.
//   - chunk: consecutive records of one [File] that one worker claims together. See [Chunk].
//   - lease: a worker's exclusive right to a chunk. Each new owner gets a higher epoch number.
//   - journal: the file on the worker's own disk with outcomes that are not uploaded yet.
//   - segment: an uploaded object of committed outcomes. Run: a segment that was merged from others.
//   - backend: one model server. Dialect: the translator for one family of request bodies. Slot: one request in
//     flight.
//
// This package does no I/O, starts no goroutine, never blocks and reads no clock. It uses the standard library
// only. Every other package may import it; it imports none of them.
package batholith
