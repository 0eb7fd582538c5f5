package object

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

	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/batholith/batholith/internal/system"
)

// unreached converts a network error into a Fault. None of them is permanent.
func unreached(err error) *Fault {
	// Stalls and broken answers come first: these connections had worked.
	host, scheme := destination(err)
	switch {
	case errors.Is(err, errStalled):
		return &Fault{Cause: errStalled.Error()}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &Fault{Cause: "the answer broke off"}
	}
	if f := offLimits(err); f != nil {
		return f
	}
	// TLS errors wrap network errors, so they are checked before them.
	if f := secured(err, host, scheme); f != nil {
		return f
	}
	var dns *net.DNSError // the host name could not be resolved
	var op *net.OpError   // the proxy could not be reached
	switch {
	case errors.As(err, &op) && op.Op == "proxyconnect":
		return &Fault{Cause: fmt.Sprintf("the proxy on the way to %s does not answer (%v)", host, op.Err), Remedy: "check HTTPS_PROXY and HTTP_PROXY, or name the host in NO_PROXY"}
	case errors.As(err, &dns) && dns.IsNotFound:
		return &Fault{Cause: "there is no host " + dns.Name, Remedy: "check s3.endpoint; if the name begins with the bucket's, set s3.path_style: true"}
	case errors.As(err, &dns):
		return &Fault{Cause: fmt.Sprintf("the name %s cannot be looked up (%s)", dns.Name, dns.Err), Remedy: "check this machine's DNS"}
	case system.Is(err, syscall.ECONNREFUSED):
		return &Fault{Cause: "nothing listens at " + host + " (connection refused)", Remedy: "start the S3 server there, or correct s3.endpoint"}
	case system.Is(err, syscall.EHOSTUNREACH), system.Is(err, syscall.ENETUNREACH):
		return &Fault{Cause: "the network has no route to " + host + " (unreachable)", Remedy: "check s3.endpoint and this machine's network"}
	case system.Is(err, syscall.ECONNRESET), system.Is(err, syscall.EPIPE), errors.Is(err, io.EOF):
		return &Fault{Cause: host + " closed the connection without an answer", Remedy: "check that an S3 listens there, and whether it wants https://"}
	case timedOut(err):
		return &Fault{Cause: "no answer from " + host + " in time", Remedy: "check s3.endpoint, and that no firewall blocks the connection"}
	}
	return &Fault{Cause: plain(err)}
}

// secured returns a Fault if TLS is the problem: missing, unexpected, or with an invalid
// certificate. Otherwise it returns nil.
func secured(err error, host, scheme string) *Fault {
	var (
		authority x509.UnknownAuthorityError
		name      x509.HostnameError
		invalid   x509.CertificateInvalidError
		record    tls.RecordHeaderError
		alert     *net.OpError
	)
	switch {
	case errors.As(err, &alert) && alert.Op == "remote error" && strings.Contains(alert.Err.Error(), "certificate"): // RFC 8446, section 6.2
		return &Fault{Cause: fmt.Sprintf("%s asks for a client certificate, or refuses the one that it got (%v)", host, alert.Err),
			Remedy: "commands show the one of --client-cert and --client-key; let the S3 accept requests of the server without a certificate"}
	case errors.As(err, &authority):
		return &Fault{Cause: fmt.Sprintf("the certificate of %s is from an authority that this machine does not know", host),
			Remedy: "name a PEM file with the authority's certificate in s3.ca_bundle or AWS_CA_BUNDLE, or add it to the system's"}
	case errors.As(err, &name):
		return &Fault{Cause: fmt.Sprintf("the certificate of %s is for another name (%v)", host, name),
			Remedy: "write the name of the certificate in s3.endpoint; if the name begins with the bucket's, set s3.path_style: true"}
	case errors.As(err, &invalid):
		return &Fault{Cause: fmt.Sprintf("the certificate of %s is not valid (%v)", host, invalid), Remedy: "renew it, or set this machine's clock"}
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &record):
		return &Fault{Cause: host + " does not speak TLS", Remedy: "write http:// in s3.endpoint"}
	case scheme == "http" && strings.Contains(err.Error(), `malformed HTTP response "\x15`): // net/http: a TLS alert
		return &Fault{Cause: host + " speaks TLS", Remedy: "write https:// in s3.endpoint"}
	}
	return nil
}

// destination returns the host and scheme of the request that failed.
func destination(err error) (host, scheme string) {
	var u *url.Error
	if errors.As(err, &u) {
		if at, perr := url.Parse(u.URL); perr == nil && at.Host != "" {
			return at.Host, at.Scheme
		}
	}
	return "s3.endpoint", ""
}

func timedOut(err error) bool {
	var t interface{ Timeout() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}

// plain returns the innermost error text. The SDK and net/http wrap it in long, repetitive
// messages.
func plain(err error) string {
	var send *smithyhttp.RequestSendError
	if errors.As(err, &send) {
		err = send.Err
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return err.Error()
}
