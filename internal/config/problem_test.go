package config

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/batholith/batholith/internal/certs/certstest"
)

func TestEveryProblemNamesItsPlaceAndItsRemedy(t *testing.T) {
	for _, tt := range []struct {
		name, file     string
		want, remedied string
	}{
		{"unknown key", "data: d\nlisen: x", `b.yaml:2: unknown key "lisen"`, `did you mean "listen"?`},
		{"unknown key far from any", "s3:\n  zzzzzz: x", `b.yaml:2: unknown key "zzzzzz" in s3`, "known here: listen, endpoint"},
		{"unknown key in an entry", "models:\n- id: m\n  backend: []", `b.yaml:3: unknown key "backend" in models[0]`, `did you mean "backends"?`},
		{"no number", "data: d\n\nattempts: many", `b.yaml:3: attempts: "many" is not a whole number`, "correct the value"},
		{"no duration", "drain: 30", `b.yaml:1: drain: "30" is not a duration`, "correct the value"},
		{"no size", "limits:\n  max_file_bytes: 1 GiB or so", `b.yaml:2: limits.max_file_bytes: "1 GiB or so" is not a size`, "correct"},
		{"no truth", "s3:\n  path_style: maybe", `b.yaml:2: s3.path_style: "maybe" is neither true nor false`, "correct"},
		{"value for a mapping", "s3: here", `b.yaml:1: s3 is not a mapping`, "write its keys below it"},
		{"value for a list", "models: one", `b.yaml:1: models is not a list`, "dash"},
		{"mapping for a value", "region: {a: b}", `b.yaml:1: region takes one value`, "key: value"},
		{"list for the document", "- a", `b.yaml:1: the document is not a mapping`, "write its keys"},
		{"broken", "a: [1,", `b.yaml:1: `, "fix the YAML"},
		{"twice", "data: a\ndata: b", `b.yaml:2: mapping key "data" already defined`, "keep one of the two"},
		{"indented less", "models:\n  - id: my\n   backends: []", `b.yaml:3: `, "compare its indentation"},
		{"a tab", "models:\n\t- id: my", `b.yaml:2: `, "spaces, not with tabs"},
		{"two documents", "data: a\n---\ndata: b", `b.yaml:3: a second document`, "remove the ---"},
		{"profile", "profile: awz", `b.yaml:1: profile: "awz" is not possible`, `did you mean "aws"?`},
		{"account", "account: me", `b.yaml:1: account: "me" is not a valid account`, "twelve digits"},
		{"address", "listen: here", `b.yaml:1: listen: "here" is not a valid address`, "host:port"},
		{"port", "listen: 127.0.0.1:99999", `b.yaml:1: listen: "99999" is not a valid port`, "0 to 65535"},
		{"backend without scheme", "models:\n- id: m\n  backends:\n  - url: host:8000", `b.yaml:4: models[0].backends[0].url: "host:8000" is not a valid http`, "scheme"},
		{"password in a URL", "models:\n- id: m\n  backends:\n  - url: http://u:p@h/v1", `b.yaml:4: models[0].backends[0].url: a password in a URL`, "variable"},
		{"weight", "models:\n- id: m\n  backends:\n  - {url: 'http://h', weight: 1001}", `b.yaml:4: models[0].backends[0].weight: it is 1001`, "1 to 1000"},
		{"no backend", "models:\n- id: m", `b.yaml:2: models[0].backends: the model has no backend`, "add the server"},
		{"family", "models:\n- id: m\n  family: antropic\n  backends: [{url: 'http://h'}]", `b.yaml:3: models[0].family: "antropic" is not possible`, `did you mean "anthropic"?`},
		{"model twice", "models:\n- {id: m, backends: [{url: 'http://h'}]}\n- {id: n, aliases: [m], backends: [{url: 'http://h'}]}", `b.yaml:3: models[1]: the name "m" is taken`, "its own names"},
		{"credential without secret", "credentials:\n- access_key_id: A\n  principal: p", `b.yaml:2: credentials[0]: it has no secret`, "secret_access_key_env"},
		{"credential without principal", "credentials:\n- access_key_id: A\n  secret_access_key: s", `b.yaml:2: credentials[0].principal: it is missing`, "add it"},
		{"missing variable", "api_keys:\n- principal: p\n  key_env: NOWHERE", `b.yaml:3: api_keys[0].key_env: the environment has no variable NOWHERE`, "export NOWHERE"},
		{"role", "roles:\n- arn: arn:aws:iam::1:role/x", `b.yaml:2: roles[0].arn: "arn:aws:iam::1:role/x" is not a valid ARN of a role`, "arn:aws:iam::ACCOUNT"},
		{"credential twice", "credentials:\n- {access_key_id: A, secret_access_key: s, principal: p}\n- {access_key_id: A, secret_access_key: t, principal: q}", `b.yaml:3: credentials[1].access_key_id: "A" is there twice: credentials[0].access_key_id (line 2) has it`, "its own"},
		{"bearer key twice", "api_keys:\n- {key: k, principal: p}\n- {key: k, principal: q}", `b.yaml:3: api_keys[1]: it has the same key as api_keys[0] (line 2)`, "of its own"},
		{"bearer key twice, once in a variable", "api_keys:\n- {key: 'k', principal: p}\n- {key_env: K, principal: q}", `b.yaml:3: api_keys[1]: it has the same key`, "of its own"},
		{"role with a caller's key", "credentials:\n- {access_key_id: A, secret_access_key: s, principal: p}\nroles:\n- {arn: 'arn:aws:iam::000000000000:role/x', access_key_id: A, secret_access_key_env: K}", `b.yaml:4: roles[0].access_key_id: "A" is there twice: credentials[0].access_key_id (line 2)`, "its own"},
		{"two roles with one key", "roles:\n- {arn: 'arn:aws:iam::000000000000:role/x', access_key_id: A, secret_access_key_env: K}\n- {arn: 'arn:aws:iam::000000000000:role/y', access_key_id: A, secret_access_key_env: K}", `b.yaml:3: roles[1].access_key_id: "A" is there twice`, "its own"},
		{"role twice", "roles:\n- {arn: 'arn:aws:iam::000000000000:role/x'}\n- {arn: 'arn:aws:iam::000000000000:role/x'}", `b.yaml:3: roles[1].arn: "arn:aws:iam::000000000000:role/x" is there twice: roles[0].arn (line 2)`, "remove one"},
		{"the service's own key", "credentials:\n- {access_key_id: batholith-internal, secret_access_key: s, principal: p}", `b.yaml:2: credentials[0].access_key_id: "batholith-internal" is an id that the service uses itself`, "another"},
		{"a key that a role gets", "credentials:\n- {access_key_id: batholith-role-7, secret_access_key: s, principal: p}", `b.yaml:2: credentials[0].access_key_id: "batholith-role-7" is an id`, "another"},
		{"such a key of a role", "roles:\n- {arn: 'arn:aws:iam::000000000000:role/x', access_key_id: batholith-role-0, secret_access_key_env: K}", `b.yaml:2: roles[0].access_key_id: "batholith-role-0" is an id`, "another"},
		{"no key id", "credentials:\n- {access_key_id: 'a/b', secret_access_key: s, principal: p}", `b.yaml:2: credentials[0].access_key_id: "a/b" is not a valid access key id`, "letters"},
		{"blank key", "api_keys:\n- {key: ' ', principal: p}", `b.yaml:2: api_keys[0].key: it is blank`, "give"},
		{"newline behind a key", "api_keys:\n- {key: \"k\\n\", principal: p}", `b.yaml:2: api_keys[0].key: it has blanks or newlines around it`, "remove"},
		{"control character in a secret", "credentials:\n- {access_key_id: A, secret_access_key: \"a\\x1bb\", principal: p}", `b.yaml:2: credentials[0].secret_access_key: it has control characters`, "correct"},
		{"two secrets", "api_keys:\n- {key: a, key_env: K, principal: p}", `b.yaml:2: api_keys[0].key: the secret is set twice: as a value and by the name of a variable`, "remove one"},
		{"two kinds of keys for the S3", "s3:\n  endpoint: https://h\n  access_key_id: A\n  secret_access_key: s\n  profile: p", `b.yaml:5: s3.profile: s3.access_key_id is also set`, "remove one"},
		{"a key for the S3 without its secret", "s3:\n  endpoint: https://h\n  access_key_id: A", `b.yaml:3: s3.access_key_id: access_key_id and secret_access_key_env (or secret_access_key) belong together`, "give both"},
		{"authorities that are missing", "s3:\n  endpoint: https://h\n  ca_bundle: /nowhere.pem", `b.yaml:3: s3.ca_bundle: /nowhere.pem: no such file or directory`, "PEM"},
		{"authorities that are none", "s3:\n  endpoint: https://h\n  ca_bundle: /dev/null", `b.yaml:3: s3.ca_bundle: /dev/null is not a PEM file`, "BEGIN CERTIFICATE"},
		{"empty variable", "api_keys:\n- {key_env: EMPTY, principal: p}", `b.yaml:2: api_keys[0].key_env: the variable EMPTY is empty`, "export"},
		{"blank variable", "roles:\n- {arn: 'arn:aws:iam::000000000000:role/x', access_key_id: A, secret_access_key_env: BLANK}", `b.yaml:2: roles[0].secret_access_key_env: what the variable BLANK holds is blank`, "give"},
		{"subnet twice", "network:\n  subnets:\n  - {id: s}\n  - {id: s}", `b.yaml:4: network.subnets[1].id: "s" is there twice: network.subnets[0].id (line 3)`, "remove one"},
		{"security group twice", "network:\n  security_groups:\n  - {id: s}\n  - {id: s}", `b.yaml:4: network.security_groups[1].id: "s" is there twice`, "remove one"},
		{"two places for objects", "s3:\n  listen: 127.0.0.1:1\n  endpoint: http://h", `b.yaml:2: s3.listen: the embedded S3 cannot run beside an external endpoint`, "off"},
		{"no place for objects", "s3:\n  listen: \"off\"", `b.yaml:2: s3.listen: with the embedded S3 off`, "name an s3.endpoint"},
		{"share", "simulated:\n  failures: {reset: 2}", `b.yaml:2: simulated.failures.reset: 2 is not a valid share`, "from 0 to 1"},
		{"beyond this machine", "listen: 0.0.0.0:4600", `b.yaml:1: listen: 0.0.0.0:4600 can be reached from other machines`, "tls.cert and tls.key, or listen on 127.0.0.1, or allow it with --insecure"},
		{"every address", "listen: ':4600'", `b.yaml:1: listen: :4600 can be reached from other machines`, "--insecure"},
		{"a host name", "s3:\n  listen: storage:4601", `b.yaml:2: s3.listen: storage:4601 can be reached`, "--insecure"},
		{"half a pair", "tls:\n  cert: c.pem", `b.yaml:1: tls: a certificate and its key belong together`, "both"},
		{"no such certificate", "tls:\n  cert: /nowhere/c.pem\n  key: k.pem", `b.yaml:1: tls: /nowhere/c.pem: no such file`, "PEM"},
		{"a version of TLS", "tls: {cert: c, key: k, min_version: '1.1'}", `b.yaml:1: tls.min_version: "1.1" is not possible`, "1.2"},
		{"authorities of a backend", "models:\n- id: m\n  backends:\n  - {url: 'https://h', ca_file: /dev/null}", `b.yaml:4: models[0].backends[0].ca_file: /dev/null is not a PEM file`, "BEGIN CERTIFICATE"},
		{"refusal", "simulated: {refuse: 500}", `b.yaml:1: simulated.refuse: 500 is not possible`, "429 or 503"},
		{"schedule", "simulated:\n  schedule: 64@1m,16@30s", `b.yaml:2: simulated.schedule: "16@30s" does not come after`, "64@0s"},
		{"shares", "simulated:\n  failures: {reset: 0.6, internal: 0.6}", `b.yaml:2: simulated.failures: the shares add up`, "lower"},
		{"limits", "limits:\n  min_timeout_hours: 500", `b.yaml:2: limits.min_timeout_hours: 500 is not possible`, "max_timeout_hours"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := load(t, tt.file, []string{"K=k", "EMPTY=", "BLANK= "}, nil)
			p := first(t, err)
			if got := strings.Replace(p.String(), p.Origin.Name, filepath.Base(p.Origin.Name), 1); !strings.HasPrefix(got, tt.want) {
				t.Errorf("says %q, want %q", got, tt.want)
			}
			if !strings.Contains(p.Remedy, tt.remedied) {
				t.Errorf("remedy %q, want %q", p.Remedy, tt.remedied)
			}
		})
	}
}

