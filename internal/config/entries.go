package config

import (
	"fmt"
	"slices"

	"github.com/batholith/batholith/internal/dialect"
)

// complete fills in what entries of lists leave out, and the secrets that they name variables for.
func (l *loader) complete() {
	c := l.config
	if c.S3.Endpoint != "" && c.Origin("s3.listen").Source == "default" {
		c.S3.Listen = "off"
	}
	c.S3.SecretAccessKey = l.env[c.S3.SecretAccessKeyEnv]
	for i := range c.Credentials {
		k := &c.Credentials[i]
		k.Account = orElse(k.Account, c.Account)
		k.SecretAccessKey = orElse(k.SecretAccessKey, l.env[k.SecretAccessKeyEnv])
	}
	for i := range c.APIKeys {
		k := &c.APIKeys[i]
		k.Account = orElse(k.Account, c.Account)
		k.Key = orElse(k.Key, l.env[k.KeyEnv])
	}
	for i := range c.Roles {
		c.Roles[i].SecretAccessKey = l.env[c.Roles[i].SecretAccessKeyEnv]
	}
	for i := range c.Models {
		m := &c.Models[i]
		for j := range m.Backends {
			b := &m.Backends[j]
			b.Protocol = orElse(b.Protocol, "openai")
			b.Model = orElse(b.Model, m.ID)
			b.APIKey = l.env[b.APIKeyEnv]
			if b.Timeout == 0 {
				b.Timeout = DefaultTimeout
			}
		}
	}
}

// orElse is s, or another text when s is empty.
func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// checkCallers checks who may call: names are there, secrets are there, no key is there twice.
func (l *loader) checkCallers() {
	seen := map[string]bool{}
	for i, k := range l.config.Credentials {
		at := fmt.Sprintf("credentials[%d]", i)
		l.required(at+".access_key_id", k.AccessKeyID)
		l.required(at+".principal", k.Principal)
		if k.AccessKeyID != "" && seen[k.AccessKeyID] {
			l.bad(at+".access_key_id", "give every credential its own", "%q is there twice", k.AccessKeyID)
		}
		seen[k.AccessKeyID] = true
		l.caller(at, k.Account, k.SecretAccessKey, "secret_access_key", k.SecretAccessKeyEnv)
	}
	for i, k := range l.config.APIKeys {
		at := fmt.Sprintf("api_keys[%d]", i)
		l.required(at+".principal", k.Principal)
		l.caller(at, k.Account, k.Key, "key", k.KeyEnv)
	}
}

// caller checks what credentials and API keys have in common.
func (l *loader) caller(at, account, secret, key, variable string) {
	if variable != "" {
		l.secretNamed(at+"."+key+"_env", variable)
	} else if secret == "" {
		l.bad(at, fmt.Sprintf("give %s_env, the name of a variable that holds it, or %s", key, key), "it has no secret")
	}
	if !accountForm.MatchString(account) {
		l.bad(at+".account", "write twelve digits, quoted", "%q is no account", account)
	}
}

// required notes an entry that lacks what it cannot do without.
func (l *loader) required(path, value string) {
	if value == "" {
		l.bad(path, "add it", "it is missing")
	}
}

// checkRoles checks what jobs may name as their role.
func (l *loader) checkRoles() {
	seen := map[string]bool{}
	for i, r := range l.config.Roles {
		at := fmt.Sprintf("roles[%d]", i)
		if !roleForm.MatchString(r.ARN) {
			l.bad(at+".arn", "write arn:aws:iam::ACCOUNT:role/NAME", "%q is no ARN of a role", r.ARN)
		} else if seen[r.ARN] {
			l.bad(at+".arn", "remove one", "%q is there twice", r.ARN)
		}
		seen[r.ARN] = true
		l.later(at+".assume", r.Assume != nil)
		l.secretNamed(at+".secret_access_key_env", r.SecretAccessKeyEnv)
		if r.Assume == nil && (r.AccessKeyID == "") != (r.SecretAccessKeyEnv == "") {
			l.bad(at, "give both, or none to use the keys of s3", "access_key_id and secret_access_key_env belong together")
		}
		if len(r.Buckets) > 0 && !l.config.EmbeddedS3() {
			l.bad(at+".buckets", "narrow the role's own keys at that S3", "only the embedded S3 can narrow a role to buckets")
		}
	}
}

// checkModels checks that every name leads to one model, and every model to a server.
func (l *loader) checkModels() {
	seen := map[string]bool{}
	for i, m := range l.config.Models {
		at := fmt.Sprintf("models[%d]", i)
		l.required(at+".id", m.ID)
		for _, name := range slices.Concat([]string{m.ID}, m.Aliases) {
			if name != "" && seen[name] {
				l.bad(at, "give every model its own names", "the name %q is taken by another model or alias", name)
			}
			seen[name] = true
		}
		if m.Family != "" {
			l.oneOf(at+".family", m.Family, dialect.Families()...)
		}
		if len(m.Backends) == 0 {
			l.bad(at+".backends", "add the server of the model: backends: [{url: http://127.0.0.1:8000/v1}]", "there is none")
		}
		for j, b := range m.Backends {
			l.checkBackend(fmt.Sprintf("%s.backends[%d]", at, j), b)
		}
	}
}

// checkBackend checks one model server. Whether it is there is not asked: it may come up later than this process.
func (l *loader) checkBackend(at string, b Backend) {
	l.web(at+".url", b.URL)
	switch b.Protocol {
	case "bedrock", "anthropic", "ollama", "tei":
		l.bad(at+".protocol", "use openai: ollama and most others speak it below /v1",
			"%s is not supported yet in this version", b.Protocol)
	default:
		l.oneOf(at+".protocol", b.Protocol, "openai", "bedrock", "anthropic", "ollama", "tei")
	}
	l.secretNamed(at+".api_key_env", b.APIKeyEnv)
	if b.MaxInFlight < 0 {
		l.bad(at+".max_in_flight", "write 0 to have it found automatically", "it is negative")
	}
	if b.Timeout < 0 {
		l.bad(at+".timeout", "write a duration such as 10m", "it is negative")
	}
}
