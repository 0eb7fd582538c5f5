// Package jsonl reads the lines of input files and builds the lines of output files.
//
// A line is a JSON object with an object modelInput and optionally a string recordId; other
// members are ignored. [Scanner] and [Parse] use two readers. check is a fast scanner that
// accepts almost every line in one pass. examine is based on jsontext; it decides about the
// lines that check does not accept, and gives the reason for an error. A fuzz test checks that
// both agree.
//
// Invariant: modelInput is copied byte for byte. It is never decoded and encoded again, so the
// output contains exactly what the client sent, with its spacing, duplicate names and huge
// numbers.
//
// [Entry] and its blocks are the index of an input file. Validation reads a file once; later
// reads use the index to find a record.
//
// A [Survey] reads a whole file in this way. Large files are read in ranges by several
// goroutines, whose number a [Pool] limits per process. Invariant: the result does not depend
// on the position of the ranges.
//
// The package knows lines only. It does not know what a body means to a model, where files are
// stored, or what a job is.
package jsonl
