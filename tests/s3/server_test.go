// Package s3_test holds the embedded S3 to what its users do with it: the client of this module, the AWS SDK as it comes, and
// the AWS CLI.
package s3_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"

	"github.com/batholith/batholith/internal/object"
	"github.com/batholith/batholith/internal/object/objecttest"
	"github.com/batholith/batholith/internal/s3serve"
)

const (
	region    = "us-east-1"
	accountID = "000000000000"
	keyID     = "AKTEST"
	secret    = "testsecret"
)

// endpoint is a running server.
type endpoint struct {
	url    string
	server *s3serve.Server
	stop   func() // waits for the end
}

// serve runs a server over dir until the test ends.
func serve(t testing.TB, dir string, more ...s3serve.Account) endpoint {
	t.Helper()
	return serveWith(t, s3serve.Options{Dir: dir, Accounts: more})
}

func serveWith(t testing.TB, o s3serve.Options) endpoint {
	t.Helper()
	o.Region, o.Owner = region, accountID
	o.Accounts = append(o.Accounts, s3serve.Account{AccessKeyID: keyID, Secret: secret})
	o.Log = slog.New(slog.NewTextHandler(testWriter{t}, nil))
	s, err := s3serve.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, ln) }()
	var stopped atomic.Bool
	stop := func() {
		if stopped.Swap(true) {
			return
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return endpoint{"http://" + ln.Addr().String(), s, stop}
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Logf("%s", p)
	return len(p), nil
}

func client(t testing.TB, e endpoint, id, secret string) *object.Client {
	t.Helper()
	c, err := object.New(object.Config{Endpoint: e.url, Region: region, PathStyle: true, AccessKeyID: id, SecretAccessKey: secret})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestEmbeddedServerKeepsTheLawOfABucket(t *testing.T) {
	t.Parallel()
	law(t, serve(t, t.TempDir()))
}

func TestEmbeddedServerKeepsTheLawWithoutExtendedAttributes(t *testing.T) {
	t.Parallel()
	law(t, serveWith(t, s3serve.Options{Dir: t.TempDir(), MetaFiles: true}))
}

func law(t *testing.T, e endpoint) {
	c := client(t, e, keyID, secret)
	n := 0
	objecttest.Run(t, func(t *testing.T) objecttest.Bucket {
		n++
		name := fmt.Sprintf("law-%d", n)
		if err := c.CreateBucket(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		return c.Bucket(name, object.Options{Owner: accountID})
	})
	objecttest.RunRemote(t, c.Bucket("no-such-bucket", object.Options{}))
}

func read(t testing.TB, b *object.Bucket, key string) (string, error) {
	t.Helper()
	r, err := b.Read(context.Background(), key, "", 0, -1)
	if err != nil {
		return "", err
	}
	defer r.Close()
	body, err := io.ReadAll(r)
	return string(body), err
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func want(t testing.TB, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("got %v, want %v", err, target)
	}
}
