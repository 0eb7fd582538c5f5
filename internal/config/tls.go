package config

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"

	"github.com/batholith/batholith/internal/certs"
)

// On reports whether the section names a certificate.
func (t TLS) On() bool { return t.Cert != "" }

// Files are the section's files, as package certs takes them.
func (t TLS) Files() certs.Files {
	f := certs.Files{Cert: t.Cert, Key: t.Key, ClientCA: t.ClientCA, Oldest: tls.VersionTLS13}
	if t.MinVersion == "1.2" {
		f.Oldest = tls.VersionTLS12
	}
	return f
}

// Authority is the file with which clients of this machine verify the certificate.
func (t TLS) Authority() string {
	if t.CA != "" {
		return t.CA
	}
	return t.Cert
}

// S3TLS is the section that holds for the embedded S3.
func (c *Config) S3TLS() TLS {
	if c.S3.TLS != (TLS{}) {
		return c.S3.TLS
	}
	return c.TLS
}

// checkTLS checks both sections, and that nothing is sent in the clear beyond this machine.
func (l *loader) checkTLS() {
	c := l.config
	l.checkCertificates("tls", c.TLS)
	l.checkCertificates("s3.tls", c.S3.TLS)
	l.beyond("listen", c.Listen, c.TLS, "tls.cert and tls.key")
	if c.EmbeddedS3() && c.S3.Listen != "off" {
		l.beyond("s3.listen", c.S3.Listen, c.S3TLS(), "tls.cert and tls.key")
	} else if c.S3.TLS != (TLS{}) {
		l.bad("s3.tls", "remove it; s3.ca_bundle names the authorities of an external S3", "the embedded S3 is off")
	}
}

// checkCertificates reads the files as the server will.
func (l *loader) checkCertificates(at string, t TLS) {
	if t == (TLS{}) {
		return
	}
	if t.MinVersion != "" {
		l.oneOf(at+".min_version", t.MinVersion, "1.2", "1.3")
	}
	if t.Cert == "" || t.Key == "" {
		l.bad(at, "name both files", "a certificate and its key belong together: cert and key")
		return
	}
	if err := t.Files().Check(); err != nil {
		l.bad(at, "name PEM files that this process can read", "%v", pathError(err))
		return
	}
	if t.CA != "" {
		l.authorities(at+".ca", t.CA)
	}
	if info, err := os.Stat(t.Key); err == nil && info.Mode().Perm()&0o004 != 0 {
		l.config.Warnings = append(l.config.Warnings, fmt.Sprintf("%s: every user of this machine can read the key %s; close it with: chmod 600 %s", l.place(at+".key"), t.Key, t.Key))
	}
}

// authorities checks a PEM file of certificate authorities.
func (l *loader) authorities(path, file string) {
	if _, err := certs.Pool(file); err != nil {
		l.bad(path, "name a file in PEM form that this process can read: -----BEGIN CERTIFICATE-----", "%v", pathError(err))
	}
}

// beyond rejects an address that other machines can reach, if what is sent there can be read on
// the way and nobody has said that this is all right.
func (l *loader) beyond(path, address string, t TLS, settings string) {
	host, _, err := net.SplitHostPort(address)
	if t.On() || l.config.Insecure || err != nil || loopback(host) {
		return
	}
	l.bad(path, "name a certificate with "+settings+", or listen on 127.0.0.1, or allow it with --insecure where the network is trusted",
		"%s can be reached from other machines, which would read prompts, answers and bearer keys on the way: there is no TLS", address)
}
