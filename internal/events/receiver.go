package events

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/url"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/batholith/batholith"
)

// Format is the form of an event's body.
type Format string

// The formats.
const (
	EventBridge Format = "eventbridge" // as Amazon EventBridge passes on Bedrock's events
	CloudEvents Format = "cloudevents" // CloudEvents 1.0, structured mode, with EventBridge's detail as data
)

// Receiver is where events are posted.
type Receiver struct {
	Name     string // unique; its cursor is stored under it
	URL      string
	Format   Format
	Secret   string             // signs each request as Standard Webhooks says; "": they are not signed
	Header   http.Header        // further headers
	Statuses []batholith.Status // changes to other statuses are not sent; empty: all are
	Roots    *x509.CertPool     // nil: the system's
	Timeout  time.Duration      // of one request
	MaxAge   time.Duration      // of an event that is tried again

	transport http.RoundTripper // of tests; nil: HTTP
}

// Wants reports whether the receiver gets changes to this status.
func (r *Receiver) Wants(s batholith.Status) bool {
	for _, w := range r.Statuses {
		if w == s {
			return true
		}
	}
	return len(r.Statuses) == 0
}

// Label names the receiver in metrics: its name, or the host of a URL, whose path may be secret.
func (r *Receiver) Label() string {
	if u, err := url.Parse(r.Name); err == nil && u.Host != "" {
		return u.Host
	}
	return r.Name
}

// client returns the HTTP client of the receiver. It follows no redirect: a POST would become a GET without a body.
func (r *Receiver) client() *http.Client {
	transport := r.transport
	if transport == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.MaxConnsPerHost = parallel
		if r.Roots != nil {
			t.TLSClientConfig = &tls.Config{RootCAs: r.Roots, MinVersion: tls.VersionTLS12}
		}
		transport = t
	}
	return &http.Client{Transport: transport, Timeout: r.Timeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// CheckSecret returns why a secret cannot sign, or nil. It is the base64 of 24 to 64 bytes, with or without whsec_ before it (Standard
// Webhooks, «Signature scheme»).
func CheckSecret(secret string) error {
	_, err := signer(secret)
	return err
}

// signer returns what signs with the secret.
func signer(secret string) (*standardwebhooks.Webhook, error) {
	w, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		return nil, fmt.Errorf("it is not base64: %w", err)
	}
	return w, nil
}
