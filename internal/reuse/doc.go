// Package reuse finds the finished answers of earlier jobs by the content of their records.
//
// A table maps the hash of a modelInput to the places of answers to it: which output object, at which byte, how long.
// The worker that validates a job reads the outputs of earlier jobs once and writes the table, as one object beside the
// job's index. Every worker that sends the job's records looks them up in it.
//
//	entry = hash (16) | hash of recordId (4) | source (4) | offset (8) | length (4)      big-endian, sorted
//	table = "BLRU" version (2) 0 (2) | entries | sources as JSON | counts (256 × 8) | number of entries (8) | bytes of the JSON (8) | CRC-32C (4) | "BLRU"
//
// counts[b] is the number of entries whose hash begins with a byte of at most b. The checksum covers everything before it.
//
// A table is a hint and never decides: who finds an answer reads it, and compares its modelInput with the record's, byte
// for byte. So a table of an earlier attempt at a validation, or one with a collision of hashes, does no harm.
//
// Memory: a [Builder] holds at most 4.5 MiB of entries and sorts the rest on the disk; a [Table] above 4 MiB is a file. 10,000,000
// answers are a table of 360 MB.
//
// The package must not know what a job or a bucket is.
package reuse
