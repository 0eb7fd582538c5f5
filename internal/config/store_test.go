package config

import (
	"strings"
	"testing"
)

// A process that cannot find the others' jobs or objects is not started.
func TestARoleNeedsAStoreThatItsProcessesShare(t *testing.T) {
	const shared = "store: postgres://batholith@db:5432/batholith\n"
	const s3 = "s3: {endpoint: 'https://s3.example.net'}\n"
	for _, c := range []struct{ file, want string }{
		{"", ""},
		{"roles_of_this_process: [worker, api]", ""},
		{"roles_of_this_process: [api]", "the store sqlite is a file that only one process uses"},
		{"roles_of_this_process: [worker]", "the store sqlite is a file that only one process uses"},
		{"roles_of_this_process: []", "a process without a role does nothing"},
		{shared + "roles_of_this_process: []", "a process without a role does nothing"},
		{shared + "roles_of_this_process: [cook]", `"cook" is not possible`},
		{shared, ""},
		{shared + s3, ""},
		{shared + s3 + "roles_of_this_process: [api]", ""},
		{shared + s3 + "roles_of_this_process: [worker]", ""},
		{shared + "roles_of_this_process: [api]", "the embedded S3 is inside one process"},
		{shared + "roles_of_this_process: [worker]", "the embedded S3 is inside one process"},
	} {
		_, err := load(t, c.file, nil, nil)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%q: %v", c.file, err)
		case c.want != "":
			if p := first(t, err); !strings.Contains(p.Reason, c.want) || p.Remedy == "" {
				t.Errorf("%q: %+v, want %q", c.file, p, c.want)
			}
		}
	}
}

// The address of the database may be in a flag, its password never.
func TestThePasswordOfTheDatabaseIsInNoFlag(t *testing.T) {
	for url, want := range map[string]string{
		"postgres://batholith@db:5432/batholith":              "",
		"postgresql://batholith@db1:5432,db2:5432/batholith":  "",
		"postgres:///batholith?host=/var/run/postgresql":      "",
		"postgres://batholith:hush@db/batholith":              "the password is in a flag",
		"postgres://db/batholith?user=batholith&password=hus": "the password is in a flag",
		"postgres://batholith@db":                             "it names no database",
		"postgres:///batholith":                               "it names no host",
		"postgres://u:%zz@db/batholith":                       "it is not a valid URL",
		"postgre://db/batholith":                              "is not possible",
	} {
		c, err := load(t, "", nil, map[string]string{"store": url})
		switch {
		case want == "" && (err != nil || !c.Postgres()):
			t.Errorf("%s: %v", url, err)
		case want != "":
			if p := first(t, err); !strings.Contains(p.Reason, want) || p.Remedy == "" || strings.Contains(p.Reason+p.Remedy, "hus") {
				t.Errorf("%s: %+v, want %q", url, p, want)
			}
		}
	}
	env := []string{"BATHOLITH_STORE=postgres://batholith:hush@db/batholith", "DB_PASSWORD=secret"}
	c, err := load(t, "", env, nil)
	if err != nil || c.StoreName() != "postgres://batholith@db/batholith" {
		t.Fatalf("%v, %v", c.StoreName(), err)
	}
	if _, err = load(t, "store_password_env: DB_PASSWORD", env, nil); !strings.Contains(first(t, err).Reason, "the password is also in the URL") {
		t.Error(err)
	}
	if _, err = load(t, "{store: 'postgres://u@db/b', store_password_env: NOT_HERE}", nil, nil); !strings.Contains(first(t, err).Reason, "no variable NOT_HERE") {
		t.Error(err)
	}
	if c, err = load(t, "{store: 'postgres://u@db/b', store_password_env: DB_PASSWORD}", env[1:], nil); err != nil || c.StorePassword != "secret" {
		t.Errorf("%v", err)
	}
}
