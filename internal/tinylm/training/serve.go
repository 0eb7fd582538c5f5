// Command training serves a GGUF file with the Go engine on loopback, for evaluate.py:
//
//	go run ./internal/tinylm/training [-model FILE] [-addr 127.0.0.1:8099]
package main

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/batholith/batholith/internal/tinylm"
)

func main() {
	file := flag.String("model", "", "GGUF file; without it the weights in the binary")
	addr := flag.String("addr", "127.0.0.1:8099", "address to listen on")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := serve(ctx, *file, *addr); err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "training: error:", err)
		os.Exit(1)
	}
}

// serve answers until ctx ends.
func serve(ctx context.Context, file, addr string) error {
	b := tinylm.Weights()
	if file != "" {
		var err error
		if b, err = os.ReadFile(file); err != nil {
			return err
		}
	}
	m, err := tinylm.Load(b)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	e := tinylm.NewEngine(m, tinylm.Options{})
	s := &http.Server{Addr: addr, Handler: e, ReadHeaderTimeout: 10 * time.Second}
	go func() { // ends when the server is closed below
		cancel(s.ListenAndServe())
	}()
	err = e.Run(ctx)
	if closing := s.Close(); closing != nil {
		return fmt.Errorf("close the server: %w", closing)
	}
	return err
}
