package config

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/batholith/batholith/internal/dialect"
	"github.com/batholith/batholith/internal/sts"
)

// complete fills in defaults of list entries, and reads secrets from the environment variables
// that the settings name.
func (l *loader) complete() {
	c := l.config
	// An external S3 switches the embedded one off, unless s3.listen is set explicitly.
	if c.S3.Endpoint != "" && c.Origin("s3.listen").Source == "default" {
		c.S3.Listen = "off"
	}
	c.Metrics.Token = l.env[c.Metrics.TokenEnv]
	c.Traces.Headers = l.env[c.Traces.HeadersEnv]
	c.StorePassword = l.env[c.StorePasswordEnv]
	l.oneSecret("s3.secret_access_key", c.S3.SecretAccessKey, c.S3.SecretAccessKeyEnv)
	c.S3.SecretAccessKey = cmp.Or(c.S3.SecretAccessKey, l.env[c.S3.SecretAccessKeyEnv])
	for i := range c.Credentials {
		k := &c.Credentials[i]
		k.Account = cmp.Or(k.Account, c.Account)
		l.oneSecret(fmt.Sprintf("credentials[%d].secret_access_key", i), k.SecretAccessKey, k.SecretAccessKeyEnv)
		k.SecretAccessKey = cmp.Or(k.SecretAccessKey, l.env[k.SecretAccessKeyEnv])
	}
	for i := range c.APIKeys {
		k := &c.APIKeys[i]
		k.Account = cmp.Or(k.Account, c.Account)
		l.oneSecret(fmt.Sprintf("api_keys[%d].key", i), k.Key, k.KeyEnv)
		k.Key = cmp.Or(k.Key, l.env[k.KeyEnv])
	}
	for i := range c.Roles {
		r := &c.Roles[i]
		r.SecretAccessKey = l.env[r.SecretAccessKeyEnv]
		if r.Assume != nil {
			r.Assume.SecretAccessKey = l.env[r.Assume.SecretAccessKeyEnv]
		}
	}
	l.completeEvents()
	for i := range c.Models {
		m := &c.Models[i]
		for j := range m.Backends {
			b := &m.Backends[j]
			b.Protocol = cmp.Or(b.Protocol, "openai")
			b.Sole = b.Model == "" && len(b.Exec) > 0
			b.Model = cmp.Or(b.Model, m.ID)
			b.APIKey = l.env[b.APIKeyEnv]
			b.SecretAccessKey, b.SessionToken = l.env[b.SecretAccessKeyEnv], l.env[b.SessionTokenEnv]
			for name, variable := range b.HeadersEnv {
				if b.Env == nil {
					b.Env = map[string]string{}
				}
				b.Env[name] = l.env[variable]
			}
			b.Timeout = cmp.Or(b.Timeout, DefaultTimeout)
			l.completeExec(b)
		}
	}
}

// oneSecret rejects a secret given both directly and as the name of a variable: one of them
// would be ignored.
func (l *loader) oneSecret(path, written, variable string) {
	if written != "" && variable != "" {
		l.bad(path, "remove one of them", "the secret is set twice: as a value and by the name of a variable")
	}
}

// names detects duplicate names, of which one would silently replace the other.
type names struct {
	l    *loader
	seen map[string]string // name → path of its first entry
}

// take registers a name. It reports a problem if another entry has it.
func (n *names) take(path, name string) {
	if name == "" {
		return
	}
	if other, ok := n.seen[name]; ok {
		n.l.bad(path, "give every entry its own, or remove one", "%q is there twice: %s has it, too", name, n.l.place(other))
		return
	}
	if n.seen == nil {
		n.seen = map[string]string{}
	}
	n.seen[name] = path
}

// place returns the path of an entry with its line number.
func (l *loader) place(path string) string {
	if o := l.config.Origin(path); o.Line > 0 {
		return fmt.Sprintf("%s (line %d)", path, o.Line)
	}
	return path
}

// keyIDForm matches ids that a client can send: the id is part of a header, before a slash.
var keyIDForm = regexp.MustCompile(`^[!-+.0-~-]+$`)

// reservedKeyID reports whether an access key id is reserved for the server's own keys on the
// embedded S3.
func reservedKeyID(id string) bool {
	return id == "batholith-internal" || strings.HasPrefix(id, "batholith-role-")
}

