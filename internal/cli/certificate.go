package cli

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/batholith/batholith/internal/config"
)

// certificate is the client certificate of a command. The TLS library calls it when a server asks for a certificate
// (tls.client_ca). nil: the command has none.
type certificate func(*tls.CertificateRequestInfo) (*tls.Certificate, error)

// nameCertificate is the remedy for a missing or refused client certificate.
const nameCertificate = "name a certificate of the server's tls.client_ca with --client-cert FILE --client-key FILE, or with BATHOLITH_CLIENT_CERT and BATHOLITH_CLIENT_KEY"

// clientCertificate returns the certificate that the settings name. It reads the files once to find errors, and again
// for each connection, so that a watch of days outlives a renewal. An error has a remedy.
func clientCertificate(c config.Client) (certificate, error) {
	switch {
	case c == config.Client{}:
		return nil, nil
	case c.Cert == "" || c.Key == "":
		return nil, &usageError{reason: "a client certificate and its key belong together: client.cert and client.key", remedy: "name both files with --client-cert FILE --client-key FILE, or with BATHOLITH_CLIENT_CERT and BATHOLITH_CLIENT_KEY"}
	}
	read := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
		if err != nil {
			return nil, fmt.Errorf("read the client certificate %s and its key %s: %w", c.Cert, c.Key, err)
		}
		return &pair, nil
	}
	if _, err := read(nil); err != nil {
		return nil, hint(err, "name PEM files that this user can read; a key with a password must be decrypted first: openssl pkey -in KEY -out FILE")
	}
	return read, nil
}

// bindCertificate adds --client-cert and --client-key.
func bindCertificate(cmd *cobra.Command, c *config.Client) {
	cmd.Flags().StringVar(&c.Cert, "client-cert", "", "PEM `file` with the client certificate, for a server with tls.client_ca (BATHOLITH_CLIENT_CERT)")
	cmd.Flags().StringVar(&c.Key, "client-key", "", "PEM `file` with the key of the client certificate (BATHOLITH_CLIENT_KEY)")
}

// over returns the certificate of the flags, where they were given, and of the settings.
func over(flags, settings config.Client) config.Client {
	return config.Client{Cert: cmp.Or(flags.Cert, settings.Cert), Key: cmp.Or(flags.Key, settings.Key)}
}

// shows makes a transport show the certificate to servers that ask for one.
func (show certificate) shows(t *http.Transport) {
	if show == nil {
		return
	}
	if t.TLSClientConfig == nil {
		t.TLSClientConfig = &tls.Config{}
	}
	t.TLSClientConfig.GetClientCertificate = show
}

// needs returns an error if the server on this machine asks clients for a certificate and the command has none.
// Without it, the connection may be closed before its reason arrives.
func (show certificate) needs(server config.Server) error {
	if server.ClientCA && show == nil {
		return hint(errors.New("the server asks for a client certificate (tls.client_ca), and none is named"), nameCertificate)
	}
	return nil
}

// clientCertificateOf adds the certificate to the environment of a server that asks for one. Only the commands of
// batholith read these variables: the AWS CLI and the SDKs have none, so a note names their own settings.
func (a *app) clientCertificateOf(e *environment, server config.Server, c config.Client) {
	switch {
	case !server.ClientCA:
		return
	case c == config.Client{}:
		a.tell("note", "the server asks clients for a certificate (tls.client_ca), and none is named")
		a.tell("hint", nameCertificate)
	default:
		for _, v := range []variable{{"CERT", c.Cert}, {"KEY", c.Key}} {
			if path, err := filepath.Abs(v.value); err == nil && v.value != "" {
				e.set(config.EnvPrefix+"CLIENT_"+v.name, path)
			}
		}
	}
	a.tell("note", "only the commands of batholith read these variables. curl: --cert FILE --key FILE; boto3: Config(client_cert=(CERT, KEY)); "+
		"other SDKs: an HTTP client with the certificate. The AWS CLI cannot show one")
}
