package words

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"

	"github.com/batholith/batholith/internal/system"
)

// Network returns the reason why an HTTP request got no answer, without the prefixes of net/http
// and without the URL: "127.0.0.1:4600 refuses connections (connection refused)". It returns ""
// for an error that does not come from the network, and the caller shows the error itself.
func Network(err error) string {
	var (
		u    *url.Error
		dns  *net.DNSError
		dial *net.OpError
		cert *tls.CertificateVerificationError
		auth x509.UnknownAuthorityError
		late interface{ Timeout() bool }
	)
	host := "the server"
	if errors.As(err, &u) {
		if at, perr := url.Parse(u.URL); perr == nil && at.Host != "" {
			host = at.Host
		}
	}
	if errors.As(err, &dial) && dial.Addr != nil && host == "the server" {
		host = dial.Addr.String()
	}
	switch {
	case RefusesCertificate(err):
		return fmt.Sprintf("%s asks for a client certificate, or refuses the one that it got (%v)", host, dial.Err)
	case errors.As(err, &dns) && dns.IsNotFound:
		return fmt.Sprintf("the host name %s is not known", dns.Name)
	case errors.As(err, &dns):
		return fmt.Sprintf("the host name %s cannot be looked up: the name server does not answer", dns.Name)
	case system.Is(err, syscall.ECONNREFUSED):
		return host + " refuses connections (connection refused)"
	case errors.Is(err, http.ErrSchemeMismatch):
		return host + " does not speak TLS"
	case errors.As(err, &auth):
		return fmt.Sprintf("this machine does not know the authority that signed the certificate of %s", host)
	case errors.As(err, &cert):
		return fmt.Sprintf("the certificate of %s is not valid", host)
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &late) && late.Timeout():
		return host + " did not answer in time"
	case system.Is(err, syscall.ECONNRESET), system.Is(err, syscall.EPIPE), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return host + " closed the connection without an answer"
	case dial != nil:
		var errno syscall.Errno
		if errors.As(err, &errno) {
			return fmt.Sprintf("%s cannot be reached (%s)", host, errno.Error())
		}
		return host + " cannot be reached"
	}
	return ""
}

// RefusesCertificate reports whether a server ended a TLS handshake because of the client's certificate (RFC 8446,
// section 6.2: bad_certificate, certificate_required, unknown_ca and others).
func RefusesCertificate(err error) bool {
	alert, ok := errors.AsType[*net.OpError](err)
	return ok && alert.Op == "remote error" && strings.Contains(alert.Err.Error(), "certificate")
}
