// Package door limits what clients without a key can take from a listener: connections, memory
// and time.
//
// Every accepted connection belongs to a stranger until a request on it was authenticated; then
// the server calls [Conn.Prove]. Strangers share a fixed number of connections and a fixed
// number of bytes. If one of the two is exhausted, the door closes a stranger's connection,
// never a proven one. So idle connections, slow headers and half-sent bodies cannot lock out a
// key holder, not even from the same address:
//
//   - All connections in use: the door closes the oldest stranger of the address with the most strangers.
//   - All bytes in use: it closes the stranger with the largest product of bytes held × age, among those
//     that hold at least the average. A short request that has just arrived has a small product, and an old one holds less than the average.
//   - Time: the first byte of a stranger's request must arrive within [Limits].Idle. A request of n bytes must
//     be complete within min([Limits].Patience + n/[Limits].Rate, [Limits].Longest). This ends idle
//     connections, slow headers and slow bodies.
//
// A request whose head names a known key has a sum of bytes of its own ([Conn.Claim]), because the
// bodies of interactive calls are longer than all that strangers may hold.
//
// [Secure] adds TLS. A handshake has the limits of a request, in bytes and time.
//
// [Private] is a listener without sockets, which only this process can dial. It uses no file
// descriptors.
//
// The package does not know what a request asks for, nor how a key is verified.
package door
