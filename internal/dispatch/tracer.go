package dispatch

import (
	"context"

	"github.com/batholith/batholith"
)

// Tracer follows requests to backends. Its methods are called when a request is sent. They return the value of the request's header traceparent
// ("": it gets none), and what is called once at its end, with what the answer took, or why there is none; nil: nothing is. Any goroutine may call
// them.
type Tracer interface {
	// Record begins a request for a record. trace is the job's (batholith.Request.Trace).
	Record(trace string, at batholith.Attempt) (parent string, end func(batholith.Tokens, error))
	// Call begins a request of an interactive call, whose context is ctx.
	Call(ctx context.Context, at batholith.Attempt) (parent string, end func(batholith.Tokens, error))
}

// span is a request that a Tracer follows. The zero value follows nothing.
type span struct {
	parent string
	done   func(batholith.Tokens, error)
}

// end ends the span. It may be called again.
func (s *span) end(t batholith.Tokens, err error) {
	if s.done != nil {
		s.done(t, err)
	}
	*s = span{}
}

// sign adds the header of the span to a request.
func (s *span) sign(c *batholith.Call) {
	if s.parent == "" {
		return
	}
	headers := make([][2]string, 0, len(c.Headers)+1)
	for _, h := range c.Headers {
		if h[0] != traceHeader { // of an earlier attempt
			headers = append(headers, h)
		}
	}
	c.Headers = append(headers, [2]string{traceHeader, s.parent})
}

// traceHeader is the header of W3C Trace Context.
const traceHeader = "Traceparent"
