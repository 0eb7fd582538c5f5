// Package verify checks the output of a job that has ended against its input and its manifest.
//
// [Job] recomputes all that a manifest promises: checksums, bytes, counts, tokens where the answers tell them, and that every record has
// one line, in the order of the input, with its modelInput byte for byte. What differs is a [Difference] of the [Result]; an error
// says that something could not be found out.
//
// One file is read at a time, and no more of it held than a line and what is looked ahead. The package must not know where files lie, nor
// flags, nor a terminal: Options.Open reads them, and who calls prints what was found.
package verify
