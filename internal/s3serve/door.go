package s3serve

import (
	"context"
	"net"

	"github.com/gofiber/fiber/v3"
	"github.com/valyala/fasthttp"

	"github.com/batholith/batholith/internal/door"
)

// What the door learns of the requests behind it.

// callerConn is the key under which a request's context has Prove of the connection that it came over. It cannot have the connection:
// the HTTP server closes what its contexts hold when a request ends.
type callerConn struct{}

// origin is the middleware that leads from a request to its connection.
func origin(ctx fiber.Ctx) error {
	if c := behind(ctx.RequestCtx().Conn()); c != nil {
		ctx.RequestCtx().SetUserValue(callerConn{}, c.Prove)
	}
	return ctx.Next()
}

// prove tells the door that the request's signature was verified. The gateway asks the store nothing in the name of an account
// before that, and it asks for the bucket of every upload before the body is read.
func prove(ctx context.Context) {
	if proven, ok := ctx.Value(callerConn{}).(func()); ok {
		proven()
	}
}

// follow tells the door when requests begin and end.
func follow(conn net.Conn, state fasthttp.ConnState) {
	c := behind(conn)
	switch state {
	case fasthttp.StateActive:
		c.Begin()
	case fasthttp.StateIdle:
		c.Rest()
	}
}

// behind is the door's connection that the server uses, or nil for a private one.
func behind(conn net.Conn) *door.Conn {
	if s, ok := conn.(*stalling); ok {
		conn = s.Conn
	}
	c, _ := conn.(*door.Conn)
	return c
}
