package cli

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/batholith/batholith/internal/bedrock"
	"github.com/batholith/batholith/internal/door"
	"github.com/batholith/batholith/internal/release"
)

// Times of a request and a connection. The door has shorter ones for connections without a verified request.
const (
	// Times of requests and connections. Package door has shorter ones for connections without a verified request.
	headTime  = 15 * time.Second // for a request's head to arrive
	readTime  = time.Minute      // for a whole request
	writeTime = 2 * time.Minute  // for a request to be answered
	idleTime  = 3 * time.Minute  // longer than clients keep connections, so that none is closed under a request
	stopTime  = 5 * time.Second  // for requests to finish at a shutdown
)

// Sizes. The head of a signed request is about 1 KiB, with a session token 3 KiB.
const (
	headBytes = 32 << 10
	// What an HTTP/2 client without a verified request is counted for each request in progress, beyond the bytes it sent: a
	// stream has a goroutine, its headers and up to 16 KiB of buffer, for a few bytes on the wire.
	streamBytes = 16 << 10
)

// serveHTTP answers requests on ln until ctx ends, and then waits up to stop for requests in progress before it
// closes their connections. The limits bound what unverified clients can occupy. Clients may use HTTP/2 without
// TLS, as the AWS SDK for JavaScript does. It returns nil after a shutdown, and an error if the listener fails.
func serveHTTP(ctx context.Context, ln net.Listener, h http.Handler, limits door.Limits, stop time.Duration, to *slog.Logger) error {
	srv := &http.Server{
		Handler:           weighed(h),
		ReadHeaderTimeout: headTime, ReadTimeout: readTime, WriteTimeout: writeTime, IdleTimeout: idleTime,
		MaxHeaderBytes: headBytes,
		ConnContext:    door.With,
		ConnState:      track,
		ErrorLog:       log.New(&libraryLines{log: to}, "", 0),
		Protocols:      new(http.Protocols),
		// The smallest frames and windows: bodies are short, and a frame's length is believed, and its buffer made, before it comes.
		HTTP2: &http.HTTP2Config{MaxConcurrentStreams: 100, MaxReadFrameSize: 16 << 10, MaxDecoderHeaderTableSize: 4 << 10,
			MaxReceiveBufferPerConnection: 64 << 10, MaxReceiveBufferPerStream: 64 << 10, WriteByteTimeout: headTime},
	}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
	entrance := door.Listen(ln, limits, to)
	done := make(chan error, 1)
	go func() { done <- srv.Serve(entrance) }()
	select {
	case err := <-done:
		return fmt.Errorf("serve the API: %w", err)
	case <-ctx.Done():
	}
	finish, cancel := context.WithTimeout(context.WithoutCancel(ctx), stop)
	defer cancel()
	entrance.Dismiss()
	if err := srv.Shutdown(finish); err != nil {
		srv.Close()
	}
	_ = <-done // that it was shut down
	return nil
}

// admit returns a check of a request's head, before its body is read. An API key is complete in the head, so the
// request counts as verified then. A signature covers the body, so authenticate verifies it later.
func admit(v verifier) func(*http.Request) error {
	return func(r *http.Request) error {
		verified, err := v.Admit(r)
		if verified && err == nil {
			door.From(r.Context()).Prove()
		}
		return err
	}
}

// admitLong is admit for requests whose bodies may be long. A request that names a known key may send its body before
// its signature can be verified.
func admitLong(v verifier) func(*http.Request) error {
	return func(r *http.Request) error {
		verified, err := v.Admit(r)
		switch {
		case err != nil:
		case verified:
			door.From(r.Context()).Prove()
		default:
			door.From(r.Context()).Claim()
		}
		return err
	}
}

// authenticate returns a check of a whole request that tells who sent it. A verified request frees its connection
// from the limits for unknown clients.
func authenticate(v verifier) func(*http.Request, []byte) (bedrock.Caller, error) {
	return func(r *http.Request, body []byte) (bedrock.Caller, error) {
		who, err := v.Verify(r, body)
		if err == nil {
			door.From(r.Context()).Prove()
		}
		return bedrock.Caller{Account: who.Account, Principal: who.Principal, Groups: who.Groups}, err
	}
}

// track tells the door when a connection begins a request and when it becomes idle. The server calls it at each
// change.
func track(c net.Conn, state http.ConnState) {
	ours, _ := c.(*door.Conn)
	switch state {
	case http.StateActive:
		ours.Begin()
	case http.StateIdle:
		ours.Rest()
	}
}

// weighed returns a handler that names this program in each answer, and counts streamBytes against a client for each HTTP/2 request until it is answered.
// Without that, one client could open many requests, each of which costs memory here, with few bytes on the wire.
func weighed(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Server", release.Product())
		if r.ProtoMajor == 2 {
			defer door.From(r.Context()).Keep(streamBytes)()
		}
		h.ServeHTTP(w, r)
	})
}
