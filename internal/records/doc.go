// Package records makes records of the rows of a table, and a table of the answers.
//
// [Open] reads CSV, TSV, JSON and Parquet as rows. [Recipe.Lines] makes one input line of each row: a template over the row's columns
// becomes the prompt, and a function of the caller makes a body of it. [Join] puts the lines of an output beside the rows that they
// answer, and [NewWriter] writes the result in any of the formats.
//
// Invariant: memory does not grow with the number of rows. One row has at most [MaxRow] bytes. Rows keep their order and their
// values; a value that cannot be kept is an error that names file, line and column.
//
// The package knows no model family, no job and no server: callers give it the functions that write a body and read an answer.
package records
