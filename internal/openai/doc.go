// Package openai answers OpenAI's batch API: files and batches. A batch is a model invocation job whose input and output are in OpenAI's
// lines; this package translates requests and jobs, and nothing else.
//
// The same operations are at /v1 and at /openai/v1, which is Bedrock's path on the runtime's host. What names the input decides where a
// batch reads and writes: the id of an uploaded file means the bucket of files, and an S3 URI means the folder of that object.
//
// A file is an object, and its id, name and time are its key. There is no table of files, so that a crash leaves a file or none. Objects are
// read and written only after the policies have permitted it to the caller.
//
// Invariant: a batch is created with one transaction of the store. A request that is repeated finds the first one by its token.
//
// The package must not know how a job runs, what a body means, or where the S3 is.
package openai
