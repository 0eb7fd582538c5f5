// Package limit finds how many requests a model server gets at once.
//
// A [Limiter] is one state machine under one mutex. It is told what was sent, answered and refused, and what the server's gauges read; it
// answers how many requests may be in flight. It starts no goroutine, sends nothing, and knows nothing of records, jobs or HTTP.
package limit
