package cli

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsbedrock "github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/batholith/batholith/internal/authz"
	"github.com/batholith/batholith/internal/certs"
	"github.com/batholith/batholith/internal/certs/certstest"
	"github.com/batholith/batholith/internal/config"
)

// start runs the whole service until the test ends.
func startService(t *testing.T, c *config.Config) addresses {
	t.Helper()
	data, err := config.OpenData(c.Data)
	if err != nil {
		t.Fatal(err)
	}
	c.Data = data.Dir
	ctx, stop := context.WithCancel(context.Background())
	ready, done := make(chan addresses, 1), make(chan error, 1)
	go func() {
		done <- serve(ctx, serveOptions{Config: c, Log: slog.New(slog.DiscardHandler), Ready: func(at addresses) { ready <- at }})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil && !shutDown(ctx, err) {
			t.Error(err)
		}
		data.Close()
	})
	select {
	case at := <-ready:
		if err := data.Announce(announcement(c, at)); err != nil {
			t.Fatal(err)
		}
		return at
	case err := <-done:
		done <- err
		t.Fatal(err)
		return addresses{}
	}
}

func TestCommandsReachAServerWithACertificateOfItsOwn(t *testing.T) {
	c := config.Default(config.ProfileDefault)
	c.Data, c.Listen, c.S3.Listen, c.Embedded = filepath.Join(t.TempDir(), "data"), "127.0.0.1:0", "127.0.0.1:0", false
	c.Credentials = []config.Credential{{AccessKeyID: "AKALICE", SecretAccessKey: "secret", Principal: "alice", Account: c.Account}}
	authority := certstest.New(t)
	c.TLS.Cert, c.TLS.Key, c.TLS.CA = authority.Files(t.TempDir(), "localhost") // and not 127.0.0.1
	at := startService(t, c)
	if !strings.HasPrefix(at.Bedrock, "https://localhost:") || !strings.HasPrefix(at.S3, "https://localhost:") {
		t.Fatalf("the server is at %s and %s", at.Bedrock, at.S3)
	}

	a := &app{stdout: io.Discard, stderr: io.Discard}
	k, err := a.connectServer(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.bedrock.ListModelInvocationJobs(t.Context(), &awsbedrock.ListModelInvocationJobsInput{}); err != nil {
		t.Error(err)
	}
	// SDKs send bodies over TLS unsigned, in chunks with a checksum behind them.
	const text = "a prompt"
	if _, err := k.objects.store.API().PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(defaultBucket), Key: aws.String("k"), Body: strings.NewReader(text)}); err != nil {
		t.Fatal(err)
	}
	got, err := k.objects.all(t.Context(), "s3://"+defaultBucket+"/k")
	if err != nil || string(got) != text {
		t.Errorf("%q %v", got, err)
	}

	e, err := a.serverEnvironment(c)
	if err != nil {
		t.Fatal(err)
	}
	named := ""
	for _, v := range e.vars {
		if v.name == "AWS_CA_BUNDLE" {
			named = v.value
		}
	}
	if named != c.TLS.CA {
		t.Errorf("env names the authorities %q, want %q", named, c.TLS.CA)
	}

	web := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: authority.Pool}, ForceAttemptHTTP2: true}}
	defer web.CloseIdleConnections()
	resp, err := web.Get(at.Bedrock + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.ProtoMajor != 2 {
		t.Errorf("%s over %s", resp.Status, resp.Proto)
	}
	for _, url := range []string{at.Bedrock, at.S3} {
		resp, err := web.Get("http" + strings.TrimPrefix(url, "https"))
		if err != nil {
			t.Fatal(err)
		}
		said, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest || !strings.Contains(string(said), "https://") {
			t.Errorf("without TLS, %s answers %s %q", url, resp.Status, said)
		}
	}
}

func TestACertificateOfBothListenersIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		policy, err := authz.Open("", nil)
		if err != nil {
			t.Fatal(err)
		}
		keeper := func() *certs.Keeper {
			cert, key, _ := certstest.New(t).Files(t.TempDir(), "localhost")
			k, err := certs.Open(certs.Files{Cert: cert, Key: key}, nil)
			if err != nil {
				t.Fatal(err)
			}
			return k
		}
		one, two := keeper(), keeper()
		time.Sleep(2 * time.Hour) // of the bubble: the certificates are valid for one
		for _, tt := range []struct {
			api, s3 *certs.Keeper
			notes   int
		}{{one, one, 1}, {one, two, 2}, {one, nil, 1}, {nil, two, 1}, {nil, nil, 0}} {
			s := &service{policy: policy, cert: tt.api, s3cert: tt.s3}
			if got := s.notes(); len(got) != tt.notes {
				t.Errorf("%d notes, want %d: %q", len(got), tt.notes, got)
			}
		}
	})
}