// checkCallers checks credentials and API keys: names and secrets are present, and no key
// occurs twice.
func (l *loader) checkCallers() {
	// ids: access key ids by path; keys: bearer keys by path. The keys themselves never appear
	// in a message.
	ids, keys := names{l: l}, map[string]string{}
	for i, k := range l.config.Credentials {
		at := fmt.Sprintf("credentials[%d]", i)
		l.required(at+".access_key_id", k.AccessKeyID)
		l.required(at+".principal", k.Principal)
		l.keyID(at+".access_key_id", k.AccessKeyID)
		ids.take(at+".access_key_id", k.AccessKeyID)
		l.caller(at, k.Account, k.SecretAccessKey, "secret_access_key", k.SecretAccessKeyEnv)
	}
	for i, r := range l.config.Roles {
		at := fmt.Sprintf("roles[%d].access_key_id", i)
		l.keyID(at, r.AccessKeyID)
		if l.config.EmbeddedS3() { // the embedded S3 distinguishes callers and roles by key; an external S3 has keys of its own
			ids.take(at, r.AccessKeyID)
		}
	}
	for i, k := range l.config.APIKeys {
		at := fmt.Sprintf("api_keys[%d]", i)
		l.required(at+".principal", k.Principal)
		l.caller(at, k.Account, k.Key, "key", k.KeyEnv)
		if other, ok := keys[k.Key]; ok && k.Key != "" {
			l.bad(at, "give every principal a key of its own", "it has the same key as %s", l.place(other))
		} else {
			keys[k.Key] = at
		}
	}
}