// A role is assumed at an external S3, and its settings are checked before the first job names it.
func TestHowARoleIsAssumedIsChecked(t *testing.T) {
	const external = "s3: {endpoint: 'http://h:9000', access_key_id: A, secret_access_key: s}\n"
	role := func(assume string) string {
		return "roles: [{arn: 'arn:aws:iam::000000000000:role/x', assume: " + assume + "}]"
	}
	for file, at := range map[string]string{
		role("{}"):                                                            "roles[0].assume",
		external + role("{sts_endpoint: 'h:1'}"):                              "roles[0].assume.sts_endpoint",
		external + role("{role_arn: 'role/x'}"):                               "roles[0].assume.role_arn",
		external + role("{external_id: 'a b'}"):                               "roles[0].assume.external_id",
		external + role("{access_key_id: A}"):                                 "roles[0].assume",
		external + role("{access_key_id: A, secret_access_key_env: NOWHERE}"): "roles[0].assume.secret_access_key_env",
		external + "roles: [{arn: 'arn:aws:iam::000000000000:role/x', access_key_id: A, secret_access_key_env: S, assume: {}}]": "roles[0].assume",
	} {
		_, err := load(t, file, []string{"S=s"}, nil)
		if p := first(t, err); !strings.Contains(p.Reason, at) || p.Remedy == "" {
			t.Errorf("%s: %+v", file, p)
		}
	}
	for _, good := range []string{"{}", "{sts_endpoint: 'https://sts.example.net', role_arn: 'arn:aws:iam::111122223333:role/path/x', external_id: 'a:b/c'}",
		"{role_arn: 'arn:aws:iam:::role/ceph'}", "{role_arn: 'arn:aws:iam::RGW11111111111111111:role/ceph', region: eu, access_key_id: A, secret_access_key_env: S}"} {
		c, err := load(t, external+role(good), []string{"S=secret"}, nil)
		if err != nil {
			t.Errorf("%s: %v", good, err)
		} else if a := c.Roles[0].Assume; (a.SecretAccessKey == "secret") != (a.AccessKeyID != "") {
			t.Errorf("%s: %+v", good, a)
		}
	}
}

