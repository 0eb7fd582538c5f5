// Package jsonscan tells at the speed of memory whether bytes are JSON, and where values end. It neither decodes nor allocates,
// and gives no reasons: who wants to know why a text is wrong asks a decoder.
//
// The invariant: what it accepts, a strict decoder of RFC 8259 accepts too. It may refuse what is right and not worth its while.
package jsonscan
