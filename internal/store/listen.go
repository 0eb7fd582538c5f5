package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/batholith/batholith/internal/backoff"
)

// channel is the channel of LISTEN and NOTIFY. Triggers of the schema notify it when a job gets an event, or when its kept results are
// asked for; the payload is the process that has made the change.
const channel = "batholith"

// listen begins to listen for the changes of other processes on a connection of its own. The function that it returns signals each of them
// until its context ends. If the connection is lost, it connects again, and then signals in any case, since changes may have been missed.
func listen(config *pgx.ConnConfig, process string) func(ctx context.Context, signal func()) {
	conn, _ := hear(context.Background(), config) // tried again below
	return func(ctx context.Context, signal func()) {
		waits := backoff.New(100*time.Millisecond, 5*time.Second)
		for ctx.Err() == nil {
			if conn == nil {
				if conn, _ = hear(ctx, config); conn == nil {
					_ = pause(ctx, waits.Next()) // the end of ctx ends the loop
					continue
				}
				waits = backoff.New(100*time.Millisecond, 5*time.Second)
				signal()
			}
			relay(ctx, conn, process, signal)
			conn = nil
		}
		if conn != nil {
			_ = conn.Close(context.Background())
		}
	}
}

// hear opens a connection that listens.
func hear(ctx context.Context, config *pgx.ConnConfig) (*pgx.Conn, error) {
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
		_ = conn.Close(context.Background())
		return nil, err
	}
	return conn, nil
}

// relay signals the notifications of other processes until the connection is lost or ctx ends, and closes the connection.
func relay(ctx context.Context, conn *pgx.Conn, process string, signal func()) {
	defer conn.Close(context.Background())
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return // the caller connects again
		}
		if n.Payload != process {
			signal()
		}
	}
}