// Callers of AssumeRole can send no other external ids, so that nobody could ever assume such a role.
func TestAnExternalIDThatNobodyCanSendIsRefused(t *testing.T) {
	for id, ok := range map[string]bool{"x": false, "a b": false, "é-é": false, strings.Repeat("a", 1225): false, "ab": true, "a:b/c@d,e.f=g+h_-": true, strings.Repeat("a", 1224): true} {
		_, err := load(t, "roles: [{arn: 'arn:aws:iam::000000000000:role/x', external_id: '"+id+"'}]", nil, nil)
		if ok && err != nil {
			t.Errorf("%.20q is refused: %v", id, err)
		}
		if !ok {
			if p := first(t, err); !strings.Contains(p.Reason, "roles[0].external_id") || p.Remedy == "" {
				t.Errorf("%.20q: %+v", id, p)
			}
		}
	}
}

func TestAReceiverOfEventsIsWholeAndItsOwn(t *testing.T) {
	env := []string{"HOOK=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "PLAIN=not base64!"}
	for receivers, want := range map[string]string{
		"[{url: 'http://h/a'}, {url: 'http://h/b', format: cloudevents, secret_env: HOOK, statuses: [Completed, Failed], max_age: 1h}]": "",
		"[{url: 'h/a'}]": "not a valid http or https URL",
		"[{url: 'http://h/a'}, {url: 'http://h/a'}]":                      "events[1]",
		"[{url: 'http://h/a'}, {url: 'http://h/a', name: another}]":       "",
		"[{url: 'http://h/a', format: sns}]":                              "events[0].format",
		"[{url: 'http://h/a', statuses: [Complete]}]":                     "did you mean Completed?",
		"[{url: 'http://h/a', secret_env: NOWHERE}]":                      "no variable NOWHERE",
		"[{url: 'http://h/a', secret_env: PLAIN}]":                        "cannot be used: it is not base64",
		"[{url: 'http://h/a', headers_env: {Webhook-Id: HOOK}}]":          "is set by each request itself",
		"[{url: 'http://h/a', ca_file: /dev/null}]":                       "is not a PEM file",
		"[{url: 'http://h/a', timeout: -1s}]":                             "negative",
		"[{name: a}]":                                                     "not a valid http or https URL",
		"[{url: 'http://h/a', headers_env: {Authorization: NO_SUCH}}]":    "no variable NO_SUCH",
		"[{url: 'http://h/a', headers_env: {'Bad Header': HOOK}}]":        "not the name of a header",
		"[{url: 'http://user:pass@h/a'}]":                                 "would be logged",
		"[{url: 'http://h/a', secrets_env: HOOK}]":                        "secret_env",
		"[{url: 'http://h/a', format: eventbridge, statuses: [Stopped]}]": "",
	} {
		_, err := load(t, "events: "+receivers, env, nil)
		if want == "" {
			if err != nil {
				t.Errorf("%s: %v", receivers, err)
			}
			continue
		}
		if p := first(t, err); !strings.Contains(p.String()+" "+p.Remedy, want) || p.Origin.Line != 1 {
			t.Errorf("%s: %v, %s", receivers, p, p.Remedy)
		}
	}
}

// AWS keys belong to the protocol bedrock, are whole, and are not ignored.
func TestAWSKeysOfABackendAreWholeAndUsed(t *testing.T) {
	env := []string{"SECRET=s"}
	for backend, want := range map[string]string{
		"{protocol: bedrock, region: eu-west-1}":                                                     "",
		"{protocol: bedrock, url: 'http://h:4600', access_key_id: A, secret_access_key_env: SECRET}": "",
		"{protocol: bedrock, region: r, profile: p, credentials_file: f}":                            "",
		"{protocol: bedrock}": "not a valid http or https URL",
		"{protocol: openai, url: 'http://h/v1', region: eu-west-1}":                                   "only a backend with the protocol bedrock has it",
		"{protocol: bedrock, region: r, access_key_id: A}":                                            "the key has no secret",
		"{protocol: bedrock, region: r, secret_access_key_env: SECRET}":                               "the secret has no key",
		"{protocol: bedrock, region: r, access_key_id: A, secret_access_key_env: SECRET, profile: p}": "the profile would be ignored",
		"{protocol: bedrock, region: r, access_key_id: A, secret_access_key_env: NOWHERE}":            "no variable NOWHERE",
	} {
		c, err := load(t, "models: [{id: m, backends: ["+backend+"]}]", env, nil)
		switch {
		case want != "":
			if err == nil || !strings.Contains(first(t, err).Reason, want) {
				t.Errorf("%s: %v, want %q", backend, err, want)
			}
		case err != nil:
			t.Errorf("%s: %v", backend, err)
		case strings.Contains(backend, "SECRET") && c.Models[0].Backends[0].SecretAccessKey != "s":
			t.Errorf("%s: the secret is %q", backend, c.Models[0].Backends[0].SecretAccessKey)
		}
	}
}

// Clients must speak TLS 1.3, unless the settings allow 1.2.
func TestTLS13IsRequiredUnlessTheSettingsAllowOlder(t *testing.T) {
	cert, key, _ := certstest.New(t).Files(t.TempDir(), "localhost")
	for line, want := range map[string]uint16{"": tls.VersionTLS13, ", min_version: '1.3'": tls.VersionTLS13, ", min_version: '1.2'": tls.VersionTLS12} {
		c, err := load(t, "tls: {cert: "+cert+", key: "+key+line+"}", nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.TLS.Files().Oldest; got != want {
			t.Errorf("tls%s: the oldest version is %s", line, tls.VersionName(got))
		}
	}
}

// A listener of this machine needs nothing, and one of a network a certificate or a word.
func TestOnlyAWordOrACertificateOpensAListenerToOthers(t *testing.T) {
	cert, key, _ := certstest.New(t).Files(t.TempDir(), "localhost")
	for _, file := range []string{
		"listen: 127.0.0.9:1\ns3: {listen: '[::1]:1'}",
		"listen: localhost:1",
		"listen: 0.0.0.0:1\ns3: {listen: '[::]:1'}\ninsecure: true",
		"listen: 0.0.0.0:1\ns3: {listen: '[::]:1'}\ntls: {cert: " + cert + ", key: " + key + "}",
	} {
		if _, err := load(t, file, nil, nil); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	_, err := load(t, "s3: {listen: 0.0.0.0:1, tls: {cert: "+cert+", key: "+key+"}}\nlisten: 0.0.0.0:1", nil, nil)
	if p := first(t, err); !strings.HasPrefix(p.Reason, "listen: ") {
		t.Errorf("the S3's certificate does for the API: %v", err)
	}
}

func TestEveryFaultInThePoliciesIsToldWithItsLineAndColumn(t *testing.T) {
	path := policies(t, "permit(principal, action == Action::\"bedrock:GetJob\", resource);\n\n  permit(principal in Team::\"a\", action, resource);\n")
	_, err := load(t, "policy: "+path, nil, nil)
	var all *Error
	if !errors.As(err, &all) || len(all.Problems) != 2 {
		t.Fatal(err)
	}
	for i, want := range []string{path + ":1:37: there is no action \"bedrock:GetJob\"", path + ":3:23: there is no entity type Team"} {
		if got := all.Problems[i].String(); got != want {
			t.Errorf("says %q, want %q", got, want)
		}
	}
	_, err = load(t, "policy: /nowhere/policy.cedar", nil, nil)
	if p := first(t, err); !strings.Contains(p.Reason, "/nowhere/policy.cedar: no such file") || p.Line != 1 {
		t.Error(p)
	}
}

func TestAnIssuerThatCannotBeTrustedIsRefused(t *testing.T) {
	for file, want := range map[string]string{
		"oidc: {issuer: 'http://login.example.net', audience: a}":           "network path",
		"oidc: {issuer: 'login.example.net', audience: a}":                  "is not a valid URL of an issuer",
		"oidc: {issuer: 'https://u:secret@login.example.net', audience: a}": "is not a valid URL of an issuer",
		"oidc: {issuer: 'https://login.example.net'}":                       "tokens for other services",
		"oidc: {audience: a}": "oidc.issuer is missing",
	} {
		_, err := load(t, file, nil, nil)
		if p := first(t, err); !strings.Contains(p.Reason, want) || p.Line != 1 || strings.Contains(p.Reason, "secret") {
			t.Errorf("%s: %v", file, p)
		}
	}
	if _, err := load(t, "oidc: {issuer: 'http://127.0.0.1:5556/dex', audience: a}", nil, nil); err != nil {
		t.Error(err)
	}
}

func TestAPolicyFileWithoutPoliciesIsWarnedAbout(t *testing.T) {
	c, err := load(t, "policy: "+policies(t, "// nothing yet\n"), nil, nil)
	if err != nil || len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "everything is denied") {
		t.Error(c, err)
	}
}

func TestTheNetworkIsReadWithItsFaultsByLine(t *testing.T) {
	c, err := load(t, "network:\n  subnets:\n  - {id: subnet-0a, source_address: 127.0.0.2}\n  - {id: b, proxy: 'socks5://u:p@h:1'}\n  security_groups: [{id: sg-0a, egress: ['10.0.0.0/8:*', '[2001:db8::1]:443']}, {id: none}]", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	networks, err := c.Network.Open()
	if err != nil || !networks.Subnet("subnet-0a") || !networks.SecurityGroup("none") || networks.Subnet("none") {
		t.Error(networks, err)
	}
	if n, err := networks.Of([]string{"subnet-0a"}, []string{"sg-0a"}); err != nil || !n.Permits(netip.MustParseAddrPort("10.1.2.3:9")) {
		t.Error(n, err)
	}
	_, err = load(t, `network:
  subnets:
  - id: a
    source_address: nowhere
  - id: b
    proxy: ftp://u:hunter2@h
  security_groups:
  - id: g
    egress:
    - 10.0.0.0/8:443
    - 10.1.2.3/8:443
`, nil, nil)
	var all *Error
	if !errors.As(err, &all) || len(all.Problems) != 3 {
		t.Fatal(err)
	}
	for i, want := range []string{"b.yaml:4: network.subnets[0].source_address: \"nowhere\" is not a valid source address", "b.yaml:6: network.subnets[1].proxy: a proxy cannot be reached by \"ftp\"",
		"b.yaml:11: network.security_groups[0].egress[1]: 10.1.2.3/8 has bits set beyond the first 8"} {
		if got := all.Problems[i].String(); !strings.HasSuffix(got, want) || all.Problems[i].Remedy == "" {
			t.Errorf("says %q, want %q", got, want)
		}
	}
}

func TestSeveralProblemsAreToldAtOnce(t *testing.T) {
	_, err := load(t, "a: 1\nb: 2\nattempts: x\n", []string{"BATHOLITH_DRAIN=x"}, nil)
	var all *Error
	if !errors.As(err, &all) || len(all.Problems) != 4 {
		t.Errorf("%v", err)
	}
}

func TestAProblemWithAFlagNamesTheFlag(t *testing.T) {
	_, err := Load(Sources{Flags: map[string]string{"attempts": "x"}})
	if p := first(t, err); !strings.HasPrefix(p.String(), "--attempts: ") {
		t.Error(p)
	}
}

func first(t *testing.T, err error) Problem {
	t.Helper()
	var all *Error
	if !errors.As(err, &all) || len(all.Problems) == 0 {
		t.Fatalf("no problem was found: %v", err)
	}
	return all.Problems[0]
}

func TestSizesAndSpansAreReadAsWritten(t *testing.T) {
	for text, want := range map[string]string{"0": "0", "7": "7", "1GiB": "1GiB", "1024 MiB": "1GiB", "1gb": "1GB", "5_000": "5KB", "12B": "12"} {
		b, err := parseBytes(text)
		if err != nil || b.String() != want {
			t.Errorf("%q is %v %v, want %s", text, b, err, want)
		}
	}
	for _, text := range []string{"", "-1", "1.5GB", "9999999TiB", "GB", "1XB"} {
		if b, err := parseBytes(text); err == nil {
			t.Errorf("%q is accepted as %v", text, b)
		}
	}
	for _, text := range []string{"10m", "1h", "1h30m", "30s", "1h0m5s", "500ms", "0s"} {
		d, err := parseDuration(text)
		if err != nil || formatDuration(d) != text {
			t.Errorf("%q is shown as %s %v", text, formatDuration(d), err)
		}
	}
}

func FuzzLoadNeverPanics(f *testing.F) {
	for _, s := range []string{"a: b", "models: [{id: x}]", "s3:\n  listen: *x", "? a\n: b", "a: &x [*x]", "!!str a: b", "<<: {a: b}", "- - -", "limits: {hour: 1h}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		_, err := Load(Sources{Env: []string{"BATHOLITH_MODELS=" + text}, File: write(t, text)})
		if err != nil && fmt.Sprint(err) == "" {
			t.Error("an error without a word")
		}
	})
}

// Decimal fractions are rounded, and their sum depends on the order in which they are added.
func TestSharesThatAddUpToOneAreTaken(t *testing.T) {
	for _, shares := range []string{
		"rate_limit: 0.05, internal: 0.05, unavailable: 0.05, bad_request: 0.05, reset: 0.05, nonsense: 0.75",
		"rate_limit: 0.05, internal: 0.05, unavailable: 0.05, bad_request: 0.05, reset: 0.4, nonsense: 0.4",
		"rate_limit: 0.1, internal: 0.2, unavailable: 0.7",
	} {
		for range 50 {
			if _, err := load(t, "simulated: {failures: {"+shares+"}}", nil, nil); err != nil {
				t.Fatalf("%s: %v", shares, err)
			}
		}
	}
	if _, err := load(t, "simulated: {failures: {rate_limit: 0.6, internal: 0.4001}}", nil, nil); err == nil {
		t.Error("0.6 and 0.4001 are taken")
	}
}
