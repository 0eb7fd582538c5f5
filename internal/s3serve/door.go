package s3serve

import (
	"context"
	"net"

	"github.com/gofiber/fiber/v3"
	"github.com/valyala/fasthttp"

	"github.com/batholith/batholith/internal/door"
)

// What the door learns of the requests behind it.

// callerConn is the context key for the Prove method of a request's connection. The connection
// itself is not stored, because the HTTP server closes the values of its contexts when a
// request ends.
type callerConn struct{}

// origin is the middleware that stores Prove in the request.
func origin(ctx fiber.Ctx) error {
	if c := behind(ctx.RequestCtx().Conn()); c != nil {
		ctx.RequestCtx().SetUserValue(callerConn{}, c.Prove)
	}
	return ctx.Next()
}

// prove tells the door that the request's signature was verified. The gateway never calls the
// store for an account before that, and it checks the bucket of every upload before it reads
// the body.
func prove(ctx context.Context) {
	if proven, ok := ctx.Value(callerConn{}).(func()); ok {
		proven()
	}
}

// follow tells the door when requests start and end.
func follow(conn net.Conn, state fasthttp.ConnState) {
	c := behind(conn)
	switch state {
	case fasthttp.StateActive:
		c.Begin()
	case fasthttp.StateIdle:
		c.Rest()
	}
}

// behind returns the door's connection under the server's, or nil for a private one.
func behind(conn net.Conn) *door.Conn {
	if s, ok := conn.(*stalling); ok {
		conn = s.Conn
	}
	c, _ := conn.(*door.Conn)
	return c
}
