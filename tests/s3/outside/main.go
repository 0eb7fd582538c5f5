// Command outside serves the embedded S3 in a process of its own, for tests of other clients. It is built without the race detector,
// which would slow it down. It prints its URL, and ends and deletes its objects when its standard input ends.
//
// Arguments: region, owner, access key id, secret.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"

	"github.com/batholith/batholith/internal/s3serve"
)

func main() {
	if err := run(os.Args[1], os.Args[2], os.Args[3], os.Args[4]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run serves until standard input ends.
func run(region, owner, keyID, secret string) error {
	dir, err := os.MkdirTemp("", "outside")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	server, err := s3serve.New(s3serve.Options{Dir: dir, Region: region, Owner: owner, Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
		Accounts: []s3serve.Account{{AccessKeyID: keyID, Secret: secret}}})
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	ctx, end := context.WithCancel(context.Background())
	go func() {
		defer end()
		io.Copy(io.Discard, os.Stdin) // until the parent process has ended
	}()
	fmt.Println("http://" + ln.Addr().String())
	return server.Serve(ctx, ln)
}
