// Package door bounds what callers without a key can take from a listener: connections, memory and time.
//
// Every accepted connection belongs to a stranger until it has carried a request whose key was verified; then the server calls
// [Conn.Prove]. Strangers share a fixed number of connections and a fixed number of bytes. When one of the two is used up, the
// door closes a stranger's connection, never a proven one, so that no number of idle connections, slow heads or half-sent bodies
// keeps out a key holder, even one with the same address:
//
//   - No connection is free: the oldest stranger of the address that has the most of them is closed for the newcomer.
//   - No byte is free: the stranger with the largest product of bytes held and age is closed. A short request that has just
//     arrived has a small product, whatever others hold.
//   - Time: the first byte of a stranger's request must come within [Limits].Idle, and the rest of it within [Limits].Patience plus
//     one second for each [Limits].Rate bytes, but within [Limits].Longest. This ends idle connections, slow heads and slow bodies.
//
// [Private] is a listener inside the process, without sockets, which only the process itself can dial. It uses no descriptors.
//
// The package must not know what is asked over a connection, nor how a key is verified.
package door
