package sigv4

import (
	"slices"
	"strings"
)

// algorithm is the only supported value of the Authorization header's first word (AWS:
// Signature Version 4).
const algorithm = "AWS4-HMAC-SHA256"

// authorization holds the parts of an Authorization header.
type authorization struct {
	key, date, region, service string
	headers                    []string // signed headers, lower-case
	signature                  string
}

// parseAuthorization parses the part after the algorithm:
//
//	Credential=KEY/DATE/REGION/SERVICE/aws4_request, SignedHeaders=a;b, Signature=HEX
func parseAuthorization(s string) (authorization, error) {
	var credential, headers, signature string
	for part := range strings.SplitSeq(s, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "Credential":
			credential = value
		case "SignedHeaders":
			headers = value
		case "Signature":
			signature = value
		}
	}
	for _, p := range []struct{ name, value string }{{"Credential", credential}, {"SignedHeaders", headers}, {"Signature", signature}} {
		if p.value == "" {
			return authorization{}, incomplete("Authorization header requires '%s' parameter.", p.name)
		}
	}
	// A key id may contain slashes, so the four parts of the scope are taken from the end.
	scope := strings.Split(credential, "/")
	n := len(scope)
	if n < 5 || scope[n-1] != "aws4_request" {
		return authorization{}, incomplete("Credential must have exactly 5 slash-delimited elements: key/date/region/service/aws4_request.")
	}
	a := authorization{key: strings.Join(scope[:n-4], "/"), date: scope[n-4], region: scope[n-3], service: scope[n-2],
		headers: strings.Split(headers, ";"), signature: signature}
	for _, name := range []string{"host", "x-amz-date"} {
		if !slices.Contains(a.headers, name) && !(name == "host" && slices.Contains(a.headers, authority)) {
			return authorization{}, incomplete("'%s' must be a 'SignedHeader' in the AWS Authorization.", name)
		}
	}
	return a, nil
}
