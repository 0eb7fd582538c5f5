package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/batholith/batholith/internal/follow"
)

// Files name what a listener needs for TLS.
type Files struct {
	Cert     string // PEM: the certificate, then its chain
	Key      string // PEM: the private key
	ClientCA string // PEM: authorities of clients, each of which must then show a certificate; "": none
	// Oldest is the oldest version of TLS that clients may speak, such as tls.VersionTLS13.
	Oldest uint16
}

// maxFile is the longest file that is read, in bytes.
const maxFile = 1 << 20

// texts are the contents of the files.
type texts struct{ cert, key, clientCA string }

// read returns the contents. An error names the file.
func (f Files) read() (t texts, err error) {
	if t.cert, err = readFile(f.Cert); err != nil {
		return t, err
	}
	if t.key, err = readFile(f.Key); err != nil {
		return t, err
	}
	if f.ClientCA != "" {
		t.clientCA, err = readFile(f.ClientCA)
	}
	return t, err
}

func readFile(path string) (string, error) {
	text, err := follow.Read(path, maxFile+1)
	if errors.Is(err, follow.ErrNotRegular) || len(text) > maxFile {
		return "", fmt.Errorf("%s is not a PEM file", path)
	}
	return text, err
}

// loaded are the files' contents, parsed.
type loaded struct {
	config *tls.Config
	leaf   *x509.Certificate
	chain  []*x509.Certificate
}

// parse makes a configuration of the contents. Errors never contain a part of the key.
func (f Files) parse(t texts) (*loaded, error) {
	pair, err := tls.X509KeyPair([]byte(t.cert), []byte(t.key))
	if err != nil {
		return nil, fmt.Errorf("the certificate %s and the key %s do not make a pair: %w", f.Cert, f.Key, err)
	}
	l := &loaded{config: &tls.Config{
		Certificates: []tls.Certificate{pair},
		MinVersion:   max(f.Oldest, tls.VersionTLS12),
		NextProtos:   []string{"h2", "http/1.1"},
		// A resumed session would outlive a change of the authorities.
		SessionTicketsDisabled: true,
	}}
	for _, der := range pair.Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("read the certificate %s: %w", f.Cert, err)
		}
		l.chain = append(l.chain, c)
	}
	l.leaf = l.chain[0]
	if f.ClientCA == "" {
		return l, nil
	}
	if l.config.ClientCAs, err = pool(f.ClientCA, t.clientCA); err != nil {
		return nil, err
	}
	l.config.ClientAuth = tls.RequireAndVerifyClientCert
	return l, nil
}

// Check reads the files once.
func (f Files) Check() error {
	t, err := f.read()
	if err != nil {
		return err
	}
	_, err = f.parse(t)
	return err
}

// Pool reads a PEM file of certificate authorities.
func Pool(path string) (*x509.CertPool, error) {
	text, err := readFile(path)
	if err != nil {
		return nil, err
	}
	return pool(path, text)
}

// pool parses the text of a PEM file of certificate authorities.
func pool(path, text string) (*x509.CertPool, error) {
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM([]byte(text)) {
		return nil, fmt.Errorf("there is no certificate in PEM form in %s", path)
	}
	return p, nil
}

// host returns a name for which the certificate is valid, for a URL: the first of wanted that
// is, else a name or an address in it, else the first of wanted.
func host(leaf *x509.Certificate, wanted ...string) string {
	for _, name := range wanted {
		if leaf.VerifyHostname(name) == nil {
			return name
		}
	}
	if i := slices.IndexFunc(leaf.DNSNames, func(name string) bool { return leaf.VerifyHostname(name) == nil && name[0] != '*' }); i >= 0 {
		return leaf.DNSNames[i]
	}
	if i := slices.IndexFunc(leaf.IPAddresses, net.IP.IsLoopback); i >= 0 {
		return leaf.IPAddresses[i].String()
	}
	return wanted[0]
}

// private reports whether the system's authorities do not vouch for the certificate.
func (l *loaded) private() bool {
	between := x509.NewCertPool()
	for _, c := range l.chain[1:] {
		between.AddCert(c)
	}
	_, err := l.leaf.Verify(x509.VerifyOptions{Intermediates: between})
	var unknown x509.UnknownAuthorityError
	return errors.As(err, &unknown)
}
