// Package audit writes the audit log: one line of JSON for each request from outside, with who sent it, from
// where, what it asked for, and what was decided by which policies.
//
// A line never holds a signature, a key's secret, a token, a query or a body. Lines are handed to the kernel
// before the answer is sent, and are not synced: they survive the process, not the machine. A line that cannot be
// written is counted, and [Log.Note] says so.
package audit
