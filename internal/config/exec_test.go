package config

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A server that is started for the service gets the environment of the service without its secrets, and what its own settings name.
func TestAServerGetsNoSecretOfTheService(t *testing.T) {
	c, err := load(t, `
credentials: [{access_key_id: A, secret_access_key_env: ALICE, principal: a}]
api_keys: [{key_env: BOB, principal: b}]
roles: [{arn: "arn:aws:iam::000000000000:role/r", access_key_id: R, secret_access_key_env: ROLE}]
models:
  - {id: m, backends: [{exec: [sh, -c, "{port}"], env: [KEY, "HOST=127.0.0.1:{port}"], api_key_env: KEY}]}
  - {id: n, backends: [{url: "http://127.0.0.1:1/v1", api_key_env: OTHER}]}
`, []string{"ALICE=s", "BOB=s", "ROLE=s", "KEY=k", "OTHER=s", "AWS_SECRET_ACCESS_KEY=s", "BATHOLITH_REGION=us-east-1", "PATH=/bin:/usr/bin", "HOME=/h"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	b := c.Models[0].Backends[0]
	if want := []string{"HOME=/h", "PATH=/bin:/usr/bin"}; !slices.Equal(b.Inherited, want) {
		t.Errorf("inherited: %q, want %q", b.Inherited, want)
	}
	if want := []string{"KEY=k", "HOST=127.0.0.1:{port}"}; !slices.Equal(b.Environ, want) {
		t.Errorf("its own: %q, want %q", b.Environ, want)
	}
	var out strings.Builder
	if err := c.Write(&out); err != nil || strings.Contains(out.String(), "127.0.0.1:{port}") || !strings.Contains(out.String(), "env: [KEY, ") {
		t.Errorf("the values of env should be hidden: %s, %v", out.String(), err)
	}
}

func TestACommandThatCannotServeIsRefused(t *testing.T) {
	for backend, want := range map[string]string{
		`{exec: [sh]}`: "neither exec nor env has {port}",
		`{exec: [sh, "{port}"], url: "http://127.0.0.1:8000/v1"}`:   "the address is that of the server that Batholith starts",
		`{exec: [sh, "{port}"], url: "http://10.0.0.1:{port}/v1"}`:  "the address is that of the server that Batholith starts",
		`{exec: [no-such-program, "{port}"]}`:                       "no-such-program: there is no such program",
		`{exec: [./none, "{port}"], dir: /}`:                        "/none: there is no such program",
		`{exec: ["", "{port}"]}`:                                    "the program is empty",
		`{exec: [sh, "{port}"], dir: /no/such}`:                     "/no/such is not a directory",
		`{exec: [sh, "{port}"], env: [NOT_THERE]}`:                  "the environment has no variable NOT_THERE",
		`{exec: [sh, "{port}"], env: ["=x"]}`:                       "the name of the variable is missing or has spaces",
		`{url: "http://127.0.0.1:8000/v1", env: [X=1]}`:             "it is for a server that Batholith starts",
		`{url: "http://127.0.0.1:8000/v1", dir: /}`:                 "it is for a server that Batholith starts",
		`{exec: [sh], env: ["A=127.0.0.1:{port}"]}`:                 "",
		`{exec: [sh, "{port}"], url: "http://127.0.0.1:{port}/v3"}`: "",
	} {
		_, err := load(t, "models: [{id: m, backends: ["+backend+"]}]", nil, nil)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", backend, err, want)
		}
	}
}

// A settings file that others can write must not make this user run programs.
func TestACommandOfAFileThatOthersWriteIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "batholith.yaml")
	if err := os.WriteFile(path, []byte(`models: [{id: m, backends: [{exec: [sh, "{port}"]}]}]`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(Sources{File: path}); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	_, err := Load(Sources{File: path})
	var all *Error
	if !errors.As(err, &all) || len(all.Problems) != 1 || all.Problems[0].Remedy != "close it with: chmod o-w "+path {
		t.Errorf("a file that everyone writes: %v", err)
	}
}

// The flag --exec replaces the models of the file.
func TestTheCommandOfTheFlagIsTheOnlyModel(t *testing.T) {
	c, err := Load(Sources{Exec: &Model{ID: "local", Backends: []Backend{{Exec: []string{"sh", "{port}"}}}}, Flags: map[string]string{"attempts": "2"}})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Models) != 1 || c.Models[0].Backends[0].Model != "local" || c.Models[0].Backends[0].Protocol != "openai" || c.Origin("models[0].id").Name != "--exec" {
		t.Errorf("%+v, from %v", c.Models, c.Origin("models[0].id"))
	}
}
