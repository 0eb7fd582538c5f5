// Package verify checks the output of a finished job against its input and its manifest.
//
// [Job] recomputes everything that a manifest states: checksums, sizes, counts, and tokens if
// the answers contain them. It checks that every record has one line, in input order, with its
// modelInput byte for byte. Each mismatch is a [Difference] in the [Result]. An error means
// that something could not be checked.
//
// It reads one file at a time and holds one line plus the look-ahead in memory. The package
// does not know where files are stored, nor flags or terminals: Options.Open reads files, and
// the caller prints the result.
package verify
