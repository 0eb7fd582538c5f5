package cli

import (
	"context"
	"crypto/x509"
	"net"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/batholith/batholith/internal/certs"
	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/door"
)

// openCertificates reads the certificates of the two listeners. If both use the same files, they share one keeper.
// A file that cannot be read is an error, and the server does not start.
func (s *service) openCertificates() (err error) {
	c := s.o.Config
	if c.TLS.On() {
		if s.cert, err = certs.Open(c.TLS.Files(), s.o.Log); err != nil {
			return err
		}
	}
	switch own := c.S3TLS(); {
	case !c.EmbeddedS3():
	case own == c.TLS:
		s.s3cert = s.cert
	case own.On():
		s.s3cert, err = certs.Open(own.Files(), s.o.Log)
	}
	return err
}

// followCertificates adds a goroutine to g for each certificate that reads it again when its files change. A
// renewal needs no restart.
func (s *service) followCertificates(ctx context.Context, g *errgroup.Group) {
	if s.cert != nil {
		g.Go(func() error { return s.cert.Run(ctx) })
	}
	if s.s3cert != nil && s.s3cert != s.cert {
		g.Go(func() error { return s.s3cert.Run(ctx) })
	}
}

// secured returns a listener with TLS, or ln itself if there is no certificate.
func secured(ln net.Listener, k *certs.Keeper) net.Listener {
	if k == nil {
		return ln
	}
	return door.Secure(ln, k.Config())
}

// address returns the URL of a listener for clients on this machine. With a certificate, the host is a name for
// which the certificate is valid.
func address(ln net.Listener, k *certs.Keeper) string {
	plain := reachable(ln)
	if k == nil {
		return plain
	}
	host, port, err := net.SplitHostPort(strings.TrimPrefix(plain, "http://"))
	if err != nil {
		return plain
	}
	return "https://" + net.JoinHostPort(k.Host(host, "localhost"), port)
}

// authorityOf returns the absolute path of the certificate file that clients on this machine need to verify the
// listeners, or "" if the system's authorities are enough. The section tls comes before that of the S3, because a
// client has one such file. The server announces the path in the data directory.
func authorityOf(c *config.Config) string {
	sections := []config.TLS{c.TLS}
	if c.EmbeddedS3() {
		sections = append(sections, c.S3TLS())
	}
	for _, t := range sections {
		if !t.On() {
			continue
		}
		// A certificate of a public authority needs no file: the system's authorities verify it.
		if k, err := certs.Open(t.Files(), nil); err == nil && (t.CA != "" || k.Private()) {
			path, _ := filepath.Abs(t.Authority())
			return path
		}
	}
	return ""
}

// rootsOf returns the authorities for the listeners of a server on this machine, or nil for the system's. A file
// that cannot be read gives nil too: the connection then fails with the reason.
func rootsOf(server config.Server) *x509.CertPool {
	if server.CA == "" {
		return nil
	}
	pool, err := certs.Pool(server.CA)
	if err != nil {
		return nil // the connection is then refused, and says that the authority is unknown
	}
	return pool
}
