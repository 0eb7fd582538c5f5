package config

import "net"

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
