// Package batholith holds the nouns and the rules of batch inference as Amazon Bedrock defines it, on one's own machines.
//
// A client creates a model invocation [Job] over .jsonl files in S3. Each input line is a record: an identifier and a
// modelInput, the body that one model invocation takes. Batholith validates the job, hands its records to a model server,
// and answers with one line for each record, in input order, in <input>.out beside a [Manifest]. A job moves through the
// ten statuses of [Status] and never backwards.
//
// The words, used alike in code, logs, metrics and documents:
//
//   - record: one input line. It ends with an [Outcome]: the model's answer, or an error that is the user's to see.
//   - chunk: consecutive records of one [File] that are handed out together. See [Chunk].
//   - lease: a worker's right to a chunk, numbered by an epoch that rises with every owner.
//   - journal: the outcomes on the worker's own disk. Segment: outcomes uploaded and committed. Run: merged segments.
//   - backend: one model server. Dialect: a family of bodies. Slot: one request in flight.
//
// This package does no I/O, starts nothing, waits for nothing and asks no clock; it uses the standard library only. Everything else in the
// module depends on it, and it depends on nothing.
package batholith
