// Package jsonl reads the lines of input files and writes the lines of output files.
//
// A line is one JSON object with an object modelInput and, when the client gave one, a string recordId; other members are
// passed over. Two readers stand behind [Scanner] and [Parse]: check, a scanner of our own that accepts nearly every line in
// one pass at several times the speed of a JSON library, and examine, which is built on jsontext and gives the verdict and
// the words for any line that check does not accept. A fuzz test holds the two to the same answer.
//
// The invariant: modelInput is bytes. They are found, copied and never decoded and encoded again, so that what a client
// finds in the output is what it sent, odd spacing, duplicate names and huge numbers included.
//
// [Entry] and its blocks are the index of an input file: validation reads a file once, and nothing later reads it twice to
// find a record.
//
// A [Survey] reads a whole file that way, a large one in ranges by several goroutines, which a [Pool] bounds for the process. Its invariant:
// what comes of it does not depend on where the ranges end.
//
// The package knows lines. It must not know what a body means to a model, where files lie, or what a job is.
package jsonl
