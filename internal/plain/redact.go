package plain

import (
	"regexp"
	"strings"
)

// Hidden replaces a secret in a text.
const Hidden = "(hidden)"

// webURL matches a URL in a text. The URL ends before white space, a quotation mark or an angle
// bracket.
var webURL = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://[^\s"'<>` + "`" + `]+`)

// shownParameters are the URL parameters whose values are shown. Any other parameter may be a key: servers use
// names such as key, api_key, token, sig, code and X-Amz-Signature.
var shownParameters = map[string]bool{"api-version": true, "version": true, "region": true, "deployment": true, "model": true, "host": true}

// Redact hides possible secrets in all URLs of a text: user names, passwords, fragments, and the values of
// parameters not in shownParameters.
func Redact(text string) string {
	if !strings.Contains(text, "://") {
		return text
	}
	return webURL.ReplaceAllStringFunc(text, RedactURL)
}

// RedactURL does the same for a single URL. It does not parse the URL, so malformed URLs are redacted too.
func RedactURL(u string) string {
	scheme, rest, ok := strings.Cut(u, "://")
	if !ok {
		scheme, rest = "", u // the scheme is missing: user:password@host
	} else {
		scheme += "://"
	}
	rest, fragment, hasFragment := strings.Cut(rest, "#")
	rest, query, hasQuery := strings.Cut(rest, "?")
	authority, path := rest, ""
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	if i := strings.LastIndexByte(authority, '@'); i >= 0 && strings.HasPrefix(scheme, "postgres") && databaseUser.MatchString(authority[:i]) {
		// the name of a database user, without a password, is no secret
	} else if i >= 0 {
		authority = Hidden + authority[i:]
	} else if i := strings.LastIndexByte(path, '@'); i >= 0 && strings.Contains(authority, ":") && !strings.Contains(path[:i], "//") && scheme != "" && !port.MatchString(authority) {
		authority, path = Hidden, path[i:] // the password contains a slash
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

// databaseUser matches a user name without a password.
var databaseUser = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)

// port matches an authority that ends in a port number, and therefore is not a user name with the start of a
// password.
var port = regexp.MustCompile(`(^|[^:]):[0-9]{1,5}$|\]$`)

// redactQuery hides parameter values that are not in shownParameters, and parameters without a name.
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
