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

// openCertificates reads the certificates of the listeners. Where both have the same, it is followed once.
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

func (s *service) followCertificates(ctx context.Context, g *errgroup.Group) {
	if s.cert != nil {
		g.Go(func() error { return s.cert.Run(ctx) })
	}
	if s.s3cert != nil && s.s3cert != s.cert {
		g.Go(func() error { return s.s3cert.Run(ctx) })
	}
}

// secured is a listener with TLS, where there is a certificate.
func secured(ln net.Listener, k *certs.Keeper) net.Listener {
	if k == nil {
		return ln
	}
	return door.Secure(ln, k.Config())
}

// address is the URL of a listener for clients on this machine, by a name for which the certificate is valid.
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

// authorityOf is the file that clients on this machine need to verify the listeners; "" where the system's authorities do.
func authorityOf(c *config.Config) string {
	sections := []config.TLS{c.TLS}
	if c.EmbeddedS3() {
		sections = append(sections, c.S3TLS())
	}
	for _, t := range sections {
		if !t.On() {
			continue
		}
		if k, err := certs.Open(t.Files(), nil); err == nil && (t.CA != "" || k.Private()) {
			path, _ := filepath.Abs(t.Authority())
			return path
		}
	}
	return ""
}

// rootsOf are the authorities for the listeners of a server on this machine; nil: the system's.
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
