package config

import (
	"bytes"
	"encoding/pem"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/certs/certstest"
	"github.com/batholith/batholith/internal/kms"
)

// load loads a file with this content.
func load(t *testing.T, content string, env []string, flags map[string]string) (*Config, error) {
	t.Helper()
	return Load(Sources{File: write(t, content), Env: env, Flags: flags})
}

func write(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "b.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestNothingSetIsTheDefault(t *testing.T) {
	c, err := Load(Sources{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Default(ProfileDefault), c, cmpopts.IgnoreUnexported(Config{})); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(batholith.DefaultLimits(), c.Limits.Rules()); diff != "" {
		t.Error(diff)
	}
}

func TestFlagBeatsEnvironmentBeatsFile(t *testing.T) {
	file := "listen: 127.0.0.1:1\nregion: eu-west-1\ns3:\n  listen: 127.0.0.1:2\n"
	env := []string{"BATHOLITH_LISTEN=127.0.0.1:11", "BATHOLITH_S3_LISTEN=127.0.0.1:12"}
	c, err := load(t, file, env, map[string]string{"listen": "127.0.0.1:21"})
	if err != nil {
		t.Fatal(err)
	}
	got := [][2]string{
		{c.Listen, c.Origin("listen").String()}, {c.S3.Listen, c.Origin("s3.listen").String()},
		{c.Region, filepath.Base(c.Origin("region").String())}, {c.Account, c.Origin("account").String()},
	}
	want := [][2]string{
		{"127.0.0.1:21", "--listen"}, {"127.0.0.1:12", "BATHOLITH_S3_LISTEN"}, {"eu-west-1", "b.yaml:2"}, {"000000000000", "default"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// valueOf is a text that every kind of setting accepts and that is not its default.
var valueOf = map[string]string{"currency": "EUR",
	"store": "sqlite", "profile": "aws", "account": "123456789012", "log.level": "debug", "log.format": "json", "reuse": "identical", "provenance": "lines", "echo": "off", "strict_bodies": "true",
	"roles_of_this_process": "[worker, api]", "s3.endpoint": "https://s3.example.net", "s3.path_style": "false", "embedded": "false", "console.enabled": "false", "insecure": "true", "audit.required": "true",
	"limits.default_timeout_hours": "48", "limits.min_timeout_hours": "2", "limits.max_timeout_hours": "200",
	"s3.access_key_id": "K", "s3.secret_access_key_env": "SECRET", "region": "eu-west-1", "s3.region": "eu-west-1",
	"simulated.schedule": "16@30s", "simulated.refuse": "503", "s3.profile": "minio",
	"oidc.issuer": "https://login.example.net", "metrics.token_env": "SECRET", "traces.endpoint": "http://127.0.0.1:4318", "traces.headers_env": "HEADERS",
}

func TestEverySettingHasItsThreeNames(t *testing.T) {
	for _, s := range Settings() {
		if s.Flag == "" {
			continue
		}
		t.Run(s.Path, func(t *testing.T) {
			text, ok := valueOf[s.Path]
			if s.Path == "s3.ca_bundle" {
				text, ok = authority(t), true
			}
			if s.Path == "policy" {
				text, ok = policies(t, `permit(principal, action, resource);`), true
			}
			if s.Path == "metrics.token_file" {
				file := filepath.Join(t.TempDir(), "token")
				if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
					t.Fatal(err)
				}
				text, ok = file, true
			}
			if !ok {
				text = map[string]string{"string": "127.0.0.1:9", "int": "7", "size": "7GB", "duration": "7m", "number": "0.5"}[s.Kind]
			}
			others := map[string]string{}
			switch s.Path {
			case "embedded":
				others["models"] = "[{id: m, backends: [{url: \"http://127.0.0.1:9/v1\"}]}]"
			case "s3.access_key_id":
				others["s3.secret_access_key_env"] = "SECRET"
			case "s3.secret_access_key_env":
				others["s3.access_key_id"] = "K"
			case "oidc.issuer":
				others["oidc.audience"] = "a"
			case "oidc.audience":
				others["oidc.issuer"] = "https://login.example.net"
			case "oidc.principal_claim", "oidc.groups_claim", "oidc.account_claim", "oidc.prefix":
				others["oidc.issuer"], others["oidc.audience"] = "https://login.example.net", "b"
			case "oidc.ca_file":
				others["oidc.issuer"], others["oidc.audience"] = "https://login.example.net", "b"
				_, _, text = certstest.New(t).Files(t.TempDir(), "localhost")
			}
			if path, name, _ := cutLast(s.Path); strings.HasSuffix(path, "tls") {
				cert, key, ca := certstest.New(t).Files(t.TempDir(), "localhost")
				others[path+".cert"], others[path+".key"] = cert, key
				text = map[string]string{"cert": cert, "key": key, "ca": ca, "client_ca": ca, "min_version": "1.2"}[name]
				delete(others, s.Path)
			}
			env := []string{"SECRET=x", "HEADERS=a=b"}
			if s.Path == "kms.data_key" {
				file := filepath.Join(t.TempDir(), "k")
				if _, err := kms.Create(file, "k1", time.Now()); err != nil {
					t.Fatal(err)
				}
				text, env = "k1", append(env, "BATHOLITH_KMS_KEYS=[{file: "+file+"}]")
			}
			byEnv, err1 := load(t, "", append(env, s.Env+"="+text), others)
			byFile, err2 := load(t, nested(s.Path, text), env, others)
			others[s.Path] = text
			byFlag, err3 := load(t, "", env, others)
			if err := errors.Join(err1, err2, err3); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(byFile, byEnv, cmpopts.IgnoreUnexported(Config{})); diff != "" {
				t.Error("file and environment differ:", diff)
			}
			if diff := cmp.Diff(byFile, byFlag, cmpopts.IgnoreUnexported(Config{})); diff != "" {
				t.Error("file and flag differ:", diff)
			}
			if s.Path != "store" && cmp.Equal(byFile, Default(ProfileDefault), cmpopts.IgnoreUnexported(Config{})) {
				t.Error("setting it changed nothing")
			}
		})
	}
}

// cutLast splits a path before its last name.
func cutLast(path string) (before, name string, ok bool) {
	i := strings.LastIndex(path, ".")
	return path[:max(i, 0)], path[i+1:], i >= 0
}

// nested is a YAML document that sets one key.
func nested(path, text string) string {
	if before, after, ok := strings.Cut(path, "."); ok {
		return before + ": {" + nested(after, text) + "}"
	}
	return path + ": " + text
}

func TestListsCanStandInTheEnvironment(t *testing.T) {
	c, err := Load(Sources{Env: []string{
		"BATHOLITH_MODELS=[{id: m, backends: [{url: 'http://127.0.0.1:8000/v1', api_key_env: KEY}]}]", "KEY=secret"}})
	if err != nil {
		t.Fatal(err)
	}
	want := []Model{{ID: "m", Backends: []Backend{{URL: "http://127.0.0.1:8000/v1", Protocol: "openai", Model: "m",
		APIKeyEnv: "KEY", APIKey: "secret", Timeout: 10 * time.Minute}}}}
	if diff := cmp.Diff(want, c.Models); diff != "" {
		t.Error(diff)
	}
}

func TestProfileSetsLimitsThatKeysOverride(t *testing.T) {
	c, err := load(t, "profile: aws\nlimits: {min_records_per_job: 5}\n", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := batholith.AWSLimits()
	want.MinRecordsPerJob = 5
	if diff := cmp.Diff(want, c.Limits.Rules()); diff != "" {
		t.Error(diff)
	}
}

func TestNumbersThatAreTextsKeepTheirSpelling(t *testing.T) {
	c, err := load(t, "account: 000000000042\n", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.Account != "000000000042" {
		t.Errorf("account is %q", c.Account)
	}
}

func TestAnchorsStandForTheirValues(t *testing.T) {
	c, err := load(t, "models:\n- id: a\n  backends: &b [{url: 'http://h/v1'}]\n- id: b\n  backends: *b\n", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Models[1].Backends[0].URL; got != "http://h/v1" {
		t.Errorf("url is %q", got)
	}
}

func TestAnEndpointTurnsTheEmbeddedS3Off(t *testing.T) {
	c, err := load(t, "s3: {endpoint: aws}\n", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.S3.Listen != "off" || c.EmbeddedS3() {
		t.Errorf("listen is %q, embedded %v", c.S3.Listen, c.EmbeddedS3())
	}
}

func TestSecretsAreHidden(t *testing.T) {
	c, err := load(t, "credentials: [{access_key_id: A, secret_access_key: hush, principal: p}]\n"+
		"api_keys: [{key: hush, principal: p}]\n", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := c.Write(&out); err != nil {
		t.Fatal(err)
	}
	for _, v := range c.Values() {
		out.WriteString(v.Value)
	}
	if strings.Contains(out.String(), "hush") {
		t.Error("a secret is shown:\n" + out.String())
	}
	if !strings.Contains(out.String(), "(hidden)") {
		t.Error("it is not said that something is hidden:\n" + out.String())
	}
}

func TestMisspeltVariablesAreDoubtedAndForeignOnesAreNot(t *testing.T) {
	c, err := Load(Sources{Env: []string{"BATHOLITH_LISTN=x", "BATHOLITH_SERVICE_HOST=10.0.0.1", "BATHOLITH_PORT_4600_TCP=tcp://x"}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"BATHOLITH_LISTN is not a setting; did you mean BATHOLITH_LISTEN?"}, c.Warnings); diff != "" {
		t.Error(diff)
	}
}

// The effective settings are themselves a settings file, so that they can be kept.
func TestEffectiveSettingsCanBeLoadedAgain(t *testing.T) {
	first, err := load(t, "region: eu-west-1\nroles: [{arn: 'arn:aws:iam::000000000000:role/x', buckets: [a, '1']}]\n"+
		"models: [{id: 'm:0', aliases: [x, 'true'], backends: [{url: 'http://h/v1'}]}]\n", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := first.Write(&out); err != nil {
		t.Fatal(err)
	}
	second, err := load(t, out.String(), nil, nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if diff := cmp.Diff(first, second, cmpopts.IgnoreUnexported(Config{}), cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
}

func TestAnEntryWithAWildcardSaysWhichRolesItLetsThrough(t *testing.T) {
	const external = "s3: {endpoint: 'https://s3.example.net'}\n"
	for entry, want := range map[string]string{
		"roles: [{arn: 'arn:aws:iam::000000000000:role/x'}]":                                                        "",
		"roles: [{arn: 'arn:aws:iam::000000000000:role/*'}]":                                                        "get rights to every bucket",
		"roles: [{arn: 'arn:aws:iam::000000000000:role/x-*', buckets: [a, b]}]":                                     "get rights to a, b only",
		external + "roles: [{arn: 'arn:aws:iam::000000000000:role/*'}]":                                             "get the keys of s3",
		external + "roles: [{arn: 'arn:aws:iam::000000000000:role/*', access_key_id: K, secret_access_key_env: S}]": "get the access key K",
	} {
		c, err := load(t, entry, []string{"S=secret"}, nil)
		if err != nil {
			t.Errorf("%s: %v", entry, err)
			continue
		}
		said := strings.Join(c.Warnings, "\n")
		if want != "" && !(strings.HasPrefix(said, "roles[0].arn (line ") && strings.Contains(said, "matches arn:aws:iam::000000000000:role/") && strings.HasSuffix(said, want)) || want == "" && said != "" {
			t.Errorf("%s: %q", entry, said)
		}
	}
	if _, err := load(t, "roles: [{arn: 'arn:aws:iam::*:role/x'}]", nil, nil); err == nil {
		t.Error("roles of every account are let through")
	}
}

// authority is a PEM file with a certificate.
// policies is a file of policies.
func policies(t *testing.T, text string) string {
	path := filepath.Join(t.TempDir(), "policy.cedar")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func authority(t *testing.T) string {
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
