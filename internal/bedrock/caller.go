package bedrock

import "context"

// Caller identifies the sender of a request.
type Caller struct {
	Account   string   // 12 digits; the request sees the jobs of this account only
	Principal string   // user or role name within the account
	Groups    []string // groups of the principal, from the settings
}

type callerKey struct{}

type requestIDKey struct{}

// WithCaller returns a context that carries the caller c. The handler calls it before each
// operation.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// CallerFrom returns the caller in ctx, or the zero Caller if ctx does not belong to a request.
func CallerFrom(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}

// RequestID returns the value of the answer's x-amzn-RequestId header, or "" if ctx does not
// belong to a request.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}
