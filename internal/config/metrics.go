package config

import (
	"fmt"
	"net"
	"net/url"
	"strings"
)

// Off is the value of an address that switches its listener off.
const Off = "off"

// Guarded reports whether callers of /metrics must send a token.
func (m Metrics) Guarded() bool { return m.TokenEnv != "" || m.TokenFile != "" }

// checkMetrics checks where /metrics is answered and to whom. A token must not be readable on a network; metrics without one may
// be: they hold no prompts, answers or keys, and whoever names an address for them decides who reaches it.
func (l *loader) checkMetrics() {
	m := l.config.Metrics
	if m.Listen != "" && m.Listen != Off {
		l.address("metrics.listen", m.Listen)
		if host, _, err := net.SplitHostPort(m.Listen); err == nil && m.Guarded() && !l.config.TLS.On() && !l.config.Insecure && !loopback(host) {
			l.bad("metrics.listen", "name a certificate with tls.cert and tls.key, or listen on 127.0.0.1, or leave the token out, or allow it with --insecure where the network is trusted",
				"%s can be reached from other machines, which would read the token on the way: there is no TLS", m.Listen)
		}
	}
	if m.TokenEnv != "" && m.TokenFile != "" {
		l.bad("metrics.token_file", "remove one of them", "metrics.token_env gives a token, too")
	}
	l.secretNamed("metrics.token_env", m.TokenEnv)
	l.secretFile("metrics.token_file", m.TokenFile)
}

// checkTraces checks where traces are sent.
func (l *loader) checkTraces() {
	t := l.config.Traces
	if t.Endpoint != "" {
		l.web("traces.endpoint", t.Endpoint)
	}
	if !(t.Sample >= 0 && t.Sample <= 1) { // also rejects NaN
		l.bad("traces.sample", "write a share from 0 to 1, such as 0.01", "%v is not a valid share", t.Sample)
	}
	l.secretNamed("traces.headers_env", t.HeadersEnv)
	if _, err := t.Pairs(); err != nil {
		l.bad("traces.headers_env", "write name=value,name=value", "what the variable %s holds is not valid: %v", t.HeadersEnv, err)
	}
}

// Pairs returns the headers by their names.
func (t Tracing) Pairs() (map[string]string, error) {
	all := map[string]string{}
	for i, pair := range strings.Split(t.Headers, ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		name, value, ok := strings.Cut(pair, "=")
		text, err := url.PathUnescape(strings.TrimSpace(value))
		if name = strings.TrimSpace(name); !ok || err != nil || !headerForm.MatchString(name) {
			return nil, fmt.Errorf("header %d is not name=value", i+1) // it does not quote the value, which is a secret
		}
		all[name] = text
	}
	return all, nil
}

// checkDebug checks where profiles are answered. They hold what is in memory: prompts, answers and keys.
func (l *loader) checkDebug() {
	at := l.config.Debug.Listen
	if at == "" {
		return
	}
	l.address("debug.listen", at)
	if host, _, err := net.SplitHostPort(at); err == nil && !loopback(host) && !l.config.Insecure {
		l.bad("debug.listen", "listen on 127.0.0.1, or allow it with --insecure where the network is trusted", "%s can be reached from other machines, and profiles show what the process has in its memory", at)
	}
}
