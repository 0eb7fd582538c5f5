// Package cli is the batholith command: it reads settings and arguments, builds the service from its parts, and
// prints results and messages.
//
// Invariant: results go to stdout, messages to stderr, so that any output can be piped. Every error ends in
// fault.go, which prints cause and remedy and selects the exit code.
//
// The commands submit, jobs, get, watch and stop use only the service's API, as any AWS client does. This package
// creates adapters only for commands that need one directly; the common part of serve and run is in package
// engine.
//
// # Files
//
//	cli.go       Main, the streams, signals, the list of commands
//	fault.go     errors: remedies and exit codes; plain.go: errors of the AWS SDK in short
//	settings.go  flags that are settings, and the command config
//	serve.go     the command serve; service.go: its parts, and the order of their start and end
//	compose.go   settings → options of the engine, the models and the S3
//	local.go     the engine over local files, for run; summary.go: what it prints at the end
//	client.go    how a client command finds the server; objects.go: how it finds the S3
//	screen.go    what a terminal or a pipe can show; table.go, bar.go and progress.go use it
//	disk.go      one message for a full disk; guarded.go: the loss of the data directory
//
// The function nameCommand returns the command NAME, in most cases from NAME.go; get and stop are in jobs.go, and
// config is in settings.go.
//
// # Streams
//
// Text that others wrote (records, answers of servers, names of jobs) may contain control sequences and newlines.
// It is printed only through package plain, which escapes both. Secrets are removed from messages; only the
// command env prints one.
//
// # Signals and crashes
//
// The first SIGINT or SIGTERM cancels the context of the command with the cause [batholith.ErrShutdown], and the
// command ends in order. The second one kills the process. This is safe at any moment: a record is in the journal
// before it counts as finished, and downloads and key files get their names only when they are complete.
package cli
