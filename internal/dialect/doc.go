// Package dialect translates between the bodies that Bedrock's model families take and give, and the protocol of a model
// server. Each record's modelInput becomes one [batholith.Call]; the server's answer becomes one modelOutput.
//
// A family is a row of the table in dialect.go, a file of its own, and a table of the members of its bodies in members*.go, by which they are read.
// Chat families meet in two places: chat.go writes the server's request, completion.go reads its answer.
//
// The invariant: bytes that need no change are copied, not decoded. Strings keep their escapes, numbers keep their digits,
// schemas and tool arguments keep the order of their members. What goes out is one JSON value without line breaks.
//
// The package does no I/O and keeps no state. It must not know jobs, files, retries, or which server is asked.
package dialect
