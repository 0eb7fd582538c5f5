// Package limit finds the number of parallel requests for a model server.
//
// A [Limiter] is one state machine under one mutex. Its inputs are sent requests, answers, refusals and the server's gauges; its output is
// how many requests may be in flight. ARCHITECTURE.md ("How many at once") describes it as a whole. In this package:
//
//	limit.go    slots: acquire, send, land, release
//	outcome.go  what an answer, a failure and a refusal change
//	waiting.go  the limit from gauges; audit.go checks the gauges
//	climb.go    the limit from goodput, with knee.go (the search) and change.go (slots that change); period.go measures goodput
//	published.go  the limit from published slots, which goodput may show to be too few
//	ceiling.go  the bound from refusals; sends.go counts them
//	gate.go     a server that refuses everything
//	pace.go     a limit that rises gradually
//	rests.go    slots that stay empty after a refusal
//	divide.go, fleet.go  several workers share one limit
//	callers.go  interactive calls, which go ahead of batch requests; need.go counts the slots that are kept for them
//
// The package starts no goroutine and sends nothing. It must not know records, jobs or HTTP.
package limit
