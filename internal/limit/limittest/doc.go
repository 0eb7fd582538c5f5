// Package limittest judges a limiter against model servers that are made from a seed, in virtual time and without a network.
//
// [Make] draws the parameters of a server: slots, the time of a step as a function of the batch, what it refuses, its gauges, its
// replicas. [Run] keeps a limiter fed and counts the work that comes back. [Oracle] runs the same server under the best of a few limits
// that are computed from the parameters, so that the quotient of the two says what the search for the limit costs.
//
// A run is one goroutine and one queue of events; it is the same each time for one seed, apart from the limiter's own jitter.
package limittest
