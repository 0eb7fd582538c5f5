package plain

import (
	"regexp"
	"strings"
)

// Hidden stands for a secret.
const Hidden = "(hidden)"

// webURL is a URL in a text, up to a blank or a quote.
var webURL = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://[^\s"'<>` + "`" + `]+`)

// shownParameters are the parameters of a URL whose values are shown. Of all others it cannot be known whether they are keys: servers take
// them as key, api_key, token, sig, code, X-Amz-Signature and by many other names.
var shownParameters = map[string]bool{"api-version": true, "version": true, "region": true, "deployment": true, "model": true}

// Redact hides what may be a secret in the URLs of a text: users and passwords, the values of parameters, and fragments.
func Redact(text string) string {
	if !strings.Contains(text, "://") {
		return text
	}
	return webURL.ReplaceAllStringFunc(text, RedactURL)
}

// RedactURL hides the secrets of one URL. It works on its text, so that one which cannot be parsed is hidden all the same.
func RedactURL(u string) string {
	scheme, rest, ok := strings.Cut(u, "://")
	if !ok {
		scheme, rest = "", u // a scheme was forgotten: user:password@host
	} else {
		scheme += "://"
	}
	rest, fragment, hasFragment := strings.Cut(rest, "#")
	rest, query, hasQuery := strings.Cut(rest, "?")
	authority, path := rest, ""
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		authority = Hidden + authority[i:]
	} else if i := strings.LastIndexByte(path, '@'); i >= 0 && strings.Contains(authority, ":") && !strings.Contains(path[:i], "//") && scheme != "" && !port.MatchString(authority) {
		authority, path = Hidden, path[i:] // a password with a slash in it
	}
	u = scheme + authority + path
	if hasQuery {
		u += "?" + redactQuery(query)
	}
	if hasFragment && fragment != "" {
		u += "#" + Hidden
	}
	return u
}

// port is an authority that ends in a port, and so is no user with the beginning of a password.
var port = regexp.MustCompile(`(^|[^:]):[0-9]{1,5}$|\]$`)

func redactQuery(query string) string {
	parameters := strings.FieldsFunc(query, func(r rune) bool { return r == '&' || r == ';' })
	for i, p := range parameters {
		name, value, ok := strings.Cut(p, "=")
		switch {
		case !ok:
			parameters[i] = Hidden
		case value != "" && !shownParameters[strings.ToLower(name)]:
			parameters[i] = name + "=" + Hidden
		}
	}
	return strings.Join(parameters, "&")
}
