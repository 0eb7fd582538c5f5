// Package dialect translates between the request and response bodies of Bedrock's model
// families and the protocol of a model server. Each record's modelInput becomes one
// [batholith.Call]; the server's answer becomes one modelOutput.
//
// A family consists of a row in the table in dialect.go, a file with its translator, and a
// table of its members in members*.go. All chat families share chat.go, which writes the
// request, and completion.go, which reads the answer.
//
// Invariant: bytes that need no change are copied, not decoded. Strings keep their escapes,
// numbers their digits, and schemas and tool arguments the order of their members. The output
// is one JSON value without line breaks.
//
// The package does no I/O and keeps no state except buffers for reuse. It does not know jobs,
// files, retries, or which server is asked.
package dialect
