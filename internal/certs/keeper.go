package certs

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/batholith/batholith/internal/follow"
)

// Keeper holds the certificate of a listener. It is safe for concurrent use; Run may be called
// once. A nil *Keeper stands for a listener without TLS.
type Keeper struct {
	files Files
	log   *slog.Logger
	state atomic.Pointer[state]

	texts follow.Contents[texts] // of the files; of Run alone
}

type state struct {
	*loaded
	note string // why the files' present contents do not hold; "" when they do
}

// Open reads the files.
func Open(f Files, log *slog.Logger) (*Keeper, error) {
	t, err := f.read()
	if err != nil {
		return nil, fmt.Errorf("read the certificate: %w", err)
	}
	l, err := f.parse(t)
	if err != nil {
		return nil, err
	}
	k := &Keeper{files: f, log: log, texts: follow.Since(t)}
	if k.log == nil {
		k.log = slog.New(slog.DiscardHandler)
	}
	k.state.Store(&state{loaded: l})
	return k, nil
}

// Config returns a configuration that uses the newest certificate for each new connection.
func (k *Keeper) Config() *tls.Config {
	first := k.state.Load().config.Clone()
	first.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return k.state.Load().config, nil }
	return first
}

// Host returns the first of wanted for which the certificate is valid, else another name in it.
func (k *Keeper) Host(wanted ...string) string { return host(k.state.Load().leaf, wanted...) }

// Private reports whether clients need the certificate's authority, because the system's
// authorities do not vouch for it.
func (k *Keeper) Private() bool { return k.state.Load().private() }

// Note says why the certificate is not that of the files, or that it has expired; "" if neither.
func (k *Keeper) Note() string {
	if k == nil {
		return ""
	}
	s := k.state.Load()
	if s.note == "" && time.Now().After(s.leaf.NotAfter) {
		return fmt.Sprintf("the certificate %s has expired on %s", k.files.Cert, s.leaf.NotAfter.UTC().Format(time.DateOnly))
	}
	return s.note
}

// Run follows the files until ctx ends.
func (k *Keeper) Run(ctx context.Context) error { return follow.Run(ctx, k.look) }

// look reads the files once, and takes contents that it has found twice.
func (k *Keeper) look() {
	t, err := k.files.read()
	if err != nil {
		k.texts.Lost()
		k.keep(err)
		return
	}
	if !k.texts.Changed(t) {
		return
	}
	l, err := k.files.parse(t)
	if err != nil {
		k.keep(err)
		return
	}
	k.state.Store(&state{loaded: l})
	k.log.Info("the certificate was read again", "file", k.files.Cert, "until", l.leaf.NotAfter.UTC())
}

// keep lets the certificate of before stay, and says why, once.
func (k *Keeper) keep(err error) {
	now := k.state.Load()
	note := fmt.Sprintf("the certificate is the one of before, because %s was changed and cannot be used; see the log", k.files.Cert)
	if now.note == note {
		return
	}
	k.state.Store(&state{loaded: now.loaded, note: note})
	k.log.Error("the certificate's files were changed and are not taken: the certificate of before stays", "file", k.files.Cert, "err", err)
}