// bucketForm matches the name of a bucket, alone or with the start of keys in it.
var bucketForm = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]*(/.*)?$`)

// keyID checks an access key id.
func (l *loader) keyID(path, id string) {
	switch {
	case id == "":
	case reservedKeyID(id):
		l.bad(path, "choose another id", "%q is an id that the service uses itself", id)
	case !keyIDForm.MatchString(id):
		l.bad(path, "use letters, digits and dashes", "%q is not a valid access key id", id)
	}
}

// caller checks what credentials and API keys have in common: secret and account.
func (l *loader) caller(at, account, secret, key, variable string) {
	switch {
	case variable != "":
		l.secretNamed(at+"."+key+"_env", variable)
	case secret == "":
		l.bad(at, fmt.Sprintf("give %s_env, the name of a variable that holds it, or %s", key, key), "it has no secret")
	default:
		l.clean(at+"."+key, "it", secret)
	}
	if !accountForm.MatchString(account) {
		l.bad(at+".account", "write twelve digits, quoted", "%q is not a valid account", account)
	}
}

// required reports a missing value.
func (l *loader) required(path, value string) {
	if value == "" {
		l.bad(path, "add it", "it is missing")
	}
}

// checkRoles checks the roles that jobs may name.
func (l *loader) checkRoles() {
	arns := names{l: l}
	for i, r := range l.config.Roles {
		at := fmt.Sprintf("roles[%d]", i)
		if !roleForm.MatchString(r.ARN) {
			l.bad(at+".arn", "write arn:aws:iam::ACCOUNT:role/NAME", "%q is not a valid ARN of a role", r.ARN)
		} else {
			arns.take(at+".arn", r.ARN)
			l.wildRole(at, r)
		}
		l.externalID(at+".external_id", r.ExternalID)
		l.checkAssume(at, r)
		l.secretNamed(at+".secret_access_key_env", r.SecretAccessKeyEnv)
		if (r.AccessKeyID == "") != (r.SecretAccessKeyEnv == "") {
			l.bad(at, "give both, or none to use the keys of s3", "access_key_id and secret_access_key_env belong together")
		}
		if len(r.Buckets) > 0 && !l.config.EmbeddedS3() {
			l.bad(at+".buckets", "narrow the role's own keys at that S3", "only the embedded S3 can narrow a role to buckets")
		}
		for j, b := range r.Buckets {
			if !bucketForm.MatchString(b) {
				l.bad(fmt.Sprintf("%s.buckets[%d]", at, j), "write BUCKET or BUCKET/PREFIX, such as team-a or team-a/input/", "%q is not a valid bucket or prefix", b)
			}
		}
	}
}

// assumedForm is the ARN of a role as token services have it: Ceph's have no account, a tenant's
// name or an account's id there.
var assumedForm = regexp.MustCompile(`^arn:aws[a-z-]*:iam::[A-Za-z0-9_-]*:role/[^*\s]+$`)

// externalID checks an external id, if there is one.
func (l *loader) externalID(path, id string) {
	if id != "" && !sts.ValidExternalID(id) {
		l.bad(path, "use 2 to 1224 letters, digits and _+=,.@:/-", "%q is not a valid external id", id)
	}
}

// checkAssume checks how a role is assumed.
func (l *loader) checkAssume(at string, r Role) {
	a := r.Assume
	if a == nil {
		return
	}
	switch {
	case l.config.EmbeddedS3():
		l.bad(at+".assume", "leave it out; buckets narrows the role", "a role is assumed at an external S3 only: the embedded one knows the roles of these settings itself")
	case r.AccessKeyID != "" || r.SecretAccessKeyEnv != "":
		l.bad(at+".assume", "remove one of them; a key that may assume the role belongs into assume.access_key_id", "the role has an access key too, and both name its rights")
	}
	at += ".assume"
	if a.STSEndpoint != "" {
		l.web(at+".sts_endpoint", a.STSEndpoint)
	}
	if a.RoleARN != "" && !assumedForm.MatchString(a.RoleARN) {
		l.bad(at+".role_arn", "write it as the token service names it: arn:aws:iam::ACCOUNT:role/NAME", "%q is not a valid ARN of a role", a.RoleARN)
	}
	l.externalID(at+".external_id", a.ExternalID)
	l.secretNamed(at+".secret_access_key_env", a.SecretAccessKeyEnv)
	if (a.AccessKeyID == "") != (a.SecretAccessKeyEnv == "") {
		l.bad(at, "give both, or none to use the keys of s3", "access_key_id and secret_access_key_env belong together")
	}
}

// wildRole warns which roles an entry with wildcards allows, and with which rights, because
// they are not listed one by one.
func (l *loader) wildRole(at string, r Role) {
	if !strings.Contains(r.ARN, "*") {
		return
	}
	rights := "the keys of s3" // what a role without keys of its own gets at an external S3
	switch {
	case r.Assume != nil && r.Assume.RoleARN != "":
		rights = "the rights of " + r.Assume.RoleARN
	case r.Assume != nil:
		rights = "the rights that the token service grants"
	case r.AccessKeyID != "":
		rights = "the access key " + r.AccessKeyID
	case l.config.EmbeddedS3():
		rights = "rights to every bucket"
	}
	if len(r.Buckets) > 0 {
		rights = "rights to " + strings.Join(r.Buckets, ", ") + " only"
	}
	l.config.Warnings = append(l.config.Warnings, fmt.Sprintf("%s: jobs may name every role that matches %s, and get %s", l.place(at+".arn"), r.ARN, rights))
}

// checkModels checks that names are unique and every model has a server.
func (l *loader) checkModels() {
	if len(l.config.Models) == 0 && !l.config.Embedded {
		l.bad("embedded", "add a model under models, or leave embedded out", "no model would be served")
	}
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
		for j, in := range m.Inputs {
			l.oneOf(fmt.Sprintf("%s.inputs[%d]", at, j), in, "TEXT", "IMAGE")
		}
		if m.Context < 0 {
			l.bad(at+".context", "write the model's context length in tokens, or 0 to ask its servers", "it is negative")
		}
		if len(m.Backends) == 0 {
			l.bad(at+".backends", "add the server of the model: backends: [{url: http://127.0.0.1:8000/v1}], or its command: backends: [{exec: [llama-server, -m, model.gguf, --port, '{port}']}]", "the model has no backend")
		}
		for j, b := range m.Backends {
			l.checkBackend(fmt.Sprintf("%s.backends[%d]", at, j), b)
		}
	}
}

// checkAWS checks the AWS keys and the region of a backend. Only the protocol bedrock uses them.
func (l *loader) checkAWS(at string, b Backend) {
	l.secretNamed(at+".secret_access_key_env", b.SecretAccessKeyEnv)
	l.secretNamed(at+".session_token_env", b.SessionTokenEnv)
	for _, m := range []struct{ name, value string }{{"region", b.Region}, {"profile", b.Profile}, {"credentials_file", b.CredentialsFile}, {"access_key_id", b.AccessKeyID},
		{"secret_access_key_env", b.SecretAccessKeyEnv}, {"session_token_env", b.SessionTokenEnv}} {
		if m.value != "" && b.Protocol != dialect.ProtocolBedrock {
			l.bad(at+"."+m.name, "remove it, or write protocol: bedrock", "only a backend with the protocol bedrock has it")
		}
	}
	switch {
	case b.AccessKeyID != "" && b.SecretAccessKeyEnv == "":
		l.bad(at+".access_key_id", "name the environment variable with the secret in secret_access_key_env", "the key has no secret")
	case b.AccessKeyID == "" && b.SecretAccessKeyEnv != "":
		l.bad(at+".secret_access_key_env", "write the id of the key in access_key_id", "the secret has no key")
	case b.AccessKeyID != "" && (b.Profile != "" || b.CredentialsFile != ""):
		l.bad(at+".profile", "remove it, or access_key_id", "the backend has keys of its own, so the profile would be ignored")
	}
}

// checkBackend checks the settings of one model server. It does not contact the server, which
// may start later.
func (l *loader) checkBackend(at string, b Backend) {
	switch {
	case len(b.Exec) > 0:
		l.checkExec(at, b)
	case b.Protocol != dialect.ProtocolBedrock || b.URL != "" || b.Region == "":
		l.web(at+".url", b.URL)
		l.withoutExec(at, b)
	}
	l.checkAWS(at, b)
	if b.CAFile != "" {
		l.authorities(at+".ca_file", b.CAFile)
	}
	l.oneOf(at+".protocol", b.Protocol, dialect.Protocols()...)
	l.secretNamed(at+".api_key_env", b.APIKeyEnv)
	l.checkKey(at, b)
	l.checkHeaders(at, b)
	l.checkPaths(at, b)
	l.checkProxy(at+".proxy", b.Proxy)
	l.checkPriority(at+".priority", b.Priority)
	if b.Weight < 0 || b.Weight > 1000 {
		l.bad(at+".weight", "give a number from 1 to 1000, or leave it out", "it is %d", b.Weight)
	}
	if b.MaxInFlight < 0 {
		l.bad(at+".max_in_flight", "write 0 to have it found automatically", "it is negative")
	}
	if b.Timeout < 0 {
		l.bad(at+".timeout", "write a duration such as 10m", "it is negative")
	}
}
