package bedrock

import "context"

// Caller is who sent a request.
type Caller struct {
	Account   string // 12 digits: whose jobs the request is about
	Principal string // within the account
	Groups    []string
}

type callerKey struct{}

type requestIDKey struct{}

// WithCaller returns a context that knows who is calling.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// CallerFrom tells who is calling; the zero Caller outside of a request.
func CallerFrom(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}

// RequestID is what the answer's x-amzn-RequestId will say; empty outside of a request.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}
