// Package jsonscan checks quickly whether bytes are JSON and where values end. It neither
// decodes nor allocates, and it gives no reason for an error: callers that need one run a
// decoder.
//
// Invariant: whatever it accepts, a strict RFC 8259 decoder accepts too. It may reject some
// valid JSON; callers then use a decoder.
package jsonscan
