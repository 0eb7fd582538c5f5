package config

import (
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/upstream"
)

// checkPriority checks the priority of a backend's batch requests.
func (l *loader) checkPriority(path, priority string) {
	if priority == "" || priority == upstream.PriorityLowest {
		return
	}
	if _, err := strconv.ParseInt(priority, 10, 64); err != nil {
		l.bad(path, "write lowest, or a whole number as the server takes it, or leave it out", "%q is not possible", priority)
	}
}

// checkKey checks where a backend's API key comes from.
func (l *loader) checkKey(at string, b Backend) {
	if b.APIKeyEnv != "" && b.APIKeyFile != "" {
		l.bad(at+".api_key_file", "remove one of them", "api_key_env gives a key, too")
	}
	l.secretFile(at+".api_key_file", b.APIKeyFile)
	if b.APIKeyHeader == "" {
		return
	}
	l.headerName(at+".api_key_header", b.APIKeyHeader)
	if b.APIKeyEnv == "" && b.APIKeyFile == "" {
		l.bad(at+".api_key_header", "name the key: api_key_env or api_key_file", "there is no key to put into it")
	}
}

// secretFile checks that a file has a secret that can be sent.
func (l *loader) secretFile(path, file string) {
	if file == "" {
		return
	}
	if err := upstream.CheckCredential(file); err != nil {
		l.bad(path, "name a file with the secret, and nothing else, that this process can read", "%v", err)
	}
}

// headerForm is the syntax of a header's name (RFC 9110, section 5.1).
var headerForm = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")

// ownHeaders are headers that the HTTP client sets.
var ownHeaders = []string{"Accept-Encoding", "Connection", "Content-Length", "Content-Type", "Host", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

// headerName checks the name of a header.
func (l *loader) headerName(path, header string) {
	switch {
	case !headerForm.MatchString(header):
		l.bad(path, "write a name such as X-Team", "%q is not the name of a header", header)
	case slices.Contains(ownHeaders, http.CanonicalHeaderKey(header)):
		l.bad(path, "remove it", "the header %s is set by the connection itself", header)
	}
}

// checkHeaders checks the headers of a backend, whose values come from three places.
func (l *loader) checkHeaders(at string, b Backend) {
	seen := map[string]string{http.CanonicalHeaderKey(b.APIKeyHeader): at + ".api_key_header"}
	delete(seen, "")
	each := func(setting string, headers map[string]string, check func(path, value string)) {
		for _, header := range slices.Sorted(maps.Keys(headers)) {
			path := join(at+"."+setting, header)
			l.headerName(path, header)
			key := http.CanonicalHeaderKey(header)
			if other, ok := seen[key]; ok {
				l.bad(path, "give each header once", "the header %s is there twice: %s has it, too", header, l.place(other))
			}
			seen[key] = path
			check(path, headers[header])
		}
	}
	each("headers", b.Headers, func(path, value string) {
		if plain.Line(value) != value {
			l.bad(path, "correct it", "it has control characters in it")
		}
	})
	each("headers_env", b.HeadersEnv, func(path, variable string) {
		l.required(path, variable)
		l.secretNamed(path, variable)
	})
	each("headers_file", b.HeadersFile, func(path, file string) {
		l.required(path, file)
		l.secretFile(path, file)
	})
}

// checkPaths checks the paths that are appended to a backend's url.
func (l *loader) checkPaths(at string, b Backend) {
	for setting, path := range map[string]string{"chat_path": b.ChatPath, "completions_path": b.CompletionsPath, "embeddings_path": b.EmbeddingsPath, "models_path": b.ModelsPath} {
		if path == "" {
			continue
		}
		_, err := url.Parse(strings.ReplaceAll(path, "{model}", "m"))
		switch {
		case strings.Contains(path, "://"):
			l.bad(at+"."+setting, "write only what follows the url, such as /chat/completions?api-version=2024-10-21", "%q is a whole URL", plain.RedactURL(path))
		case err != nil || !strings.HasPrefix(path, "/") || strings.ContainsAny(path, " #"):
			l.bad(at+"."+setting, "write a path such as /chat/completions", "%q is not a path", path)
		}
	}
}

// checkProxy checks the URL of a proxy.
func (l *loader) checkProxy(path, proxy string) {
	if proxy == "" || proxy == upstream.ProxyOff {
		return
	}
	u, err := url.Parse(proxy)
	if err != nil || !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme) || u.Host == "" {
		l.bad(path, "write http://HOST:PORT, https://HOST:PORT, socks5://HOST:PORT, or off", "%q is not the URL of a proxy", plain.RedactURL(proxy))
	}
}

// Upstream returns the settings of a backend for package upstream.
func (b Backend) Upstream() upstream.Options {
	o := upstream.Options{URL: b.URL, Protocol: b.Protocol, Model: b.Model, APIKey: b.APIKey, APIKeyFile: b.APIKeyFile, APIKeyHeader: b.APIKeyHeader,
		ExtraBody: string(b.ExtraBody), Proxy: b.Proxy, CAFile: b.CAFile, MaxInFlight: b.MaxInFlight, Priority: b.Priority, NoMixing: b.NoMixing, NoCanary: b.NoCanary, Weight: b.Weight, Standby: b.Standby, Timeout: b.Timeout,
		AWS:   upstream.AWS{Region: b.Region, Profile: b.Profile, File: b.CredentialsFile, AccessKeyID: b.AccessKeyID, SecretAccessKey: b.SecretAccessKey, SessionToken: b.SessionToken},
		Paths: upstream.Paths{Chat: b.ChatPath, Completions: b.CompletionsPath, Embeddings: b.EmbeddingsPath, Models: b.ModelsPath}}
	for _, name := range slices.Sorted(maps.Keys(b.Headers)) {
		o.Headers = append(o.Headers, upstream.Header{Name: name, Value: b.Headers[name]})
	}
	for _, name := range slices.Sorted(maps.Keys(b.Env)) {
		o.Headers = append(o.Headers, upstream.Header{Name: name, Value: b.Env[name], Secret: true})
	}
	for _, name := range slices.Sorted(maps.Keys(b.HeadersFile)) {
		o.Headers = append(o.Headers, upstream.Header{Name: name, File: b.HeadersFile[name]})
	}
	return o
}
