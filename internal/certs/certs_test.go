package certs

import (
	"bytes"
	"crypto/tls"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/batholith/batholith/internal/certs/certstest"
)

func put(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// meet runs a handshake, and returns the client's error.
func meet(t *testing.T, k *Keeper, client *tls.Config) error {
	t.Helper()
	ours, theirs := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s := tls.Server(theirs, k.Config())
		if s.Handshake() == nil {
			s.Write([]byte("x"))
		}
		theirs.Close()
	}()
	c := tls.Client(ours, client)
	_, err := c.Read(make([]byte, 1)) // a server refuses a client's certificate after the client's handshake
	ours.Close()
	<-done
	return err
}

func TestAChangedPairIsTakenAndAFaultyOneKeepsTheOld(t *testing.T) {
	old, next := certstest.New(t), certstest.New(t)
	cert, key, _ := old.Files(t.TempDir(), "localhost")
	var log bytes.Buffer
	k, err := Open(Files{Cert: cert, Key: key}, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	trusts := func(a *certstest.Authority) error {
		return meet(t, k, &tls.Config{RootCAs: a.Pool, ServerName: "localhost"})
	}
	if err := trusts(old); err != nil {
		t.Fatal(err)
	}
	c, p := next.Issue("localhost")
	put(t, cert, c) // of which the key has not come yet
	for range 4 {
		k.look()
	}
	if err := trusts(old); err != nil || k.Note() == "" || strings.Count(log.String(), "level=ERROR") != 1 {
		t.Errorf("after half a pair: %v; note %q; log %s", err, k.Note(), &log)
	}
	put(t, key, p)
	k.look()
	if err := trusts(old); err != nil {
		t.Errorf("a pair was taken at its first sight: %v", err)
	}
	k.look()
	if err := trusts(next); err != nil || k.Note() != "" {
		t.Errorf("after the whole pair: %v; note %q", err, k.Note())
	}
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	k.look()
	if err := trusts(next); err != nil || k.Note() == "" {
		t.Errorf("without the key: %v; note %q", err, k.Note())
	}
	if strings.Contains(log.String(), "PRIVATE") {
		t.Errorf("a key is in the log: %s", &log)
	}
}

func TestOnlyClientsOfTheAuthorityMeetAMachinesListener(t *testing.T) {
	ours, others := certstest.New(t), certstest.New(t)
	cert, key, ca := ours.Files(t.TempDir(), "localhost")
	k, err := Open(Files{Cert: cert, Key: key, ClientCA: ca}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		shows []tls.Certificate
		ok    bool
	}{
		"its own":     {[]tls.Certificate{ours.Pair("m")}, true},
		"none":        {nil, false},
		"another's":   {[]tls.Certificate{others.Pair("m")}, false},
		"self-signed": {[]tls.Certificate{certstest.New(t).Pair("m")}, false},
	} {
		err := meet(t, k, &tls.Config{RootCAs: ours.Pool, ServerName: "localhost", Certificates: tt.shows})
		if (err == nil) != tt.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOldVersionsOfTLSAreRefused(t *testing.T) {
	a := certstest.New(t)
	cert, key, _ := a.Files(t.TempDir(), "localhost")
	for oldest, taken := range map[uint16][]uint16{0: {tls.VersionTLS12, tls.VersionTLS13}, tls.VersionTLS12: {tls.VersionTLS12, tls.VersionTLS13}, tls.VersionTLS13: {tls.VersionTLS13}} {
		k, err := Open(Files{Cert: cert, Key: key, Oldest: oldest}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range []uint16{tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12, tls.VersionTLS13} {
			err := meet(t, k, &tls.Config{RootCAs: a.Pool, ServerName: "localhost", MinVersion: v, MaxVersion: v})
			want := false
			for _, ok := range taken {
				want = want || ok == v
			}
			if (err == nil) != want {
				t.Errorf("oldest %s, client %s: %v", tls.VersionName(oldest), tls.VersionName(v), err)
			}
		}
	}
}

func TestAURLHasANameOfTheCertificate(t *testing.T) {
	a := certstest.New(t)
	for want, names := range map[string][]string{
		"127.0.0.1":       {"localhost", "127.0.0.1"},
		"localhost":       {"other.example", "localhost"},
		"first.example":   {"*.example", "first.example", "second.example"},
		"127.0.0.2":       {"127.0.0.2"},
		"batholith.local": {"batholith.local"},
	} {
		cert, key, _ := a.Files(t.TempDir(), names...)
		k, err := Open(Files{Cert: cert, Key: key}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := k.Host("127.0.0.1", "localhost"); got != want {
			t.Errorf("%v: %s, want %s", names, got, want)
		}
		if !k.Private() {
			t.Errorf("%v: the system knows an authority of this test", names)
		}
	}
}
